"""A database of an earlier revision is upgraded without loss: every row, value, answer of the API and page.

`upgraded/orion.db.gz` was made by commit 9e08862: by the exchanges of `tests/contract` without their deletions, by a
flow with nested flows, caches and failures, by deployments with every kind of schedule, by agents that hold runs, by
slots that are taken and by automations that have acted. `upgraded/answers.json.gz` is what its API answered.
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.site.running import RunningServer, orion, running_server

pytestmark = pytest.mark.slow

KEPT = Path(__file__).with_name("upgraded")
# The key that sealed the secrets of its blocks.
KEYS = {"ORION_ENCRYPTION_KEYS": "b3Jpb24gdGVzdHMga2VlcCBubyByZWFsIHNlY3JldHM="}
# What Django keeps for itself: an upgrade is there to add to it.
OF_DJANGO = ("django_", "auth_", "sqlite_")
# Tables that have another name since.
RENAMED: dict[str, str] = {}
# What answers leave out by now while it has these values.
LEFT_OUT = {
    **{"crash_retries": 0, "crash_count": 0, "overlap": "allow", "overlap_scope": "flow"},
    **{"parameters": {}, "misfire": "none", "calendars": []},
}
# What depends on when it is asked, or is told in other company.
OF_THE_MOMENT = frozenset(
    {
        *("estimated_run_time", "estimated_start_time_delta", "total_run_time", "status", "healthy", "active_slots"),
        *("total", "next_page", "last_polled", "late_runs_count", "runs_planned"),
    }
)


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table, by its name now."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            RENAMED.get(table, table): [
                # Ids have become sixteen bytes.
                {
                    name: value.hex() if type(value) is bytes and len(value) == 16 else value
                    for name, value in dict(row).items()
                }
                for row in database.execute(f'SELECT * FROM "{table}" ORDER BY 1')
            ]
            for table in tables
            if not table.startswith(OF_DJANGO)
        }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("upgraded")
    for name in ("orion.db", "before.db"):
        (home / name).write_bytes(gzip.decompress((KEPT / "orion.db.gz").read_bytes()))
    upgraded = orion(home, "database", "upgrade", "--later", **KEYS)
    assert upgraded.returncode == 0, upgraded.stderr
    # As the upgrade left it: a server that runs goes on writing. A part of it may be in the log beside the file.
    with closing(sqlite3.connect(home / "orion.db")) as left, closing(sqlite3.connect(home / "after.db")) as kept:
        left.backup(kept)
    folded = orion(home, "database", "upgrade", **KEYS)
    assert "Folded the states of" in folded.stderr
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home, "--no-services", **KEYS) as server:
        yield server


def differences(before: Any, now: Any, where: str = "", apart_from: frozenset[str] = frozenset()) -> Iterator[str]:
    """List what was lost or changed; additions are no difference."""
    match before, now:
        case dict(), dict():
            for name in before.keys() - apart_from:
                yield from differences(before[name], now.get(name, LEFT_OUT.get(name)), f"{where}.{name}", apart_from)
        case [{"id": _}, *_], [{"id": _}, *_]:
            yield from differences(_by_id(before), _by_id(now), where, apart_from)
        case list(), list() if len(before) == len(now):
            for number, pair in enumerate(zip(before, now, strict=True)):
                yield from differences(*pair, f"{where}[{number}]", apart_from)
        case _ if before != now:
            yield f"{where}: {before!r} became {now!r}"


def _by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def test_every_row_is_carried_with_its_values(home: Path):
    before, after = rows(home / "before.db"), rows(home / "after.db")

    assert sum(bool(content) for content in before.values()) == 35
    assert list(differences(before, after)) == []


def test_the_planner_knows_the_indexes_that_were_rebuilt(home: Path):
    with closing(sqlite3.connect(home / "after.db")) as database:
        unknown = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('runs_flowrun', 'runs_taskrun') "
            "AND sql NOT LIKE '%WHERE%' AND name NOT IN (SELECT idx FROM sqlite_stat1 WHERE idx IS NOT NULL)"
        ).fetchall()

    assert unknown == []


def test_the_api_answers_what_it_answered_before(server: RunningServer):
    answers = gzip.decompress((KEPT / "answers.json.gz").read_bytes()).decode()
    # Moments were spelled with a Z then.
    exchanges = json.loads(re.sub(r'(T\d\d:\d\d:\d\d[.\d]*)Z"', r'\1+00:00"', answers))

    lost = [
        change
        for one in exchanges
        for change in differences(one["answer"], _asked(server, one), one["path"], OF_THE_MOMENT)
    ]

    assert lost == []


def _asked(server: RunningServer, exchange: dict[str, Any]) -> Any:
    body = None if exchange["body"] is None else json.dumps(exchange["body"]).encode()
    _, _, content = server.request(
        exchange["method"], f"/api{exchange['path']}", body, {"Content-Type": "application/json"}
    )
    return json.loads(content)


def test_every_page_shows_it(home: Path, server: RunningServer):
    ids = {
        kind: [UUID(row["id"]) for row in rows(home / "before.db")[f"runs_{kind}"]]
        for kind in ("flow", "flowrun", "taskrun")
    }
    paths = [
        *("/runs", "/flows", "/status"),
        *(f"/flows/{id}" for id in ids["flow"]),
        *(f"/runs/{id}" for id in ids["flowrun"]),
        *(f"/task-runs/{id}" for id in ids["taskrun"]),
    ]

    assert {path: server.get(path)[0] for path in paths} == dict.fromkeys(paths, 200)
