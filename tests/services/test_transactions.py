"""Write transactions: repeated when the database asks for it, and only then."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from orchestration.transactions import REPEATS, repeated_on_conflict, write_transaction
from runs.models import Flow
from tests.services.threads import race


class Deadlock(Exception):
    sqlstate = "40P01"


def failing(times, error):
    """Return work that fails a number of times before it succeeds, and the list of its attempts."""
    attempts = []

    @repeated_on_conflict
    def work():
        attempts.append(1)
        if len(attempts) <= times:
            raise error from Deadlock()
        return "done"

    return work, attempts


@pytest.mark.parametrize("error", [OperationalError("deadlock detected"), IntegrityError("duplicate key")])
def test_a_conflict_is_tried_again(error):
    work, attempts = failing(2, error)

    assert work() == "done"
    assert len(attempts) == 3


def test_a_conflict_that_does_not_end_is_given_up():
    work, attempts = failing(99, OperationalError("deadlock detected"))

    with pytest.raises(OperationalError):
        work()

    assert len(attempts) == REPEATS


def test_other_errors_are_not_tried_again():
    attempts = []

    @repeated_on_conflict
    def work():
        attempts.append(1)
        raise OperationalError("the disk is full")

    with pytest.raises(OperationalError):
        work()
    assert attempts == [1]


@pytest.mark.django_db
def test_inside_a_transaction_the_conflict_belongs_to_who_opened_it():
    work, attempts = failing(1, OperationalError("deadlock detected"))

    with pytest.raises(OperationalError), transaction.atomic():
        work()

    assert len(attempts) == 1


@pytest.mark.django_db(transaction=True)
def test_rows_locked_in_opposite_order_end_well():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one lock for all rows")
    flows = [Flow.objects.create(name=name) for name in ("a", "b")]

    @repeated_on_conflict
    def tag(order):
        with write_transaction():
            for flow in order:
                list(Flow.objects.select_for_update().filter(pk=flow.pk))
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(0.05)")
        return True

    assert race(tag, [flows, flows[::-1], flows, flows[::-1]]) == [True] * 4
