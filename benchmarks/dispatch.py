"""The time from "run this deployment" to Running on a warm agent, and bursts of runs; Prefect's, too.

On SQLite with messages in a folder, like `orion server start`; with ORION_BENCH_REDIS=redis://… through Redis.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.measuring import HERE, QUICK, Installation, empty_home, environment, percentile, report, running_server

SINGLES = 10 if QUICK else 40
BURSTS = (50,) if QUICK else (50, 200)
PLACES = 2
# With two slots Prefect takes about five seconds per run.
PEER_BURST = 20
PATIENCE_SECONDS = 280
FLOW = "from orionflow import flow\n\n\n@flow\ndef nothing():\n    pass\n"


def ours() -> None:
    with warm_agent() as (api, deployment, broker):
        measure(api, deployment, "redis" if broker.startswith("redis") else "folder")


@contextmanager
def warm_agent(installation: Installation = HERE) -> Iterator[tuple[Api, str, str]]:
    """Start a server, an agent that has run something, and deploy a flow that does nothing."""
    with empty_home() as home:
        (home / "nothing.py").write_text(FLOW)
        broker = os.environ.get("ORION_BENCH_REDIS") or f"filesystem://{home}/broker"
        with (
            running_server(home, installation, ORION_BROKER_URL=broker) as (url, _),
            running_agent(home, url, broker, installation),
        ):
            api = Api(url)
            deployment = api.deploy(home)
            finished(api, [api.run(deployment)])
            yield api, deployment, broker


def latencies_of(api: Api, deployment: str, number: int) -> list[float]:
    """Return the seconds from creation to Running for runs that are created one after the other."""
    latencies = []
    for _ in range(number):
        time.sleep(0.2)
        latencies.append(api.seconds_to_running(finished(api, [api.run(deployment)])[0]))
    return latencies


def measure(api: Api, deployment: str, broker: str) -> None:
    latencies = latencies_of(api, deployment, SINGLES)
    report(
        "dispatch_latency",
        who="orion",
        way="agent",
        broker=broker,
        created_to_running_median_s=round(statistics.median(latencies), 3),
        p95_s=round(percentile(latencies, 0.95), 3),
    )
    for burst in BURSTS:
        began = time.perf_counter()
        runs = finished(api, [api.run(deployment) for _ in range(burst)])
        seconds = time.perf_counter() - began
        report(
            "dispatch_burst",
            who="orion",
            way="agent",
            broker=broker,
            places=PLACES,
            burst=burst,
            burst_seconds=round(seconds, 1),
            runs_per_second=round(burst / seconds, 2),
            not_completed=sum(api.state_of(run) != "COMPLETED" for run in runs),
        )


class Api:
    """The few API calls that the benchmark needs, by plain HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def deploy(self, folder: Path) -> str:
        flow = self.ask("POST", "/flows/", {"name": "nothing"})
        fields = {"entrypoint": "nothing.py:nothing", "path": str(folder), "work_queue_name": "default"}
        return str(self.ask("POST", "/deployments/", {"name": "bench", "flow_id": flow["id"], **fields})["id"])

    def run(self, deployment: str) -> str:
        return str(self.ask("POST", f"/deployments/{deployment}/create_flow_run", {})["id"])

    def state_of(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state_type"])

    def unfinished(self, runs: list[str]) -> int:
        wanted = {"id": {"any_": runs}, "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
        return int(self.ask("POST", "/flow_runs/count", {"flow_runs": wanted}))

    def seconds_to_running(self, run: str) -> float:
        states = self.ask("GET", f"/flow_run_states/?flow_run_id={run}")
        moments = {state["type"]: datetime.fromisoformat(state["timestamp"]) for state in states}
        made = datetime.fromisoformat(self.ask("GET", f"/flow_runs/{run}")["created"])
        return (moments["RUNNING"] - made).total_seconds()


def finished(api: Api, runs: list[str]) -> list[str]:
    until = time.monotonic() + PATIENCE_SECONDS
    while api.unfinished(runs) and time.monotonic() < until:
        time.sleep(0.05)
    return runs


@contextmanager
def running_agent(home: Path, api: str, broker: str, installation: Installation = HERE) -> Iterator[None]:
    command = [installation.orion, "agent", "start", "-q", "default", "--concurrency", str(PLACES), "--broker", broker]
    process = subprocess.Popen(
        command, env=environment(home, ORION_API_URL=api), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def beside_peers() -> None:
    for way in ("worker", "serve"):
        with peers.attempt(peers.PREFECT, "dispatch_latency", "dispatch_burst", way=way):
            row = peers.dispatched(way, singles=SINGLES // 4, burst=PEER_BURST, limit=PLACES)
            latency = row.pop("created_to_running_median_s")
            report("dispatch_latency", who=peers.PREFECT, way=way, created_to_running_median_s=latency)
            report("dispatch_burst", who=peers.PREFECT, way=way, places=PLACES, **row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    ours()
    if asked.peer:
        beside_peers()
    sys.exit(0)
