"""Measure recorded transitions on PostgreSQL with 1, 2 and 4 workers, to see what more processes gain.

Rounds are interleaved. With few cores, the rate says little about more cores, but the processor time of a transition
does, measured separately for the servers and the database: where it stays constant, each further core records as many
transitions again. The costs of a claim and of a list are measured as well: `benchmarks.simulation` uses the figures of
the last run.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import psutil

from benchmarks.batch import items
from benchmarks.claims import Agent, finished, prepared, runs_for
from benchmarks.http_load import Connection
from benchmarks.measuring import ORION, QUICK, Processors, empty_home, environment, percentile, report, serving
from benchmarks.postgresql import postgresql

WORKERS = (1, 2, 4)
ROUNDS = 2 if QUICK else 3
# For each worker: a busy process spends less on each request than one that sleeps in between.
CONNECTIONS = 4
# Batches of the SDK: 167 tasks with three transitions in one request.
TASKS_OF_A_BATCH, BATCHES = 167, 3 if QUICK else 6
SINGLES = 40 if QUICK else 100
PAGES = 10 if QUICK else 40
CLAIMERS, CLAIMED_AT_ONCE = 2, 10
SINGLE_CLAIMERS = 8
# Twice as long as it takes until a worker has published its figures.
SETTLED_SECONDS = 4.0
# Small figures keep their digits.
DIGITS = {"cores_used": 2, "others_cores": 2, "taken_per_claim": 3, "refused_per_claim": 3}

Figures = dict[str, float]


@contextmanager
def server_of(workers: int, home: Path, database_url: str) -> Iterator[str]:
    command = [ORION, "server", "start", "--no-agent", "--workers", str(workers)]
    with serving(command, environment(home, ORION_DATABASE_URL=database_url)) as (url, _):
        yield url


class Measured:
    """Timed work, with the processor seconds that it took."""

    def __init__(self, processors: Processors) -> None:
        self._processors = processors
        self.times: list[float] = []

    async def of(self, work: list[Any]) -> None:
        self._processors.since()
        began, own, all_busy = time.perf_counter(), time.process_time(), busy_seconds()
        await asyncio.gather(*work)
        self.seconds = time.perf_counter() - began
        self.client = time.process_time() - own
        busy = busy_seconds() - all_busy
        self.server, self.database = self._processors.since()
        self.others = max(0.0, busy - self.client - self.server - self.database)
        self.clients = len(work)

    def per(self, number: int) -> Figures:
        return {
            "clients": self.clients,
            "per_second": round(number / self.seconds, 1),
            "server_cpu_us": round(1e6 * self.server / number, 1),
            "database_cpu_us": round(1e6 * self.database / number, 1),
            "client_cpu_us": round(1e6 * self.client / number, 1),
            "others_cores": round(self.others / self.seconds, 2),
            "cores_used": round((self.server + self.database) / self.seconds, 2),
            "p50_ms": round(1000 * percentile(self.times, 0.5), 1),
            "p95_ms": round(1000 * percentile(self.times, 0.95), 1),
        }


def busy_seconds() -> float:
    """Return the busy seconds of all processors of the machine, whichever programs used them."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


async def opened(url: str, number: int) -> list[Connection]:
    connections = [Connection(url) for _ in range(number)]
    for connection in connections:
        await connection.open()
    return connections


async def running_flow_run(connection: Connection) -> UUID:
    _, flow = await connection.post("/flows/", {"name": "scale"})
    _, run = await connection.post("/flow_runs/", {"flow_id": flow["id"], "state": {"type": "PENDING"}})
    await connection.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}})
    return UUID(run["id"])


async def timed(connection: Connection, measured: Measured, path: str, body: Any) -> Any:
    began = time.perf_counter()
    status, answer = await connection.post(path, body)
    measured.times.append(time.perf_counter() - began)
    if status >= 300:
        raise RuntimeError(f"{path} was answered with {status}: {answer}")
    return answer


async def batches(url: str, processors: Processors, workers: int) -> Figures:
    connections, measured = await opened(url, CONNECTIONS * workers), Measured(processors)

    async def program(connection: Connection) -> None:
        run = await running_flow_run(connection)
        for _ in range(BATCHES):
            await timed(connection, measured, "/task_runs/transitions", {"items": items(run, TASKS_OF_A_BATCH)})

    await measured.of([program(one) for one in connections])
    return measured.per(len(connections) * BATCHES * TASKS_OF_A_BATCH * 3)


async def singles(url: str, processors: Processors, workers: int) -> Figures:
    connections, measured = await opened(url, CONNECTIONS * workers), Measured(processors)
    run = await running_flow_run(connections[0])

    async def program(connection: Connection) -> None:
        for _ in range(SINGLES):
            new = {"flow_run_id": str(run), "task_key": "t", "dynamic_key": uuid4().hex, "state": {"type": "PENDING"}}
            task = await timed(connection, measured, "/task_runs/", new)
            for state in ("RUNNING", "COMPLETED"):
                await timed(connection, measured, f"/task_runs/{task['id']}/set_state", {"state": {"type": state}})

    await measured.of([program(one) for one in connections])
    return measured.per(len(connections) * SINGLES * 3)


