"""A program that reports as a flow of many tasks does, and prints which reports were acknowledged.

python -m tests.faults.reporting_program TASKS [PAUSE]    prints the ids of each ten tasks once they are drained
"""

from __future__ import annotations

import sys
import time
from uuid import UUID

from orionflow.client import OrionClient
from orionflow.reporting import get_reporter
from tests.sdk_client.reports import line, state, task_of_three_steps

__all__ = ["completed_tasks", "start_flow_run", "task_of_three_steps"]


def start_flow_run(client: OrionClient) -> UUID:
    run = client.create_flow_run(client.create_flow("reporting").id, state=state("PENDING"))
    client.set_flow_run_state(run.id, state("RUNNING"))
    return run.id


def completed_tasks(client: OrionClient, flow_run: UUID) -> int:
    criteria = {"state": {"type": {"any_": ["COMPLETED"]}}}
    return client.count_task_runs(flow_runs={"id": {"any_": [str(flow_run)]}}, task_runs=criteria)


def main(tasks: int, pause: float) -> None:
    client = OrionClient()
    reporter = get_reporter(client)
    flow_run = start_flow_run(client)
    print(flow_run, flush=True)
    for first in range(0, tasks, 10):
        made = [task_of_three_steps(number, flow_run=flow_run) for number in range(first, min(first + 10, tasks))]
        for steps in made:
            for step in steps:
                reporter.stream(step)
            reporter.log(line(f"task {steps[0].task_run_id}", flow_run=flow_run))
        if pause:
            time.sleep(pause)
            reporter.drain(flow_run)
            print(*(steps[0].task_run_id for steps in made), flush=True)
    reporter.drain(flow_run)
    assert reporter.refused(flow_run) == []
    client.set_flow_run_state(flow_run, state("COMPLETED"))
    print(completed_tasks(client, flow_run), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
