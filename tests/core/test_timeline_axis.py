"""The axis of a timeline: it grows with time, folds only where nothing ran, and is as wide as it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runs.pages.axis import NEAREST_TICKS, WHOLE, WIDTH_OF_FOLD, axis_of

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECONDS = st.one_of(st.floats(0, 300), st.floats(0, 200_000)).map(lambda seconds: timedelta(seconds=seconds))
STRETCHES = st.lists(st.tuples(SECONDS, SECONDS).map(lambda two: (BEGIN + min(two), BEGIN + max(two))), max_size=30)


@given(STRETCHES, SECONDS, st.lists(SECONDS, max_size=10))
def test_later_is_never_further_left_and_everything_is_on_the_axis(busy, lasted, moments):
    axis = axis_of(BEGIN, BEGIN + lasted, busy)

    drawn = [axis.at(BEGIN + moment) for moment in sorted(moments)]

    assert all(one <= other + 0.05 for one, other in zip(drawn, drawn[1:], strict=False))
    assert all(-0.05 <= one <= WHOLE + 0.05 for one in drawn)


@given(STRETCHES, SECONDS)
def test_only_stretches_without_work_are_folded_and_all_have_one_width(busy, lasted):
    axis = axis_of(BEGIN, BEGIN + lasted, busy)

    for fold in axis.folds:
        assert fold.width == WIDTH_OF_FOLD
        assert not any(since < fold.end and until > fold.begin and until > since for since, until in busy)


@given(STRETCHES, SECONDS)
def test_what_is_not_folded_is_to_one_scale(busy, lasted):
    axis = axis_of(BEGIN, BEGIN + lasted, busy)

    scales = [piece.scale for piece in axis.pieces if not piece.is_folded and piece.width > 1]

    assert all(abs(scale / scales[0] - 1) < 0.05 for scale in scales)


@given(STRETCHES, SECONDS)
def test_ticks_are_few_and_apart(busy, lasted):
    ticks = axis_of(BEGIN, BEGIN + lasted, busy).ticks()

    assert len(ticks) <= 100 / NEAREST_TICKS + 1
    assert all(later.percent - tick.percent >= NEAREST_TICKS for tick, later in zip(ticks, ticks[1:], strict=False))


@given(STRETCHES, SECONDS)
def test_to_scale_nothing_is_folded(busy, lasted):
    assert axis_of(BEGIN, BEGIN + lasted, busy, to_scale=True).folds == []
