"""Slots of global limits under contention: never more than there are, in whichever order the names come."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection

from deployments.errors import SlotLost
from deployments.limits.selectors.capacity import is_held
from deployments.limits.services.global_limits import create_global_limit, return_slots, take_slots
from deployments.limits.services.held_slots import renew_leases, sweep_leases
from deployments.limits.services.slot_leases import Taker
from deployments.models import GlobalLimit, GlobalSlot
from tests.conftest import DATABASE
from tests.factories import NOON, later, make_flow_run
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


def test_concurrent_requests_for_a_new_name_create_one_limit():
    race(lambda _: take_slots(names=["x", "y"], slots=1, as_rate=False, now=NOON), range(6))

    assert [(limit.name, limit.active) for limit in GlobalLimit.objects.all()] == [("x", False), ("y", False)]


def test_leases_and_anonymous_slots_together_never_exceed_their_limit():
    make("db", 3)
    run = make_flow_run("RUNNING")

    def take(number):
        taker = Taker(lease=timedelta(seconds=60), flow_run_id=run.pk) if number % 2 else None
        return take_slots(names=["db"], slots=1, as_rate=False, now=NOON, taker=taker)

    answers = race(take, range(8))

    assert sum(answer.retry_after is None for answer in answers) == 3
    assert GlobalLimit.objects.get().active_slots + GlobalSlot.objects.count() == 3


def test_a_slot_that_its_taker_asks_for_again_is_not_swept_away():
    make("db", 1)
    taker = Taker(id=uuid4(), lease=timedelta(seconds=5))

    def take(now):
        return take_slots(names=["db"], slots=1, as_rate=False, now=now, taker=taker)

    for second in range(0, 200, 10):
        take(later(second))

        race(lambda work: work(later(second + 6)), [take, sweep_leases, sweep_leases])  # noqa: B023

        assert GlobalSlot.objects.filter(is_held(later(second + 6))).count() == 1


@pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite has one writer at a time")
def test_a_sweep_leaves_a_slot_alone_that_was_gone_and_came_back_meanwhile():
    make("db", 1)
    taker = Taker(id=uuid4(), lease=timedelta(seconds=5))

    def take(now):
        take_slots(names=["db"], slots=1, as_rate=False, now=now, taker=taker)

    def with_others_between(execute, sql, params, many, context):
        if "global" in sql and sql.startswith("SELECT") and len(seen) == 1:
            race(sweep_leases, [later(6)])
        if sql.startswith("DELETE"):
            race(take, [later(6)])
        seen.append(sql)
        return execute(sql, params, many, context)

    take(NOON)
    seen: list[str] = []
    with connection.execute_wrapper(with_others_between):
        sweep_leases(later(6))

    race(take, [later(6)])
    assert GlobalSlot.objects.filter(is_held(later(6))).count() == 1
    assert not any(sql.startswith("DELETE") for sql in seen), seen


def test_a_lease_is_kept_by_its_holder_or_given_on_never_both():
    make("db", 1)
    lease = take_slots(names=["db"], slots=1, as_rate=False, now=NOON, taker=Taker(lease=timedelta(seconds=5)))
    (held,) = lease.leases.values()

    def keep_or_take(number):
        if number:
            return take_slots(names=["db"], slots=1, as_rate=False, now=later(6)).retry_after is None
        try:
            renew_leases(ids=[held.pk], lease=timedelta(seconds=60), now=later(4))
        except SlotLost:
            return False
        return True

    assert sum(race(keep_or_take, [0, 1, 1, 1])) == 1
