"""Writers that come at the same time: their entries follow from each other all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, connections

from deployments.blocks.services.variables import create_variable
from deployments.models import Variable
from orchestration.acts import act_of
from orchestration.database_clock import current_time
from orion_site.audit import chain, triggers
from orion_site.audit.models import Change, Entry, Mark

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS, EACH = 4, 5


def test_entries_of_writers_at_the_same_time_are_one_chain():
    start = Barrier(WRITERS)

    def write(writer: int) -> None:
        try:
            start.wait()
            for number in range(EACH):
                with act_of(entrance="cli", actor=f"writer {writer}", action="operate", operation="test"):
                    create_variable(name=f"v{writer}_{number}", value="1", now=current_time())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    verified = chain.verify(None, most=100)
    assert (verified.entries, verified.finding) == (WRITERS * EACH, None)
    assert {(one.actor, one.object_name) for one in Entry.objects.all()} == {
        (f"writer {writer}", f"v{writer}_{number}") for writer in range(WRITERS) for number in range(EACH)
    }
    assert not Change.objects.exists()
    assert not Mark.objects.exists()


def test_a_concurrent_change_is_not_recorded_as_part_of_an_act():
    """On SQLite there is one writer at a time; on PostgreSQL each sees its own mark only."""

    def beside() -> None:
        try:
            Variable.objects.create(name="beside", value="1")
        finally:
            connections.close_all()

    act = act_of(entrance="cli", actor="somebody", action="operate", operation="test")
    with ThreadPoolExecutor(1) as pool, act:
        create_variable(name="own", value="1", now=current_time())
        pool.submit(beside).result()
        create_variable(name="own_too", value="1", now=current_time())

    assert sorted(Entry.objects.values_list("object_name", flat=True)) == ["own", "own_too"]


def test_triggers_that_a_migration_had_removed_are_created_again():
    with connection.cursor() as cursor:
        before = triggers._present(cursor)
        triggers.remove()
        between = triggers._present(cursor)
        triggers.install()
        after = triggers._present(cursor)

    assert after == before
    assert set(between.values()) == {"audit_entry", "audit_day"}
    assert len(before) > len(between)
