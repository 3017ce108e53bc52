"""A program in a child process: no-op tasks in a flow, timed from the call until every record is in the database.

argv: MODE (seq, submit or map), NUMBER. Prints one line of JSON. Records are counted by the API as soon as the flow has
returned, so later records are not included.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from orionflow import OrionClient, flow, task


@task
def noop(number: int) -> int:
    return number


@flow
def seq(number: int) -> None:
    for i in range(number):
        noop(i)


@flow
def submit(number: int) -> None:
    for future in [noop.submit(i) for i in range(number)]:
        future.result()


@flow(name="map")
def mapped(number: int) -> None:
    for future in noop.map(range(number)):
        future.result()


def measure(mode: str, number: int) -> dict[str, object]:
    subject = {"seq": seq, "submit": submit, "map": mapped}[mode]
    subject(3)
    cpu = time.process_time()
    started = time.perf_counter()
    state = subject(number, return_state=True)
    seconds = time.perf_counter() - started
    with OrionClient() as client:
        completed = client.count_task_runs(
            flow_runs={"id": {"any_": [state.state_details.flow_run_id]}},
            task_runs={"state": {"type": {"any_": ["COMPLETED"]}}},
        )
    return {
        "mode": mode,
        "tasks": number,
        "seconds": round(seconds, 3),
        "tasks_per_second": round(number / seconds, 1),
        "completed_at_return": completed,
        "lag_seconds": 0.0 if completed == number else None,
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))), flush=True)
