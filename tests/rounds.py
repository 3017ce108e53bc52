"""How long generative, hostile and stormy tests go on: briefly, or as long as `ORION_CHAOS_ROUNDS` says.

A brief round meets every kind of case a few times; `make thorough` and `make chaos` meet each many times.

What the two databases share is divided among them: see `is_left_to_the_other_database`.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

T = TypeVar("T")
U = TypeVar("U")

# The two databases take different cases in a brief round.
SIDE = 1 if os.environ.get("ORION_TEST_DATABASE") == "postgresql" else 0
ROUNDS = int(os.environ.get("ORION_CHAOS_ROUNDS", "0"))
THOROUGH = ROUNDS > 0


# They ask the database through services and selectors, each of which has tests that both databases run. PostgreSQL
# takes one turn in four: there a case takes twice as long as on SQLite.
TURNS = 4
DIVIDED = ("tests/api/", "tests/live/", "tests/security/", "tests/sockets/", "tests/web/")
# They have a process and a SQLite file of their own, or ask no database. `make thorough` repeats them on PostgreSQL.
ON_SQLITE_ALONE = tuple(
    f"tests/{name}"
    for name in (
        "api/test_embedded.py",
        "api/test_fuzz.py",
        "api/test_guard.py",
        "api/test_openapi.py",
        "api/test_permissions.py",
        "faults/test_full_disk.py::test_on_a_disk_too_small_for_a_database_none_is_created",
        "faults/test_full_disk.py::test_a_program_with_its_database_on_a_full_disk_names_the_disk",
        "faults/test_interrupted_upgrade.py::test_an_upgrade",
        "faults/test_outages.py::test_runs_outlast_an_api_that_is_killed_every_second",
        "security/test_homes.py",
        "security/test_local_owner.py",
        "security/test_local_token.py",
        "security/test_own_rules.py",
        "security/test_peers.py",
        "sockets/test_live_server.py",
        "web/test_hostile_pages.py",
    )
)
# They are about servers that share a PostgreSQL, or start one themselves. `make chaos` repeats them on SQLite.
ON_POSTGRESQL_ALONE = tuple(
    f"tests/faults/{name}.py" for name in ("test_cluster_ticking", "test_nemesis", "test_postgresql_restart")
)

MODULE_MARKS = re.compile(r"^pytestmark = (\[[^\]]*\]|.*)", re.MULTILINE)


def is_file_of_the_other_database(path: str) -> bool:
    """Whether a brief round on this database runs nothing of a file."""
    return path in (ON_POSTGRESQL_ALONE, ON_SQLITE_ALONE)[SIDE]


def has_nothing_for(expression: str, source: str) -> bool:
    """Whether the `-m` expression of a brief round leaves out all tests of a file, as its own `pytestmark` says."""
    marks = MODULE_MARKS.search(source)
    if marks is None:
        return False
    is_long, is_program, is_browser = (f"pytest.mark.{name}" in marks[0] for name in ("long", "programs", "browser"))
    return (
        (is_long and "not long" in expression)
        or (is_program and "not programs" in expression)
        or (is_browser and "short or not browser" in expression and "pytest.mark.short" not in source)
    )


def is_left_to_the_other_database(item: pytest.Item) -> bool:
    """Whether a brief round on the other database does what this item would do.

    Tests take turns, and so do the cases of a parametrised one: of one list PostgreSQL has every fourth case, of two
    lists the fields of every fourth diagonal, and SQLite has the others. Both run a test that is marked as `undivided`,
    that chooses its database itself, or whose threads meet in the database, as transactions of its own say.
    """
    if item.nodeid.startswith(ON_SQLITE_ALONE):
        return SIDE == 1
    if item.nodeid.startswith(ON_POSTGRESQL_ALONE):
        return SIDE == 0
    if not item.nodeid.startswith(DIVIDED) or any(map(item.get_closest_marker, ("undivided", "skipif"))):
        return False
    places = places_of(item)
    if not places and (database := item.get_closest_marker("django_db")) and database.kwargs.get("transaction"):
        return False
    # Divide by the name of the test, so that the first cases of all tests are not on one side.
    turn = (sum(places) + zlib.crc32(item.nodeid.partition("[")[0].encode())) % TURNS
    return (1 if turn == 0 else 0) != SIDE


def places_of(item: pytest.Item) -> list[int]:
    """Return the place of a case in each list that its test is parametrised with.

    The indices of pytest do not say it: with two lists, each is the place among all cases of the test.
    """
    callspec, places = getattr(item, "callspec", None), []
    for mark in item.iter_markers("parametrize"):
        name, *others = _names(mark)
        if callspec is None or name not in callspec.params:
            continue
        firsts = (row.values[0] if isinstance(row, _MARKED_ROW) else row[0] if others else row for row in mark.args[1])
        value = callspec.params[name]
        places.append(next((place for place, first in enumerate(firsts) if first is value), callspec.indices[name]))
    return places


_MARKED_ROW = type(pytest.param())


def _names(mark: pytest.Mark) -> list[str]:
    names = mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]


def is_left_to_a_neighbour(item: pytest.Item) -> bool:
    """Whether a brief round leaves this pair of two lists to others: each row meets every second column.

    For tests marked with `turns`; unlike `in_turn`, one list may be that of a fixture. With one list, the tests are the
    rows: one test meets a Redis and the next one a folder.
    """
    if item.get_closest_marker("turns") is None:
        return False
    marked = {name for mark in item.iter_markers("parametrize") for name in _names(mark)}
    indices = getattr(getattr(item, "callspec", None), "indices", {})
    places = [*places_of(item), *(place for name, place in indices.items() if name not in marked)]
    if not places:
        return False
    if len(places) == 1:
        places.append(zlib.crc32(item.nodeid.partition("[")[0].encode()))
    return sum(places) % 2 == 1


def rounds(few: int) -> int:
    """How often a storm comes: `few` times in a brief round."""
    return ROUNDS or few


def share(cases: Sequence[T], number: int, of: int) -> Sequence[T]:
    """In a brief round share `number` of `of`, as neighbours and the other database take the rest; else all cases."""
    return cases if THOROUGH else cases[(number + SIDE * of // 2) % of :: of]


def in_turn(rows: Iterable[T], columns: Iterable[U]) -> list[Any]:
    """All pairs for `parametrize`; in a brief round each row meets every second column, and the next row the others."""
    return [
        pytest.param(row, column, marks=[pytest.mark.long] if (number + place) % 2 else [])
        for number, row in enumerate(rows)
        for place, column in enumerate(columns)
    ]


def examples(few: int, many: int | None = None) -> settings:
    """Hypothesis settings: `few` examples in a brief round; `many`, or ten times as many, in one of 40 rounds."""
    count = max(few, (many or 10 * few) * ROUNDS // 40)
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
