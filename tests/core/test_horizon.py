"""How far ahead a schedule is planned: from a timetable, a cursor and the limits alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.schedules.core.horizon import BUSY_WAIT, Horizon, look_ahead, missed_times, plan

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
USUAL = Horizon()


class Every:
    """A time every so many seconds from noon on and before it; `last` ends it."""

    def __init__(self, seconds, last=None):
        self.step, self.last = timedelta(seconds=seconds), last

    def after(self, moment, *, inclusive=False):
        number = (moment - NOON) // self.step + 1
        while True:
            at = NOON + number * self.step
            if self.last is not None and at > self.last:
                return
            yield at
            number += 1


def planned(timetable, *, since=NOON, now=NOON, horizon=USUAL, missed=(), **limits):
    ahead = look_ahead(timetable, now, horizon, **{k: limits.pop(k) for k in ("ends_at", "left_out") if k in limits})
    return plan(ahead, list(missed), since=since, now=now, horizon=horizon, **limits)


@pytest.mark.parametrize(
    ("seconds", "runs"), [(1, 100), (60, 60), (600, 6), (1800, 3), (86_400, 3), (30 * 86_400, 3), (90 * 86_400, 1)]
)
def test_three_runs_and_an_hour_are_planned_but_no_more_than_a_hundred_nor_beyond_a_hundred_days(seconds, runs):
    assert len(planned(Every(seconds)).times) == runs


@pytest.mark.parametrize("seconds", [1, 60, 600, 1800, 86_400, 30 * 86_400, 90 * 86_400, 400 * 86_400])
def test_a_schedule_is_looked_at_again_before_its_runs_are_used_up(seconds):
    first = planned(Every(seconds))

    again = planned(Every(seconds), since=first.planned_until, now=first.plan_at)

    assert first.plan_at >= NOON
    assert first.times == [] or first.plan_at < first.times[-1]
    assert again.times[:1] in ([], [next(Every(seconds).after(max([NOON, *first.times])))])


def test_what_was_decided_is_not_planned_again():
    first = planned(Every(1800))

    again = planned(Every(1800), since=first.planned_until)

    assert again.times == []
    assert again.planned_until == first.planned_until


def test_a_timetable_that_ends_is_not_looked_at_again():
    last = NOON + timedelta(hours=1)

    found = planned(Every(1800, last=last))

    assert (len(found.times), found.plan_at) == (2, None)


def test_an_end_is_inclusive():
    found = planned(Every(1800), ends_at=NOON + timedelta(hours=1))

    assert (len(found.times), found.plan_at) == (2, None)


def test_times_that_a_calendar_leaves_out_get_no_run():
    found = planned(Every(3600), left_out=lambda at: at.hour in {13, 14})

    assert [at.hour for at in found.times] == [15, 16, 17]


def test_a_calendar_that_leaves_everything_out_does_not_keep_the_planner():
    found = planned(Every(1), left_out=lambda at: True)

    assert found.times == []
    assert found.plan_at > NOON + timedelta(hours=1)


def test_a_schedule_ends_with_its_last_run():
    assert planned(Every(1800), runs_left=2).times == list(planned(Every(1800)).times[:2])
    assert planned(Every(1800), runs_left=2).plan_at is None
    assert planned(Every(1800), runs_left=0).times == []


def test_without_a_place_times_pass_until_there_is_one():
    full = planned(Every(60), since=NOON - timedelta(seconds=90), slots=0)
    free = planned(Every(60), since=full.planned_until, now=NOON + BUSY_WAIT, slots=1)

    assert (full.times, full.planned_until, full.plan_at) == ([], NOON, NOON + BUSY_WAIT)
    assert free.times == [NOON + timedelta(minutes=1)]


def test_no_more_than_max_scheduled_runs_lie_ahead():
    horizon = Horizon(most=1)

    first = planned(Every(60), horizon=horizon)
    again = planned(Every(60), since=first.planned_until, now=first.plan_at, horizon=horizon)

    assert [*first.times, *again.times] == [NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)]


def test_missed_times_come_first_and_count():
    missed = [NOON - timedelta(minutes=5)]

    found = planned(Every(1800), since=NOON - timedelta(hours=1), missed=missed, runs_left=2)

    assert found.times == [missed[0], NOON + timedelta(minutes=30)]


@pytest.mark.parametrize(
    ("seconds", "hours", "number"), [(1, 1000, 100), (3600, 5, 5), (3600, 2000, 100), (86_400, 1, 1)]
)
def test_of_the_missed_times_the_newest_hundred_are_found(seconds, hours, number):
    since = NOON - timedelta(hours=hours)

    found = missed_times(Every(seconds), since, NOON)

    assert found == [NOON - timedelta(seconds=seconds) * back for back in reversed(range(number))]


@given(
    seconds=st.integers(1, 10**7),
    steps=st.lists(st.integers(0, 10**5), max_size=30),
    most=st.integers(1, 100),
)
def test_repeated_planning_loses_and_doubles_no_time(seconds, steps, most):
    """A planner that is never later than its own appointments plans exactly the timetable."""
    timetable, horizon = Every(seconds), Horizon(most=most)
    now, cursor, appointment, times = NOON, NOON, NOON, []
    for step in steps:
        now = min(now + timedelta(seconds=step), max(now, appointment))
        found = planned(timetable, since=cursor, now=now, horizon=horizon, missed=_passed(timetable, cursor, now))
        times, cursor, appointment = [*times, *found.times], found.planned_until, found.plan_at

    moments = timetable.after(NOON)
    assert times == [next(moments) for _ in times]


def _passed(timetable, since, now):
    return missed_times(timetable, since, now) if since < now else []
