"""Spread schedules: every moment a little later, by a time that is always the same for one deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.definitions import comparable, is_same, refuse_without_times
from deployments.schedules.core.spread import shift_of, spread_for

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOURLY = {"cron": "0 * * * *", "timezone": "UTC"}


@given(st.uuids(), st.integers(1, 86_400))
def test_a_shift_is_less_than_the_spread_and_always_the_same(deployment, spread):
    assert 0 <= shift_of(deployment, spread) < spread
    assert shift_of(deployment, spread) == shift_of(UUID(deployment.hex), spread)


def test_deployments_of_a_herd_come_one_after_the_other():
    shifts = [shift_of(UUID(int=number), 300) for number in range(3_000)]

    busiest = max(shifts.count(second) for second in set(shifts))
    assert set(shifts) == set(range(300))
    assert busiest < 30


@given(st.integers(0, 3_599), st.integers(0, 10**7))
def test_its_times_are_those_of_the_schedule_and_the_shift(by, seconds):
    since = NOON + timedelta(seconds=seconds)
    shifted = read_definition({**HOURLY, "spread": 3_600, "spread_by": by})

    plain = read_definition(HOURLY).after(since - timedelta(seconds=by))
    assert list(islice(shifted.after(since), 4)) == [at + timedelta(seconds=by) for at in islice(plain, 4)]


def test_a_definition_describes_its_spread():
    spread = spread_for({**HOURLY, "spread": 300, "spread_by": 7}, UUID(int=1))

    assert spread["spread_by"] == shift_of(UUID(int=1), 300)
    assert read_definition(spread).describe().endswith("later)")
    assert spread_for({**HOURLY, "spread_by": 7}, UUID(int=1)) == HOURLY


def test_a_shift_makes_no_other_schedule_and_a_spread_does():
    spread = {**HOURLY, "spread": 300.0}

    assert is_same(spread, spread_for(spread, UUID(int=1)), NOON)
    assert comparable(spread) != comparable(HOURLY)
    refuse_without_times(spread, NOON)


@pytest.mark.parametrize("wrong", [{"spread": -1}, {"spread": 10**6}, {"spread": "1"}, {"spread": 9, "spread_by": -1}])
def test_what_is_no_spread_is_refused(wrong):
    with pytest.raises(ScheduleError):
        read_definition({**HOURLY, **wrong})
