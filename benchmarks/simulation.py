"""A simulation of larger installations from the measured costs of requests, validated against the measurements.

python -m benchmarks.simulation            after `make bench ARGS=--scale`; it uses the newest figures
python -m benchmarks.simulation --write    writes its tables into docs/explanation/scale.md

A request waits for a thread of its process, computes on a core with the process's interpreter lock, then in the
database on a core, and then in its process again. Programs that report, agents and users who read send requests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import simpy

from benchmarks.measuring import ROOT, percentile, report

DOCUMENT = ROOT / "docs" / "explanation" / "scale.md"
SEED = 7
THREADS = 4
BATCH_OF_TASKS, CLAIMED_AT_ONCE = 167, 10
SECONDS = 20.0
# A mean of a day has few requests in that time, and random ones: the simulation goes on until as many have come.
BATCHES_AT_LEAST = 2000
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Cost:
    """One request: processor seconds of the server and of the database, and the number of things that it is about."""

    server: float
    database: float
    things: int = 1

    def slower(self, factor: float) -> Cost:
        return Cost(self.server * factor, self.database * factor, self.things)


@dataclass(frozen=True, slots=True)
class Machines:
    """The simulated machines. With `database_cores` None, the database shares the cores of the processes."""

    processes: int
    cores: int
    database_cores: int | None = None


@dataclass
class Outcome:
    seconds: float
    things: dict[str, int] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)
    server_busy: float = 0.0
    database_busy: float = 0.0

    def rate(self, kind: str) -> float:
        return self.things.get(kind, 0) / self.seconds

    def at(self, kind: str, share: float) -> float:
        return percentile(self.times.get(kind) or [float("nan")], share)


class Installation:
    """Processes of the API and their database, which answer requests."""

    def __init__(self, machines: Machines, chance: random.Random, seconds: float = SECONDS) -> None:
        self.env = simpy.Environment()
        self._chance = chance
        self._cores = simpy.Resource(self.env, machines.cores)
        own = machines.database_cores
        self._database = self._cores if own is None else simpy.Resource(self.env, own)
        self._locks = [simpy.Resource(self.env, 1) for _ in range(machines.processes)]
        self._threads = [simpy.Resource(self.env, THREADS) for _ in range(machines.processes)]
        # All clients of a measurement are in one process.
        self._clients = simpy.Resource(self.env, 1)
        self.outcome = Outcome(seconds)

    def request(self, kind: str, cost: Cost, process: int) -> Process:
        began = self.env.now
        with self._threads[process].request() as thread:
            yield thread
            yield from self._compute(process, cost.server / 2)
            yield from self._ask_database(cost.database)
            yield from self._compute(process, cost.server / 2)
        self.outcome.things[kind] = self.outcome.things.get(kind, 0) + cost.things
        self.outcome.times.setdefault(kind, []).append(self.env.now - began)

    def _compute(self, process: int, seconds: float) -> Process:
        seconds = self._varied(seconds)
        with self._locks[process].request() as lock:
            yield lock
            with self._cores.request() as core:
                yield core
                yield self.env.timeout(seconds)
                self.outcome.server_busy += seconds

    def _ask_database(self, seconds: float) -> Process:
        seconds = self._varied(seconds)
        with self._database.request() as core:
            yield core
            yield self.env.timeout(seconds)
            self.outcome.database_busy += seconds

    def _varied(self, seconds: float) -> float:
        """Return a random time with this mean: half of it is constant, the other half is exponentially distributed."""
        return seconds / 2 + self._chance.expovariate(2 / seconds)

    # --- clients ---

    def client(self, kind: str, cost: Cost, process: int, pause: float) -> Process:
        """A client that sends its next request after the answer to the last one, and a pause."""
        while True:
            yield from self.request(kind, cost, process)
            if pause:
                with self._clients.request() as turn:
                    yield turn
                    with self._cores.request() as core:
                        yield core
                        yield self.env.timeout(pause)

    def arrivals(self, kind: str, cost: Cost, per_second: float) -> Process:
        """Requests of many clients, each at a random time and to a random process, as by a load balancer."""
        while True:
            yield self.env.timeout(self._chance.expovariate(per_second))
            self.env.process(self.request(kind, cost, self._chance.randrange(len(self._locks))))

    def run(self) -> Outcome:
        self.env.run(until=self.outcome.seconds)
        return self.outcome


# --- the figures of the last run ---


def measured_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of `--scale` from the newest file that has any."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        if rows := [row for row in json.loads(path.read_text()) if row["bench"] == "scale"]:
            return rows
    raise SystemExit("There are no figures yet; run `make bench ARGS=--scale` first.")


def costs_of(rows: Sequence[Mapping[str, Any]], workers: int) -> dict[str, Cost]:
    things = {"transitions in batches": 3 * BATCH_OF_TASKS, "claims by tens": CLAIMED_AT_ONCE}
    return {
        row["what"]: Cost(
            row["server_cpu_us"] * things.get(row["what"], 1) / 1e6,
            row["database_cpu_us"] * things.get(row["what"], 1) / 1e6,
            things.get(row["what"], 1),
        )
        for row in rows
        if row["workers"] == workers
    }


# --- tier 1, measured and simulated ---


def check(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Compare each measured line with the same load in the simulation, using the costs of that line."""
    cores = os.cpu_count() or 1
    for row in rows:
        # Other programs used part of the real cores, so the simulated ones are slowed by that share.
        slower = cores / max(0.1, cores - row["others_cores"])
        cost = costs_of(rows, row["workers"])[row["what"]].slower(slower)
        here = Installation(Machines(row["workers"], cores), random.Random(SEED))
        for number in range(int(row["clients"])):
            pause = row["client_cpu_us"] * cost.things * slower / 1e6
            here.env.process(here.client("load", cost, number % row["workers"], pause))
        simulated = here.run().rate("load")
        yield {
            "what": row["what"],
            "workers": row["workers"],
            "measured": row["per_second"],
            "simulated": round(simulated, 1),
            "error_percent": round(100 * (simulated / row["per_second"] - 1), 1),
        }


