"""A batch of transitions in the server alone: queries and time for 3, 500 and 999 of them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.measuring import ROOT, report

PENDING, RUNNING, COMPLETED = "PENDING", "RUNNING", "COMPLETED"


def items(flow_run_id: uuid.UUID, tasks: int, new_id: Callable[[], uuid.UUID] = uuid.uuid4) -> list[dict[str, Any]]:
    """Return three transitions for each task, as the SDK sends them."""
    sent = []
    for number in range(tasks):
        task_run_id = str(new_id())
        new = {
            "flow_run_id": str(flow_run_id),
            "task_key": "noop",
            "dynamic_key": str(number) + task_run_id,
            "name": "noop",
        }
        for state in (PENDING, RUNNING, COMPLETED):
            at = datetime.now(UTC).isoformat()
            item = {"task_run_id": task_run_id, "state": {"id": str(new_id()), "type": state, "timestamp": at}}
            sent.append({**item, "task_run": new} if state is PENDING else item)
    return sent


def main() -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from orionflow import OrionClient
    from orionflow.calls import Call
    from orionflow.states import Running

    with OrionClient() as client:
        run = client.create_flow_run(flow_id=client.create_flow("batch").id)
        client.set_flow_run_state(run.id, Running())
        for tasks in (1, 167, 333):
            body = {"sent_at": datetime.now(UTC).isoformat(), "items": items(run.id, tasks)}
            connection.force_debug_cursor = False
            started = time.perf_counter()
            client.send(Call("POST", "/task_runs/transitions", body))
            seconds = time.perf_counter() - started
            again = {"sent_at": datetime.now(UTC).isoformat(), "items": items(run.id, tasks)}
            with CaptureQueriesContext(connection) as queries:
                client.send(Call("POST", "/task_runs/transitions", again))
            report(
                "batch",
                transitions=len(body["items"]),
                milliseconds=round(seconds * 1000, 1),
                microseconds_each=round(seconds * 1e6 / len(body["items"]), 1),
                queries=len(queries),
            )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as home:
        os.environ["ORION_HOME"] = home
        main()
