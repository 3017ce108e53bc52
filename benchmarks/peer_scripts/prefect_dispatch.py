"""Prefect's time from "run this deployment" to Running, with a process worker or serve, as one line of JSON.

prefect_dispatch.py worker|serve SINGLES BURST LIMIT        (LIMIT 0: no limit)
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments import run_deployment

FLOW = "from prefect import flow\n\n@flow\ndef nothing():\n    pass\n"
SERVE = "from nothing import nothing\n\nif __name__ == '__main__':\n    nothing.serve(name='bench', limit={limit})\n"
BIN = Path(sys.executable).parent


def main(way: str, singles: int, burst: int, limit: int) -> None:
    Path("nothing.py").write_text(FLOW)
    worker = start_worker(limit) if way == "worker" else start_serve(limit)
    try:
        with get_client(sync_client=True) as client:
            wait_for_deployment(client)
            latencies = []
            for number in range(singles):
                # Spread the runs over the polling interval.
                time.sleep(1 + 1.7 * number % 5)
                latencies.append(seconds_to_running(client, finished(client, [created()])[0]))
            began = time.perf_counter()
            runs = finished(client, [created() for _ in range(burst)])
            seconds = time.perf_counter() - began
            crashed = sum(client.read_flow_run(run).state_type.value != "COMPLETED" for run in runs)
            answer = {
                "created_to_running_median_s": round(statistics.median(latencies), 3),
                "burst": burst,
                "burst_seconds": round(seconds, 1),
                "runs_per_second": round(burst / seconds, 2),
                "not_completed": crashed,
            }
    finally:
        worker.terminate()
        worker.wait(30)
    print(json.dumps(answer))


def start_worker(limit: int) -> subprocess.Popen[bytes]:
    subprocess.run(
        [BIN / "prefect", "work-pool", "create", "bench", "--type", "process"], check=True, capture_output=True
    )
    deployed = flow.from_source(source=str(Path.cwd()), entrypoint="nothing.py:nothing")
    if asyncio.iscoroutine(deployed):
        deployed = asyncio.run(deployed)
    deployed.deploy(name="bench", work_pool_name="bench", build=False, push=False, print_next_steps=False)
    limited = ["--limit", str(limit)] if limit else []
    return subprocess.Popen(
        [BIN / "prefect", "worker", "start", "-p", "bench", *limited],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def start_serve(limit: int) -> subprocess.Popen[bytes]:
    Path("serving.py").write_text(SERVE.format(limit=limit or 100))
    return subprocess.Popen([sys.executable, "serving.py"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_deployment(client: SyncPrefectClient) -> None:
    for _ in range(120):
        try:
            if client.read_deployment_by_name("nothing/bench").status.value == "READY":
                return
        except Exception:
            pass
        time.sleep(0.5)


def created() -> object:
    return run_deployment("nothing/bench", timeout=0).id


def finished(client: SyncPrefectClient, runs: list[object]) -> list[object]:
    open_runs, until = set(runs), time.monotonic() + 280
    while open_runs and time.monotonic() < until:
        open_runs = {run for run in open_runs if not client.read_flow_run(run).state.is_final()}
        time.sleep(0.2)
    return runs


def seconds_to_running(client: SyncPrefectClient, run: object) -> float:
    states = {state.type.value: state.timestamp for state in client.read_flow_run_states(run)}
    made: datetime = client.read_flow_run(run).created
    return float((states["RUNNING"] - made).total_seconds())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
