"""The band of many runs in a timeline: averages over slices of time, drawn as areas and said as numbers."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.pages.axis import WHOLE, axis_of
from runs.pages.bands import averages, band_of
from runs.pages.selectors.cohorts import Cohort, Moment

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
# Fifty slices of a second each.
SLICES = axis_of(NOON, NOON + 50 * SECOND, []).slices()
EDGES = [float(second) for second in range(51)]
NIGHT = (NOON + 20 * SECOND, NOON + 8 * 3600 * SECOND)
TIMES = st.floats(-20, 70).map(lambda seconds: round(seconds, 3))


def at(second: float, runs: int = 1) -> Moment:
    """The moment that so many runs share."""
    return Moment(bisect_right(EDGES, second), second * runs)


@pytest.mark.parametrize(
    ("stays", "expected"),
    [
        ([(1, at(0), at(50))], [1.0] * 50),
        # Within one slice.
        ([(4, at(2.25, 4), at(2.5, 4))], [0.0, 0.0, 1.0]),
        # From before the axis into its second slice, and from its last slice to after it.
        ([(2, at(-9, 2), at(1.5, 2))], [2.0, 1.0]),
        ([(1, at(49.5), at(60))], [0.0] * 49 + [0.5]),
        # Before the axis, after it, no time at all, and by clocks that disagree.
        ([(1, at(-9), at(-1))], []),
        ([(1, at(55), at(60))], []),
        ([(9, at(3, 9), at(3, 9))], []),
        ([(1, at(30), at(3))], []),
    ],
)
def test_runs_count_by_the_time_that_they_stayed_in_each_slice(stays, expected):
    assert averages(stays, SLICES) == pytest.approx(expected + [0.0] * (50 - len(expected)), abs=1e-9)


@given(st.lists(st.tuples(TIMES, TIMES).map(sorted), max_size=20))
def test_all_slices_together_have_all_the_time_that_runs_spent_on_the_axis(stays):
    found = averages([(1, at(since), at(until)) for since, until in stays], SLICES)

    spent = sum(max(0.0, min(until, 50) - max(since, 0)) for since, until in stays)
    assert sum(found) == pytest.approx(spent, abs=1e-6)


def test_slices_follow_each_other_and_a_fold_is_one_of_them():
    axis = axis_of(NOON, NIGHT[1] + 20 * SECOND, [(NOON, NIGHT[0]), (NIGHT[1], NIGHT[1] + 20 * SECOND)])

    slices = axis.slices()

    assert (slices[0].x, slices[-1].x_end) == (0, WHOLE)
    assert all(one.end == other.begin and one.x_end == other.x for one, other in zip(slices, slices[1:], strict=False))
    assert [(one.begin, one.end) for one in slices if one.end - one.begin > 60 * SECOND] == [NIGHT]
    assert len(slices) <= 60
    assert axis.edges() == [NOON, *(one.end for one in slices)]


def test_a_band_has_waiting_above_and_work_below_with_the_worst_state_at_the_bottom():
    done = Cohort("COMPLETED", 8, at(0, 8), at(10, 8), at(30, 8))
    failed = Cohort("FAILED", 1, at(0), at(10), at(20))

    band = band_of([done, failed], SLICES)

    assert band is not None
    assert [(layer.kind, layer.state_type, layer.path) for layer in band.layers] == [
        ("wait", "", "M0 4V0.5H200V4H1000V4Z"),
        ("work", "COMPLETED", "M0 13H200V5H400V5.9H600V13H1000V13Z"),
        ("work", "FAILED", "M0 13H200V11.6H400V13H1000V13Z"),
    ]
    assert band.text == "up to 9 at work at a time, up to 9 waiting"
    assert band.course == [0, 0, 9, 9, 8, 8, 0, 0, 0, 0]


def test_runs_that_took_no_time_have_no_band():
    assert band_of([Cohort("COMPLETED", 60, at(5, 60), at(5, 60), at(5, 60))], SLICES) is None
