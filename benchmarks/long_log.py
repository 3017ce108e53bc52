"""The log of a run with a million lines: the time and the number of queries of its pages.

python -m benchmarks.long_log                     on both databases
python -m benchmarks.long_log --on sqlite --lines 100000

One line in a hundred is a warning, one in a thousand an error; the first error is in the middle. One word occurs only
in the last line. Requests pass through all of Django in this process, without sockets.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from benchmarks.at_size import timed
from benchmarks.measuring import QUICK, on_database, percentile, report
from benchmarks.postgresql import postgresql

LINES = 20_000 if QUICK else 1_000_000
BATCH = 5_000
BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def measure(database: str, lines: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    django.setup()
    from django.test import Client

    from orion_site.http.peers import OWN_USER
    from runs.models import Log

    run_id = fill(lines)
    middle = Log.objects.filter(flow_run_id=run_id, level=20).order_by("timestamp")[lines // 2]
    place = f"{BEGIN + timedelta(milliseconds=lines // 2):%Y-%m-%dT%H:%M:%S.%f%z}~{middle.pk}"
    # Marks the connection as that of the Unix user who runs the server, as the server does.
    proof: dict[str, Any] = {OWN_USER: True}
    client = Client(headers={"host": "127.0.0.1"}, **proof)
    for name, query in (
        ("first lines", {}),
        ("last lines", {"from": "end"}),
        ("around a line in the middle", {"at": place}),
        ("errors", {"level": "40"}),
        ("a word that is not there", {"q": "needle"}),
        ("a word from the end", {"q": "needle", "from": "end"}),
    ):
        ask = partial(client.get, f"/runs/{run_id}", {"tab": "logs", **query})
        seconds, _, queries = timed(ask)
        p50, p95 = (round(percentile(seconds, part) * 1000, 1) for part in (0.5, 0.95))
        report(
            "long_log", who="orion", database=database, lines=lines, page=name, p50_ms=p50, p95_ms=p95, queries=queries
        )


def fill(lines: int) -> str:
    from django.db import connection

    from orionflow.contract.ids import uuid7
    from runs.models import Flow, FlowRun, Log

    ended = {"state_type": "COMPLETED", "state_name": "Completed", "state_timestamp": BEGIN, "start_time": BEGIN}
    run = FlowRun.objects.create(flow=Flow.objects.create(name="etl"), name="long", expected_start_time=BEGIN, **ended)
    for begin in range(0, lines, BATCH):
        Log.objects.bulk_create(
            Log(
                id=uuid7(),
                name="orion.flow_runs",
                level=level_of(number, lines),
                message=f"line {number} of a long log" + (" needle" if number == lines - 1 else ""),
                timestamp=BEGIN + timedelta(milliseconds=number),
                flow_run_id=run.pk,
            )
            for number in range(begin, min(begin + BATCH, lines))
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return str(run.pk)


def level_of(number: int, lines: int) -> int:
    if number % 1000 == 999 and number > lines // 2:
        return 40
    return 30 if number % 100 == 99 else 20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=["sqlite", "postgresql"])
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.on, asked.lines)
        sys.exit()
    words = ["--lines", str(asked.lines), "--here"]
    if asked.on in (None, "sqlite"):
        on_database("benchmarks.long_log", "sqlite", *words)
    if asked.on in (None, "postgresql"):
        with postgresql() as url:
            on_database("benchmarks.long_log", "postgresql", *words, ORION_DATABASE_URL=url)
