"""DBOS on SQLite: no-op steps in a workflow; each step is stored before the next one starts, so there is no lag."""

from __future__ import annotations

import json
import logging
import sys
import time

from dbos import DBOS

logging.disable(logging.CRITICAL)
DBOS(config={"name": "bench", "system_database_url": "sqlite:///bench.sqlite", "log_level": "CRITICAL"})


@DBOS.step()
def noop(number):
    return number


@DBOS.workflow()
def seq(number):
    for i in range(number):
        noop(i)


if __name__ == "__main__":
    DBOS.launch()
    number = int(sys.argv[1])
    seq(3)
    started = time.perf_counter()
    seq(number)
    seconds = time.perf_counter() - started
    figures = {
        "mode": "seq",
        "tasks": number,
        "seconds": round(seconds, 3),
        "tasks_per_second": round(number / seconds, 1),
        "lag_seconds": 0.0,
    }
    print(json.dumps(figures), flush=True)
    DBOS.destroy()
