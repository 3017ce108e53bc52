"""`orion database partition` shows its plan, runs once, and may be killed at any moment."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.homes import ready_home
from tests.postgresql import running_postgresql
from tests.rounds import THOROUGH
from tests.site.running import environment, orion

ROWS = 150_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_postgresql(ready=True) as url:
        yield url


def partition(tmp_path: Path, url: str, *words: str) -> subprocess.CompletedProcess:
    return orion(tmp_path, "database", "partition", *words, ORION_DATABASE_URL=url)


def kinds(url: str) -> dict[str, str]:
    with psycopg.connect(url) as database:
        return dict(
            database.execute(
                "SELECT relname, relkind::text FROM pg_class WHERE relname IN ('runs_log', 'events_event')"
            ).fetchall()
        )


def count(url: str) -> int:
    with psycopg.connect(url) as database:
        return database.execute("SELECT count(*) FROM runs_log").fetchone()[0]


def test_sqlite_has_no_partitions(tmp_path: Path):
    ready_home(tmp_path)

    answer = orion(tmp_path, "database", "partition", "--yes")

    assert answer.returncode == 2
    assert "has no partitions" in answer.stderr


@pytest.mark.slow
def test_a_killed_conversion_leaves_tables_plain_or_partitioned_and_continues(tmp_path: Path, url: str):
    fill(url)
    assert [one["table"] for one in json.loads(partition(tmp_path, url, "--dry-run", "-o", "json").stdout)] == [
        "runs_log",
        "events_event",
    ]
    command = [sys.executable, "-m", "orionflow", "database", "partition", "--yes"]
    for _ in range(3 if THOROUGH else 1):
        running = subprocess.Popen(command, env=environment(tmp_path, ORION_DATABASE_URL=url), stderr=subprocess.PIPE)
        time.sleep(random.uniform(0.8, 2.5))
        running.kill()
        running.communicate()

        assert set(kinds(url).values()) <= {"r", "p"}
        assert count(url) == ROWS

    answer = partition(tmp_path, url, "--yes", "-o", "json")

    assert answer.returncode == 0, answer.stderr
    assert kinds(url) == {"runs_log": "p", "events_event": "p"}
    assert count(url) == ROWS
    assert json.loads(partition(tmp_path, url, "--yes", "-o", "json").stdout) == []
    assert orion(tmp_path, "database", "check", ORION_DATABASE_URL=url).returncode == 0


def fill(url: str) -> None:
    """Lines of the last hundred days, one in ten under an id of version 4."""
    with psycopg.connect(url) as database:
        database.execute(
            "INSERT INTO runs_log (id, created, name, level, message, timestamp) SELECT "
            "CASE WHEN n %% 10 = 0 THEN gen_random_uuid() ELSE (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), "
            "12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid END, "
            "at, 'x', 20, 'hello', at FROM (SELECT n, now() - n * interval '100 days' / %s AS at "
            "FROM generate_series(1, %s) n) lines",
            [ROWS, ROWS],
        )