async def lists(url: str, processors: Processors, workers: int) -> Figures:
    connections, measured = await opened(url, CONNECTIONS * workers), Measured(processors)
    asked = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "limit": 50, "sort": "END_TIME_DESC"}

    async def reader(connection: Connection) -> None:
        for _ in range(PAGES):
            await timed(connection, measured, "/task_runs/filter", asked)

    await measured.of([reader(one) for one in connections])
    return measured.per(len(connections) * PAGES)


async def claims(url: str, processors: Processors, workers: int, claimers: int, at_once: int) -> Figures:
    (maker,), measured = await opened(url, 1), Measured(processors)
    runs = runs_for(claimers * workers, at_once)
    await prepared(maker, runs)
    agents = [Agent(url, number) for number in range(claimers * workers)]
    for agent in agents:
        await agent.register()
    claimed: list[str] = []
    # Workers read the counts of the others from files, which are some seconds old.
    await asyncio.sleep(SETTLED_SECONDS)
    before = attempts(url)
    await measured.of([agent.claim_all(at_once, runs, claimed, measured.times) for agent in agents])
    await asyncio.sleep(SETTLED_SECONDS)
    after = attempts(url)
    await finished(maker, claimed)
    if len(set(claimed)) < len(claimed):
        raise RuntimeError(f"{len(claimed) - len(set(claimed))} runs were claimed twice")
    tried = {status: after.get(status, 0.0) - number for status, number in before.items()}
    lost = {f"{status}_per_claim": round(tried.get(status, 0.0) / len(claimed), 3) for status in ("taken", "refused")}
    return {**measured.per(len(claimed)), **lost}


def attempts(url: str) -> dict[str, float]:
    """Return how many runs the workers have tried to claim, by what came of it."""
    counted: dict[str, float] = {}
    with urllib.request.urlopen(url.removesuffix("/api") + "/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("orion_claim_attempts_total"):
                status = line.split('status="')[1].split('"')[0]
                counted[status] = counted.get(status, 0.0) + float(line.rsplit(" ", 1)[1])
    return counted


KINDS: dict[str, Callable[[str, Processors, int], Coroutine[Any, Any, Figures]]] = {
    "transitions in batches": batches,
    "single transitions": singles,
    "lists": lists,
    "claims by tens": partial(claims, claimers=CLAIMERS, at_once=CLAIMED_AT_ONCE),
    "single claims": partial(claims, claimers=SINGLE_CLAIMERS, at_once=1),
}


def measure(kinds: Iterable[str] = tuple(KINDS)) -> dict[tuple[str, int], list[Figures]]:
    found: dict[tuple[str, int], list[Figures]] = {}
    with postgresql() as database_url, empty_home() as home:
        upgrade = environment(home, ORION_DATABASE_URL=database_url)
        subprocess.run([ORION, "database", "upgrade"], env=upgrade, check=True, capture_output=True)
        for _ in range(ROUNDS):
            for workers in WORKERS:
                with server_of(workers, home, database_url) as url:
                    processors = Processors(database_url)
                    for kind in kinds:
                        work = KINDS[kind]
                        # Run it once before: each thread of each worker connects, and PostgreSQL plans its statements
                        # there.
                        asyncio.run(work(url, processors, workers))
                        figures = asyncio.run(work(url, processors, workers))
                        report("scale_round", what=kind, workers=workers, **figures)
                        found.setdefault((kind, workers), []).append(figures)
    return found


def report_medians(found: dict[tuple[str, int], list[Figures]]) -> None:
    for (kind, workers), rounds in found.items():
        figures: Figures = {name: round(median(one[name] for one in rounds), DIGITS.get(name, 1)) for name in rounds[0]}
        # Ratios within the same round, so that other load on the machine affects both.
        of_one = zip(rounds, found[kind, 1], strict=True)
        ratios = [
            (now["server_cpu_us"] / then["server_cpu_us"], now["database_cpu_us"] / then["database_cpu_us"],
             now["per_second"] / then["per_second"])
            for now, then in of_one
        ]  # fmt: skip
        server, database, rate = (round(median(column), 2) for column in zip(*ratios, strict=True))
        report(
            "scale",
            what=kind,
            workers=workers,
            rounds=len(rounds),
            **figures,
            server_cpu_ratio=server,
            database_cpu_ratio=database,
            rate_ratio=rate,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=KINDS, action="append", help="measure only this; may be repeated")
    report_medians(measure(parser.parse_known_args()[0].only or KINDS))
