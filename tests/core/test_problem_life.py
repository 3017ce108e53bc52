"""The life of a problem: where each failure moves it, and which changes are worth an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.problems.core import HOURS, Change, Failure, Standing, after_failure, with_failures
from tests.factories import NOON
from tests.rounds import THOROUGH

HOUR = timedelta(hours=1)
KNOWN = Standing("ongoing", NOON, failures=5, noticed=1, version="1")
RESOLVED = replace(KNOWN, status="resolved")
MUTED = replace(KNOWN, status="muted")


def failing(at=NOON + HOUR, started=NOON + HOUR, version="1") -> Failure:
    return Failure(at, started, version)


@pytest.mark.parametrize(
    ("before", "failure", "status", "change"),
    [
        (Standing("new", NOON), failing(), "new", Change.NEW),
        (replace(KNOWN, status="new"), failing(), "new", None),
        (KNOWN, failing(), "ongoing", None),
        (replace(KNOWN, failures=9), failing(), "ongoing", Change.GROWING),
        (replace(KNOWN, failures=10, noticed=10), failing(), "ongoing", None),
        (replace(KNOWN, failures=99, noticed=10), failing(), "ongoing", Change.GROWING),
        # Closed by itself: the same version is not mended, another or an unknown one has it again.
        (RESOLVED, failing(), "ongoing", None),
        (RESOLVED, failing(version="2"), "regressed", Change.REGRESSED),
        (RESOLVED, failing(version=""), "regressed", Change.REGRESSED),
        (replace(RESOLVED, version=""), failing(version="1"), "regressed", Change.REGRESSED),
        # Closed by somebody: any run that began later.
        (replace(RESOLVED, resolved_by="ada"), failing(), "regressed", Change.REGRESSED),
        # A run that began before ran the old code.
        (replace(RESOLVED, resolved_by="ada"), failing(started=NOON - HOUR), "resolved", None),
        (RESOLVED, failing(started=NOON - HOUR, version="2"), "resolved", None),
        (RESOLVED, failing(started=None, version="2"), "regressed", Change.REGRESSED),
        # Muted.
        (MUTED, failing(version="2"), "muted", None),
        (replace(MUTED, muted_until_failures=7), failing(), "muted", None),
        (replace(MUTED, muted_until_failures=6), failing(), "ongoing", Change.GROWING),
        (replace(MUTED, muted_in_version="1"), failing(), "muted", None),
        (replace(MUTED, muted_in_version="1"), failing(version=""), "muted", None),
        (replace(MUTED, muted_in_version="1"), failing(version="2"), "regressed", Change.REGRESSED),
        (replace(MUTED, muted_in_version=""), failing(version="2"), "regressed", Change.REGRESSED),
        (replace(MUTED, muted_until=NOON + 2 * HOUR), failing(), "muted", None),
        (replace(MUTED, muted_until=NOON + HOUR), failing(), "ongoing", Change.GROWING),
        (replace(MUTED, failures=10_000, noticed=1), failing(), "muted", None),
    ],
)
def test_a_failure_moves_a_problem(before: Standing, failure: Failure, status: str, change: Change | None):
    after, noticed = after_failure(before, failure)

    assert (after.status, noticed) == (status, change)
    assert after.failures == before.failures + 1


def test_what_is_back_has_nothing_left_of_its_muting():
    before = replace(MUTED, muted_until_failures=6, muted_in_version="1", muted_until=NOON + 9 * HOUR)

    after, _ = after_failure(before, failing())

    assert (after.muted_until, after.muted_until_failures, after.muted_in_version) == (None, None, None)


@given(st.integers(min_value=1, max_value=5_000 if THOROUGH else 1_500))
def test_a_storm_is_noticed_once_for_each_power_of_ten(number: int):
    standing, changes = Standing("new", NOON), []
    for _ in range(number):
        standing, change = after_failure(standing, failing())
        changes.append(change)

    found = [change for change in changes if change]
    assert found == [Change.NEW, *[Change.GROWING] * (len(str(number)) - 1)]


def test_a_trend_keeps_its_newest_hours():
    trend: dict[str, int] = {}
    for number in range(100):
        trend = with_failures(trend, [NOON + number * HOUR] * 2)

    assert len(trend) == HOURS
    assert set(trend.values()) == {2}
    assert max(trend) == (NOON + 99 * HOUR).strftime("%Y-%m-%dT%H")
