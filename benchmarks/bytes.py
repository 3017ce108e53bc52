"""Bytes in the database for each finished task run, by table and index, in-process and through a server.

A flow of no-op tasks fills an empty database, whose tables are measured before and after; the flow and its run are
spread over the tasks. `compacted` is the size of the same rows without the space of dead rows.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from benchmarks import peers
from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, report, running_server
from benchmarks.postgresql import postgresql

Sizes = dict[str, int]
TASKS = 2000 if QUICK else 10_000
# Tables and indexes with fewer bytes per task run are not listed separately.
SMALL = 1.0

_RELATIONS = (
    "SELECT relname, pg_relation_size(oid) + COALESCE(pg_total_relation_size(NULLIF(reltoastrelid, 0)), 0) "
    "FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
)


def sizes_of_file(path: Path, *, compacted: bool = False) -> Sizes:
    """Return the bytes of each table and index of a SQLite file, and the unused bytes."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if compacted:
            database.execute("VACUUM")
        sizes = dict(database.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall())
        ((free, page),) = database.execute(
            "SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size"
        )
        return {**sizes, "free": free * page}


def sizes_of_postgresql(url: str, *, compacted: bool = False) -> Sizes:
    """Return the bytes of each table (including TOAST) and index."""
    with closing(psycopg.connect(url, autocommit=True)) as database:
        database.execute("VACUUM FULL" if compacted else "CHECKPOINT")
        return dict(database.execute(_RELATIONS).fetchall())


def ours(number: int, *, through_server: bool, database_url: str | None = None) -> None:
    where = {"ORION_DATABASE_URL": database_url} if database_url else {}
    with empty_home() as home:

        def sizes(compacted: bool) -> Sizes:
            if database_url:
                return sizes_of_postgresql(database_url, compacted=compacted)
            return sizes_of_file(home / "orion.db", compacted=compacted)

        name = {"database": "postgresql" if database_url else "sqlite", "reported": "in process"}
        if not through_server:
            upgrade = [ORION, "database", "upgrade"]
            subprocess.run(upgrade, env=environment(home, **where), check=True, capture_output=True)
            _measure(name, number, lambda tasks: _run(home, tasks, **where), sizes)
            return
        with running_server(home, **where) as (url, _), empty_home() as elsewhere:
            name["reported"] = "to a server"
            _measure(name, number, lambda tasks: _run(elsewhere, tasks, ORION_API_URL=url), sizes)


def _run(home: Path, tasks: int, **more: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "noop_tasks.py"), "submit", str(tasks)]
    done = subprocess.run(command, env=environment(home, **more), check=True, capture_output=True, text=True)
    if json.loads(done.stdout.splitlines()[-1])["completed_at_return"] != tasks:
        raise RuntimeError(f"not all of {tasks} task runs were recorded")


def _measure(name: dict[str, str], tasks: int, run: Callable[[int], None], sizes: Callable[[bool], Sizes]) -> None:
    run(1)
    before = sizes(False)
    run(tasks)
    after, compacted = sizes(False), sizes(True)
    for what, total in _for_each(tasks, before, after).items():
        if total >= SMALL:
            report("bytes", who="orion", **name, tasks=tasks, what=what, bytes_per_task=total)
    grown = sum(after.values()) - sum(before.values())
    packed = sum(compacted.values()) - sum(before.values())
    report(
        "bytes",
        who="orion",
        **name,
        tasks=tasks,
        what="everything",
        bytes_per_task=round(grown / tasks, 1),
        compacted=round(packed / tasks, 1),
    )


def _for_each(tasks: int, before: Sizes, after: Sizes) -> dict[str, float]:
    grown = {name: round((size - before.get(name, 0)) / tasks, 1) for name, size in after.items()}
    return dict(sorted(grown.items(), key=lambda one: -one[1]))


def peer(number: int) -> None:
    """Measure Prefect 2 with the same history in a file of its own."""
    with peers.attempt(peers.PREFECT_2, "bytes"), empty_home() as home:
        environment_of_peer = peers.bare_environment(str(home))
        python = str(peers.python_of(peers.PREFECT_2))

        def run(tasks: int) -> None:
            script = str(peers.SCRIPTS / "prefect2_history.py")
            subprocess.run([python, script, str(tasks)], env=environment_of_peer, check=True, capture_output=True)

        run(1)
        before = sizes_of_file(home / "prefect.db")
        run(number)
        after = sizes_of_file(home / "prefect.db")
        who = {"who": peers.PREFECT_2, "database": "sqlite", "reported": "in process", "tasks": number}
        for what, total in _for_each(number, before, after).items():
            if total >= SMALL:
                report("bytes", **who, what=what, bytes_per_task=total)
        grown = sum(after.values()) - sum(before.values())
        report("bytes", **who, what="everything", bytes_per_task=round(grown / number, 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true", help="Prefect 2 beside us")
    parser.add_argument("--tasks", type=int, default=TASKS, help="how many task runs")
    parser.add_argument("--brief", action="store_true", help="in-process and on SQLite only")
    asked = parser.parse_args()
    ours(asked.tasks, through_server=False)
    if not asked.brief:
        ours(asked.tasks, through_server=True)
        for through_server in (False, True):
            with postgresql() as url:
                ours(asked.tasks, through_server=through_server, database_url=url)
    if asked.peer:
        # Its tasks take about fifty times as long.
        peer(min(asked.tasks, 1000))
