"""Claims per second over HTTP: due runs of one queue, claimed by 1 to 64 agents, one or ten runs at a time.

No run is executed: measured are the rate at which a server hands out runs, the processor time of server and database,
and that each run is handed out once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from typing import Any

from benchmarks.http_load import Connection
from benchmarks.measuring import QUICK, Processors, empty_home, percentile, report, running_server
from benchmarks.postgresql import postgresql

AGENTS = (1, 4, 16, 64)
AT_ONCE = (1, 10)
# With fewer requests of each agent, a measurement would show its own beginning and end.
LEAST_RUNS = 100 if QUICK else 640
LEAST_REQUESTS = 1 if QUICK else 5


def runs_for(agents: int, at_once: int) -> int:
    return max(LEAST_RUNS, LEAST_REQUESTS * agents * at_once)


async def prepared(connection: Connection, runs: int) -> None:
    """Create a deployment with so many due runs."""
    _, flow = await connection.post("/flows/", {"name": "claimed"})
    fields = {"name": "bench", "flow_id": flow["id"], "entrypoint": "f.py:f", "work_queue_name": "default"}
    _, deployment = await connection.post("/deployments/", fields)
    for _ in range(runs):
        await connection.post(f"/deployments/{deployment['id']}/create_flow_run", {})


async def finished(connection: Connection, runs: list[str]) -> None:
    """Complete these runs. Otherwise each later claim would count them, as slots that agents hold."""
    for run in runs:
        await connection.post(f"/flow_runs/{run}/set_state", {"state": {"type": "COMPLETED"}})


class Agent:
    """An agent that only claims."""

    def __init__(self, url: str, number: int) -> None:
        self.connection = Connection(url)
        self.who = {"name": f"bench-{number}-{uuid.uuid4().hex[:8]}", "incarnation": str(uuid.uuid4())}

    async def register(self) -> None:
        await self.connection.open()
        _, answer = await self.connection.post("/agents/", {**self.who, "work_queues": ["default"]})
        self.id = answer["id"]

    async def claim_all(self, at_once: int, runs: int, claimed: list[str], times: list[float]) -> None:
        asking = {"incarnation": self.who["incarnation"], "limit": at_once}
        empty_handed = 0
        # Until all are claimed by any agent: with many agents, most requests would find nothing at the end. An agent
        # that finds nothing earlier may only have been slower than the others.
        while len(claimed) < runs and empty_handed < 20:
            began = time.perf_counter()
            status, answer = await self.connection.post(f"/agents/{self.id}/claim", asking)
            if status != 200:
                raise RuntimeError(f"a claim was answered with {status}: {answer}")
            times.append(time.perf_counter() - began)
            claimed += [one["flow_run"]["id"] for one in answer]
            empty_handed = 0 if answer else empty_handed + 1


async def round_of(url: str, agents: int, at_once: int, database_url: str) -> dict[str, Any]:
    maker = Connection(url)
    await maker.open()
    runs = runs_for(agents, at_once)
    await prepared(maker, runs)
    ready = [Agent(url, number) for number in range(agents)]
    for agent in ready:
        await agent.register()
    claimed: list[str] = []
    times: list[float] = []
    processors = Processors(database_url)
    began = time.perf_counter()
    await asyncio.gather(*(agent.claim_all(at_once, runs, claimed, times) for agent in ready))
    seconds = time.perf_counter() - began
    of_server, of_database = processors.since()
    await finished(maker, claimed)
    return {
        "claims_per_second": round(len(claimed) / seconds, 1),
        "request_p50_ms": round(percentile(times, 0.5) * 1000, 1),
        "request_p95_ms": round(percentile(times, 0.95) * 1000, 1),
        "server_cpu_ms_per_claim": round(1000 * of_server / len(claimed), 2),
        "database_cpu_ms_per_claim": round(1000 * of_database / len(claimed), 2),
        "claimed_twice": len(claimed) - len(set(claimed)),
        "runs": runs,
        "left": runs - len(set(claimed)),
    }


def measure(database: str, **more: str) -> None:
    with empty_home() as home, running_server(home, **more) as (url, _):
        for at_once in AT_ONCE:
            for agents in AGENTS:
                figures = asyncio.run(round_of(url, agents, at_once, more.get("ORION_DATABASE_URL", "")))
                report("claims", who="orion", database=database, agents=agents, at_once=at_once, **figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true", help="accepted and without effect: no peer claims this way")
    parser.parse_args()
    measure("sqlite")
    with postgresql() as database_url:
        measure("postgresql", ORION_DATABASE_URL=database_url)
