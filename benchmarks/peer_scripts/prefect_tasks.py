"""Prefect 3 in-process: no-op tasks in a flow, and the time until its database has every completed task run."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

from prefect import flow, task


@task
def noop(number):
    return number


@flow
def seq(number):
    for i in range(number):
        noop(i)


def completed() -> int:
    path = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'").fetchone()[0]


def main(number: int, patience: float = 30) -> None:
    seq(3)
    before = completed()
    started = time.perf_counter()
    seq(number)
    seconds = time.perf_counter() - started
    at_return, returned = completed() - before, time.perf_counter()
    recorded = at_return
    while recorded < number and time.perf_counter() - returned < patience:
        time.sleep(0.05)
        recorded = completed() - before
    lag = time.perf_counter() - returned if recorded >= number else None
    whole = seconds + (lag if lag is not None else patience)
    print(
        json.dumps(
            {
                "mode": "seq",
                "tasks": number,
                "seconds": round(seconds, 3),
                "tasks_per_second": round(min(recorded, number) / whole, 1),
                "completed_at_return": at_return,
                "lag_seconds": None if lag is None else round(lag, 2),
                "ever_recorded": recorded,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