# --- tiers 2 and 3 ---


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    machines: Machines
    tasks_per_second: float
    claims_per_second: float
    lists_per_second: float


TIERS = (
    Tier("2, mean of a day", Machines(4, 8, 8), 231, 50, 20),
    Tier("2, burst", Machines(4, 8, 8), 10_000, 1000, 20),
    Tier("2, burst, 8 processes", Machines(8, 8, 8), 10_000, 1000, 20),
    Tier("3, mean of a day", Machines(24, 32, 32), 1160, 150, 60),
    Tier("3, burst", Machines(24, 32, 32), 20_000, 3000, 60),
)


def simulated_tiers(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    costs = costs_of(rows, 1)
    for tier in TIERS:
        batches_per_second = 3 * tier.tasks_per_second / costs["transitions in batches"].things
        seconds = max(SECONDS, BATCHES_AT_LEAST / batches_per_second)
        there = Installation(tier.machines, random.Random(SEED), seconds)
        wanted = {
            "transitions in batches": 3 * tier.tasks_per_second,
            "claims by tens": tier.claims_per_second,
            "lists": tier.lists_per_second,
        }
        for kind, rate in wanted.items():
            there.env.process(there.arrivals(kind, costs[kind], rate / costs[kind].things))
        outcome = there.run()
        database_cores = tier.machines.database_cores or tier.machines.cores
        yield {
            "tier": tier.name,
            "processes": tier.machines.processes,
            "tasks_asked": tier.tasks_per_second,
            "tasks_recorded": round(outcome.rate("transitions in batches") / 3),
            "claims": round(outcome.rate("claims by tens")),
            "batch_p95_ms": round(1000 * outcome.at("transitions in batches", 0.95), 1),
            "claim_p95_ms": round(1000 * outcome.at("claims by tens", 0.95), 1),
            "list_p95_ms": round(1000 * outcome.at("lists", 0.95), 1),
            "processes_busy": round(outcome.server_busy / seconds / tier.machines.processes, 2),
            "database_busy": round(outcome.database_busy / seconds / database_cores, 2),
        }


# --- the document ---


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows)])


def write(tables: Mapping[str, str]) -> None:
    text = DOCUMENT.read_text()
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{lines}\n{end}{rest.partition(end)[2]}"
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew the tables of the document")
    asked = parser.parse_args()
    figures = measured_rows(ROOT / "benchmarks" / "results")
    checked, tiers = list(check(figures)), list(simulated_tiers(figures))
    for one in checked:
        report("simulated_check", **one)
    for one in tiers:
        report("simulated_tier", **one)
    if asked.write:
        shown = ["what", "workers", "per_second", "server_cpu_us", "database_cpu_us", "server_cpu_ratio",
                 "database_cpu_ratio", "rate_ratio", "cores_used", "others_cores"]  # fmt: skip
        write(
            {
                "measured": table([{name: row[name] for name in shown} for row in figures]),
                "check": table(checked),
                "tiers": table(tiers),
            }
        )
