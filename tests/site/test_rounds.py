"""The databases share the cases of a test: none is left out, and none runs twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests import rounds
from tests.conftest import RENEWALS, pytest_configure
from tests.rounds import (
    DIVIDED,
    ON_POSTGRESQL_ALONE,
    ON_SQLITE_ALONE,
    has_nothing_for,
    is_left_to_a_neighbour,
    is_left_to_the_other_database,
    places_of,
)

PAGES = f"{DIVIDED[-1]}test_pages.py::test_a_page"


def sides_of(monkeypatch: pytest.MonkeyPatch, case: Any) -> list[int]:
    """On which databases a case runs: 0 is SQLite, 1 is PostgreSQL."""
    found = []
    for side in (0, 1):
        monkeypatch.setattr(rounds, "SIDE", side)
        if not is_left_to_the_other_database(case):
            found.append(side)
    return found


def case_of(test: str, lists: dict[str, int], marks: Sequence[str] = ()) -> Any:
    """A case that takes these places of lists, each of which gives one argument or, after commas, several."""
    places = {name.strip(): place for names, place in lists.items() for name in names.split(",")}
    marked = [
        SimpleNamespace(args=[names, [(row, row) if "," in names else row for row in range(9)]]) for names in lists
    ]
    # As pytest counts the cases of several lists.
    number = sum(place * 9**power for power, place in enumerate(lists.values()))
    return SimpleNamespace(
        nodeid=f"{test}[{list(lists.values())}]",
        callspec=SimpleNamespace(indices=dict.fromkeys(places, number), params=places),
        iter_markers=lambda name: marked,
        get_closest_marker=lambda name: SimpleNamespace(kwargs={"transaction": True}) if name in marks else None,
    )


@pytest.mark.parametrize("number", range(4))
def test_each_case_runs_on_one_database_and_every_fourth_on_postgresql(monkeypatch: pytest.MonkeyPatch, number: int):
    cases = [case_of(f"{PAGES}_{number}", {"path, status": place}) for place in range(8)]

    sides = [sides_of(monkeypatch, case) for case in cases]

    assert sorted(sides) == [[0]] * 6 + [[1]] * 2


def test_of_two_lists_each_row_and_each_column_is_on_both_databases(monkeypatch: pytest.MonkeyPatch):
    sides = {
        (row, column): sides_of(monkeypatch, case_of(PAGES, {"row": row, "column": column}))
        for row, column in product(range(4), range(4))
    }

    for number in range(4):
        assert sorted(sides[number, column] for column in range(4)) == [[0]] * 3 + [[1]]
        assert sorted(sides[row, number] for row in range(4)) == [[0]] * 3 + [[1]]


def test_tests_without_cases_are_divided_too(monkeypatch: pytest.MonkeyPatch):
    sides = [sides_of(monkeypatch, case_of(f"{PAGES}_{number}", {})) for number in range(40)]

    assert {len(databases) for databases in sides} == {1}
    assert [0] in sides
    assert [1] in sides


@pytest.mark.parametrize(
    "whole",
    [
        case_of(PAGES, {}, ["django_db"]),
        case_of(PAGES, {}, ["undivided"]),
        case_of(PAGES, {"path": 1}, ["undivided"]),
        case_of(PAGES, {"path": 1}, ["skipif"]),
        case_of("tests/services/test_claims.py::test_a_claim", {"path": 1}),
        case_of("tests/services/test_claims.py::test_a_claim", {}),
    ],
    ids=lambda case: case.nodeid,
)
def test_other_tests_run_on_both(monkeypatch: pytest.MonkeyPatch, whole: Any):
    assert sides_of(monkeypatch, whole) == [0, 1]


def test_tests_with_their_own_database_all_run_on_sqlite(monkeypatch: pytest.MonkeyPatch):
    assert [sides_of(monkeypatch, case_of(f"{path}::test", {"x": n})) for path in ON_SQLITE_ALONE for n in (0, 1)] == [
        [0]
    ] * 2 * len(ON_SQLITE_ALONE)


def test_tests_that_start_postgresql_run_with_postgresql(monkeypatch: pytest.MonkeyPatch):
    assert [sides_of(monkeypatch, case_of(f"{path}::test", {})) for path in ON_POSTGRESQL_ALONE] == [[1]] * len(
        ON_POSTGRESQL_ALONE
    )


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize(("row", "name"), [(0, "a"), pytest.param(1, "b"), (2, "c")])
def test_places_are_those_in_each_list(request: pytest.FixtureRequest, row: int, name: str, column: int):
    assert places_of(request.node) == [row, column]


@pytest.mark.turns
@pytest.mark.parametrize("column", range(2))
@pytest.mark.parametrize("row", range(2))
def test_of_two_lists_that_take_turns_every_second_pair_is_left_to_others(
    request: pytest.FixtureRequest, row: int, column: int
):
    assert is_left_to_a_neighbour(request.node) == (row != column)


BRIEF = "not long and not programs and (short or not browser)"


@pytest.mark.parametrize(
    ("source", "is_left_out"),
    [
        ("pytestmark = pytest.mark.long\n", True),
        ("pytestmark = [\n    pytest.mark.slow,\n    pytest.mark.long,\n]\n", True),
        ("pytestmark = pytest.mark.programs\n", True),
        ("pytestmark = [pytest.mark.browser, pytest.mark.slow]\n", True),
        ("pytestmark = pytest.mark.browser\n\n@pytest.mark.short\ndef test_it(): ...\n", False),
        ("pytestmark = pytest.mark.slow\n\n@pytest.mark.long\ndef test_it(): ...\n", False),
        ("@pytest.mark.long\ndef test_it(): ...\n", False),
    ],
)
def test_files_whose_own_marks_leave_them_out_are_not_loaded(source: str, is_left_out: bool):
    assert has_nothing_for(BRIEF, f"import pytest\n\n{source}") == is_left_out
    assert not has_nothing_for("not slow", f"import pytest\n\n{source}")


@pytest.mark.parametrize("name", RENEWALS)
def test_files_are_not_renewed_side_by_side(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "1")
    with_workers, alone = (SimpleNamespace(getoption=lambda name, default, n=n: n) for n in (2, 0))

    pytest_configure(alone)
    with pytest.raises(pytest.UsageError, match=f"{name} writes files"):
        pytest_configure(with_workers)
