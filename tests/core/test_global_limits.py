"""Global limits as values: all or nothing, decay, waiting times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.limits.core import Denied, Taken, Usage, as_of, give_back, take
from tests.core.worlds import NOON


def usage(limit=2, **fields):
    given = {"active": True, "taken": 0, "denied": 0, "decay": 0, "average_occupancy": 2.0, "counted_at": NOON}
    return Usage(limit=limit, **{**given, **fields})


def later(seconds):
    return NOON + timedelta(seconds=seconds)


def test_slots_are_taken_of_every_limit():
    verdict = take([usage(2, taken=1), usage(5)], 1, NOON)

    assert isinstance(verdict, Taken)
    assert [u.taken for u in verdict.usages] == [2, 1]


def test_one_full_limit_refuses_all():
    verdict = take([usage(2), usage(1, taken=1)], 1, NOON)

    assert isinstance(verdict, Denied)
    assert [(u.taken, u.denied) for u in verdict.usages] == [(0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("full", "slots", "seconds"),
    [
        (usage(1, taken=1), 1, 2.0),
        (usage(1, taken=1, denied=2), 1, 6.0),
        (usage(4, taken=4, average_occupancy=10.0), 2, 5.0),
        (usage(1, taken=1, decay=0.5), 1, 2.0),
        (usage(10, taken=10, decay=2.0, denied=3), 1, 2.0),
        (usage(0), 1, 2.0),
    ],
)
def test_the_wait_counts_those_who_were_denied_before(full, slots, seconds):
    verdict = take([full], slots, NOON)

    assert isinstance(verdict, Denied)
    assert verdict.retry_after == seconds


def test_an_inactive_limit_never_refuses_and_counts_nothing():
    verdict = take([usage(1, active=False, taken=1)], 5, NOON)

    assert isinstance(verdict, Taken)
    assert verdict.usages[0].taken == 1


def test_a_rate_gives_its_slots_back_by_itself():
    taken = take([usage(1, decay=0.5)], 1, NOON).usages

    early, in_time = take(taken, 1, later(1.9)), take(taken, 1, later(2))

    assert isinstance(early, Denied)
    assert isinstance(in_time, Taken)


def test_asking_often_does_not_keep_slots_from_decaying():
    present = usage(1, taken=1, decay=0.1)
    for tenth in range(1, 100):
        present = as_of(present, later(tenth / 10))

    assert present.taken == pytest.approx(0.01)


def test_returned_slots_teach_how_long_they_are_held():
    back = give_back(usage(1, taken=1), 1, 10.0, NOON)

    assert (back.taken, back.average_occupancy) == (0, 6.0)


def test_a_very_short_hold_counts_as_a_tenth_of_a_second():
    assert give_back(usage(1, taken=1, average_occupancy=0.1), 1, 1e-5, NOON).average_occupancy == pytest.approx(0.1)


def test_more_cannot_be_returned_than_was_taken():
    assert give_back(usage(2, taken=1), 2, None, NOON).taken == 0


@given(
    limit=st.integers(0, 5),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.floats(0, 3)), max_size=30),
    decay=st.sampled_from([0.0, 0.3, 4.0]),
)
def test_use_stays_between_nothing_and_the_limit(limit, steps, decay):
    present, now = usage(limit, decay=decay), NOON

    for taking, slots, seconds in steps:
        now += timedelta(seconds=seconds)
        present = take([present], slots, now).usages[0] if taking else give_back(present, slots, seconds + 0.1, now)
        assert 0 <= present.taken <= limit + 1e-6


def test_a_clock_that_went_back_changes_nothing():
    assert as_of(usage(1, taken=1, decay=1.0), later(-5)) == replace(usage(1, taken=1, decay=1.0))
