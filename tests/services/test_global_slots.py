"""Slots of global limits under contention: never more than there are, in whichever order the names come."""

from __future__ import annotations

import pytest

from deployments.models import GlobalLimit
from deployments.services.global_limits import create_global_limit, return_slots, take_slots
from tests.factories import NOON, later
from tests.services.threads import race

pytestmark = pytest.mark.django_db(transaction=True)


def make(name: str, limit: int, **columns: object) -> GlobalLimit:
    return create_global_limit(columns={"name": name, "limit": limit, **columns}, now=NOON)


def test_slots_never_exceed_their_limit():
    make("db", 3)

    answers = race(lambda _: take_slots(names=["db"], slots=1, as_rate=False, now=NOON), range(8))

    assert sum(answer.retry_after is None for answer in answers) == 3
    assert (GlobalLimit.objects.get().active_slots, GlobalLimit.objects.get().denied_slots) == (3, 5)


def test_limits_are_asked_for_in_any_order_without_waiting_for_each_other():
    make("a", 100)
    make("b", 100)

    def take_and_return(names):
        for _ in range(5):
            take_slots(names=names, slots=1, as_rate=False, now=later(1))
            return_slots(names=names, slots=1, occupancy_seconds=1, now=later(1))

    race(take_and_return, [["a", "b"], ["b", "a"]] * 3)

    assert [limit.active_slots for limit in GlobalLimit.objects.all()] == [0, 0]


def test_a_new_name_gets_one_limit_however_many_ask_at_once():
    race(lambda _: take_slots(names=["x", "y"], slots=1, as_rate=False, now=NOON), range(6))

    assert [(limit.name, limit.active) for limit in GlobalLimit.objects.all()] == [("x", False), ("y", False)]
