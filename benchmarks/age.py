"""The cost of a transition with more and more finished runs: processor time and statements, as ratios.

python -m benchmarks.age                                                 with 0, 100,000 and a million task runs
python -m benchmarks.age --rows 0 1000000 20000000 --database postgresql

Finished runs are reported once, and copied to the hundred days before with SQL. Each size has a database of its own,
and they take turns, so that other load on the machine affects all of them. Times are processor time, including that of
PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from benchmarks.copying import TABLES, copy_runs
from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, percentile, report
from benchmarks.postgresql import postgresql

SIZES = (0, 10_000) if QUICK else (0, 100_000, 1_000_000)
ROUNDS = 3 if QUICK else 15
# The copied runs: the number of flow runs, and of task runs in each.
FLOW_RUNS, TASKS = 10, 500
EACH = FLOW_RUNS * TASKS
TASKS_AT_ONCE, SINGLES = 100, 10
KINDS = ("in a batch", "one by one")


# --- in the child process, whose Django uses one database -------------------------------------------------------------


def child(task_runs: int) -> None:
    """Fill the database, then measure one round for each line of standard input."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    django.setup()
    from benchmarks.retention import Api

    api = Api()
    began = time.perf_counter()
    if task_runs:
        fill(api, task_runs // EACH)
    print(json.dumps({"filled_seconds": round(time.perf_counter() - began, 1)}), flush=True)
    run = api.new_run()
    for _ in sys.stdin:
        print(json.dumps(measured_round(api, run)), flush=True)


def measured_round(api: Any, run: UUID) -> dict[str, tuple[float, int]]:
    """Return, for each kind of work, the microseconds of a transition and the number of statements."""

    def single() -> None:
        for _ in range(SINGLES):
            api.complete(api.new_run())

    works: dict[str, tuple[Callable[[], object], int]] = {
        KINDS[0]: (lambda: api.report_tasks(run, TASKS_AT_ONCE), 3 * TASKS_AT_ONCE),
        # A run that is created as RUNNING, and then COMPLETED.
        KINDS[1]: (single, 2 * SINGLES),
    }
    return {kind: _cost(work, number) for kind, (work, number) in works.items()}


def _cost(work: Callable[[], object], transitions: int) -> tuple[float, int]:
    from django.db import connection

    from benchmarks.at_size import processor_seconds

    statements = 0

    def count(execute: Callable[..., Any], *asked: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*asked)

    with connection.execute_wrapper(count):
        worked = processor_seconds()
        work()
        return (processor_seconds() - worked) / transitions * 1e6, statements


def fill(api: Any, copies: int) -> None:
    """Report runs like a program, and copy them, the oldest copy first, so that ids and times ascend."""
    for _ in range(FLOW_RUNS):
        run = api.new_run()
        for _ in range(TASKS // TASKS_AT_ONCE):
            api.report_tasks(run, TASKS_AT_ONCE)
        api.complete(run)
    from django.db import connection

    with connection.cursor() as cursor, _bare_tables(cursor):
        copy_runs(connection.connection, copies - 1)


@contextlib.contextmanager
def _bare_tables(cursor: Any) -> Iterator[None]:
    """Do without triggers and secondary indexes in the block, which would take several times as long as the rows.

    Indexes are built from all rows at the end, like those of a database that was restored from a backup.
    """
    from django.db import connection

    bare = _bare_in_postgresql if connection.vendor == "postgresql" else _bare_in_sqlite
    with bare(cursor):
        yield
    cursor.execute("ANALYZE")


@contextlib.contextmanager
def _bare_in_postgresql(cursor: Any) -> Iterator[None]:
    cursor.execute("SET session_replication_role = replica")
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = ANY(%s::regclass[])"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [list(TABLES)],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    for _, sql in indexes:
        cursor.execute(sql)
    cursor.execute("RESET session_replication_role")
    cursor.execute("RESET statement_timeout")


@contextlib.contextmanager
def _bare_in_sqlite(cursor: Any) -> Iterator[None]:
    cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = [
        (kind, name, sql)
        for kind, name, table, sql in cursor.fetchall()
        if kind == "trigger" or (kind == "index" and table in TABLES)
    ]
    for kind, name, _ in found:
        cursor.execute(f"DROP {kind} {name}")
    yield
    for _, _, sql in found:
        cursor.execute(sql)


# --- all databases in turn -------------------------------------------------------------------------------------------


class Child:
    """The child process of one database."""

    def __init__(self, task_runs: int, settings: dict[str, str], stack: contextlib.ExitStack) -> None:
        self.task_runs = task_runs
        env = environment(stack.enter_context(empty_home()), **settings)
        subprocess.run([ORION, "database", "upgrade"], env=env, check=True, capture_output=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.age", "--fill", str(task_runs)],
            env=env, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        stack.callback(self._end)
        self.filled_seconds = self._answer()["filled_seconds"]

    def round(self) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process beside {self.task_runs} task runs ended with {self._process.wait()}")
        return json.loads(line)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(database: str, sizes: Sequence[int]) -> None:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgresql()) if database == "postgresql" else ""
        children = [Child(size, _own(url, size) if url else {}, stack) for size in sizes]
        rounds = [[child.round() for child in children] for _ in range(ROUNDS)]
        for kind in KINDS:
            beside_none = [one[0][kind][0] for one in rounds]
            for place, child in enumerate(children):
                costs = [one[place][kind][0] for one in rounds]
                # Ratios within a round, because the load of the machine varies between rounds.
                ratios = [cost / none for cost, none in zip(costs, beside_none, strict=True)]
                report(
                    "age",
                    database=database,
                    transitions=kind,
                    beside_task_runs=child.task_runs,
                    cpu_us=round(percentile(costs, 0.5), 1),
                    ratio=round(percentile(ratios, 0.5), 3),
                    statements=rounds[-1][place][kind][1],
                    filled_seconds=child.filled_seconds,
                )


def _own(url: str, size: int) -> dict[str, str]:
    """Return the settings for a new database on the same server."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE beside_{size}")
    return {"ORION_DATABASE_URL": urlunsplit(urlsplit(url)._replace(path=f"/beside_{size}"))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="task runs that have finished")
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fill is not None:
        child(asked.fill)
    else:
        for database in [asked.database] if asked.database else ["sqlite", "postgresql"]:
            measure(database, asked.rows)
