"""Reads of many rows over HTTP: Orion's server and Prefect 3's, with equal rows, both on SQLite.

python -m benchmarks.at_size_peer --home DIR    the rows that `benchmarks.at_size --on sqlite --home DIR` wrote

Prefect gets a copy of Orion's rows, with SQL: running so many flows would take hours. The time of a request ends when
its whole answer has arrived. The processor time is that of the server and its child processes.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.measuring import Processors, percentile, report, running_server

ROUNDS = 7
# Seconds after which a question is not repeated.
LONGEST = 10.0
SECONDS_TO_ANSWER = 120
ID = (
    "lower(substr(hex({0}), 1, 8) || '-' || substr(hex({0}), 9, 4) || '-' || substr(hex({0}), 13, 4) || '-' || "
    "substr(hex({0}), 17, 4) || '-' || substr(hex({0}), 21))"
)
STATE = {"message": "message", "state_details": "'{}'", "type": "type", "name": "name", "timestamp": "timestamp"}
# By Prefect's table: Orion's table, and expressions for columns; other columns are copied by name.
COPIED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "flow": ("runs_flow", {"tags": "'[]'", "labels": "'{}'"}),
    "flow_run": ("runs_flowrun", {"total_run_time": "'1970-01-01 00:00:20.000000'", "labels": "'{}'"}),
    "flow_run_state": ("runs_flowrunstate", STATE),
    "task_run": ("runs_taskrun", {"total_run_time": "'1970-01-01 00:00:20.000000'", "labels": "'{}'"}),
    "task_run_state": ("runs_taskrunstate", STATE),
}
IDS = ("id", "flow_id", "flow_run_id", "task_run_id", "state_id")
# Foreign keys in Prefect, to rows of tables that are not copied.
LEFT_OUT = ("deployment_id", "work_queue_id", "parent_task_run_id", "deployment_version", "environment_id")


def copy_rows(ours: Path, theirs: Path) -> None:
    """Write Orion's runs and their states into Prefect's file."""
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("ATTACH ? AS ours", [str(ours)])
        for table, (source, given) in COPIED.items():
            there = {row[1]: row for row in connection.execute(f"PRAGMA table_info({table})")}
            known = {row[1] for row in connection.execute(f"PRAGMA ours.table_info({source})")}
            values = {}
            for name, (_, _, kind, required, default, _) in there.items():
                if name in given:
                    values[name] = given[name]
                elif name in IDS and name in known:
                    values[name] = ID.format(name)
                elif name in known and name not in LEFT_OUT:
                    values[name] = name
                elif name == "updated":
                    values[name] = "created" if "created" in known else "timestamp"
                elif name == "created":
                    values[name] = "timestamp"
                elif required and default is None:
                    values[name] = "'{}'" if "JSON" in kind.upper() else "0"
            connection.execute(
                f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM ours.{source}"
            )
            connection.commit()
            print(table, time.strftime("%X"), file=sys.stderr, flush=True)
        connection.execute("ANALYZE")
        connection.commit()


def questions(now: datetime) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield questions that both APIs answer in the same format."""
    month = {
        "history_start": (now - timedelta(days=30)).isoformat(),
        "history_end": now.isoformat(),
        "history_interval_seconds": 86_400,
    }
    week = (now - timedelta(days=7)).isoformat()
    failed = {"state": {"type": {"any_": ["FAILED"]}}}
    filters = {
        "all": {},
        "failed": failed,
        "failed, started in 7 days": failed | {"start_time": {"after_": week}},
        "rare tag": {"tags": {"all_": ["rare-7"]}},
        "common tag": {"tags": {"all_": ["prod"]}},
        "part of names": {"name": {"like_": "run-43"}},
        "name that is not there": {"name": {"any_": ["no-such"]}},
    }
    for kind in ("flow_runs", "task_runs"):
        for words, asked in filters.items():
            body = {kind: asked} if asked else {}
            yield f"list {kind}: {words}", f"{kind}/filter", body | {"limit": 200}
            yield f"count {kind}: {words}", f"{kind}/count", body
        yield f"history of {kind}, 30 days", f"{kind}/history", month
    yield "list flow_runs: half way", "flow_runs/filter", {"limit": 200, "offset": 50_000}
    yield "list flow_runs: by start", "flow_runs/filter", {"limit": 200, "sort": "START_TIME_DESC"}
    yield "list flow_runs: of a flow", "flow_runs/filter", {"limit": 200, "flows": {"name": {"any_": ["flow-000"]}}}
    yield "count task_runs: of a flow", "task_runs/count", {"flows": {"name": {"any_": ["flow-000"]}}}


def measure(who: str, url: str, rows: int) -> None:
    """Send all questions, and report how long they took."""
    for words, path, body in questions(datetime.now(UTC)):
        try:
            size = len(ask(url, path, body))
        except OSError as error:
            report("at_size_peer", who=who, flow_runs=rows, request=words, failed=str(error))
            continue
        seconds: list[float] = []
        processors = Processors()
        while len(seconds) < ROUNDS and sum(seconds) < LONGEST:
            began = time.perf_counter()
            ask(url, path, body)
            seconds.append(time.perf_counter() - began)
        spent, _ = processors.since()
        report(
            "at_size_peer",
            who=who,
            flow_runs=rows,
            request=words,
            p50_ms=round(percentile(seconds, 0.5) * 1000, 1),
            cpu_ms=round(spent / len(seconds) * 1000, 1),
            bytes=size,
        )


def ask(url: str, path: str, body: dict[str, Any]) -> bytes:
    request = urllib.request.Request(
        f"{url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
        return bytes(answer.read())


def number_of_runs(url: str) -> int:
    return int(ask(url, "flow_runs/count", {}))


def main(home: Path, *, theirs: Path | None) -> None:
    with running_server(home) as (url, _):
        measure("orion", url, number_of_runs(url))
    with tempfile.TemporaryDirectory(prefix="peer-") as empty:
        folder = theirs or Path(empty)
        if not (folder / "prefect.db").exists():
            with peers.prefect_server(str(folder)):
                # The first start creates its tables.
                pass
            began = time.monotonic()
            copy_rows(home / "orion.db", folder / "prefect.db")
            print(f"rows were copied in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        with peers.prefect_server(str(folder)) as (url, _):
            measure(peers.PREFECT, url, number_of_runs(url))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where benchmarks.at_size keeps our database")
    parser.add_argument("--their-home", type=Path, help="keep Prefect's database there, and take the rows that it has")
    asked = parser.parse_args()
    main(asked.home, theirs=asked.their_home)
