"""The audit log: who changed what, in the transaction that changed it, in entries that follow from each other."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from deployments.blocks.services.variables import create_variable
from deployments.models import Deployment, Variable
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, Actor
from orion_site.audit import acting, chain
from orion_site.audit.acting import RecordedAct, Who
from orion_site.audit.models import Change, Day, Entry, Mark
from tests.web.deployments import make_deployment

VARIABLE = {"name": "colour", "value": "red"}


def act_of_test() -> RecordedAct:
    return RecordedAct(Who(actor="test", entrance=Entry.Entrance.CLI), "operate", "test")


def entries() -> list[Entry]:
    return list(Entry.objects.order_by("day", "number"))


def said(entry: Entry) -> tuple[Any, Any]:
    before, after = (json.loads(text) if text else None for text in (entry.before, entry.after))
    return before, after


def test_a_change_says_who_did_it_from_where_and_what_it_was_before(api):
    id = api.send("/variables/", VARIABLE).json()["id"]
    api.call("PATCH", f"/variables/{id}", {"value": "blue"}, **{"x-request-id": "r-17"})

    made, changed = entries()

    assert (made.operation, made.action, made.entrance) == ("CreateVariable", "variables.change", "api")
    assert (made.actor, made.address, made.result) == ("local owner", "127.0.0.1", "done")
    assert said(made)[0] is None
    assert said(made)[1]["value"] == "red"
    assert (changed.object_kind, changed.object_id, changed.object_name) == ("variable", id, "colour")
    assert said(changed) == ({"value": "red"}, {"value": "blue"})
    assert changed.request_id == "r-17"


def test_what_is_deleted_is_said_whole(api):
    api.send("/variables/", VARIABLE)
    api.call("DELETE", "/variables/name/colour")

    before, after = said(entries()[-1])

    assert (before["name"], before["value"], after) == ("colour", "red", None)


def test_a_part_is_said_with_the_object_that_it_belongs_to(api):
    deployment = make_deployment()
    api.send(f"/deployments/{deployment.pk}/schedules", [{"schedule": {"cron": "0 6 * * *"}, "active": True}])

    (entry,) = entries()

    assert (entry.object_kind, entry.object_id) == ("deployment", str(deployment.pk))
    ((part, fields),) = said(entry)[1].items()
    assert part.startswith("schedule ")
    assert fields["definition"]["cron"] == "0 6 * * *"


def test_a_change_by_another_way_than_save_is_not_missed(api):
    make_deployment()
    with act_of_test().transaction():
        Deployment.objects.update(version="7")
        Variable.objects.bulk_create([Variable(name="a", value="1"), Variable(name="b", value="2")])
        Variable.objects.filter(name="a")._raw_delete("default")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE deployments_variable SET value = '3' WHERE name = 'b'")

    assert [(one.object_kind, one.object_name) for one in entries()] == [
        ("deployment", Deployment.objects.get().name),
        ("variable", "b"),
    ]
    assert said(entries()[1])[1]["value"] == "3"


def test_a_change_that_is_rolled_back_leaves_no_entry(api):
    def fail() -> None:
        with act_of_test().transaction():
            Variable.objects.create(**VARIABLE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with act_of_test().transaction():
        Variable.objects.create(**VARIABLE)
        transaction.set_rollback(True)

    assert entries() == []
    assert not Variable.objects.exists()


def test_an_entry_that_cannot_be_written_undoes_the_change(api, monkeypatch: pytest.MonkeyPatch):
    def fail(_):
        raise DatabaseError("no room")

    monkeypatch.setattr(acting, "append", fail)

    with pytest.raises(DatabaseError):
        api.send("/variables/", VARIABLE)

    assert not Variable.objects.exists()


def test_nothing_is_left_of_what_triggers_kept(api):
    api.send("/variables/", VARIABLE)

    assert not Change.objects.exists()
    assert not Mark.objects.exists()


def test_without_an_act_nothing_is_kept(db):
    create_variable(**VARIABLE, now=current_time())

    assert not Change.objects.exists()
    assert entries() == []


def test_what_is_refused_is_recorded_with_its_reason(api, act_as):
    api.send("/variables/", VARIABLE)
    taken = api.send("/variables/", VARIABLE)
    act_as(Actor("reader", frozenset({Action.READ_VARIABLES})))
    denied = api.call("DELETE", "/variables/name/colour")

    assert (taken.status_code, denied.status_code) == (409, 403)
    _, first, second = entries()
    assert (first.result, first.operation) == ("refused", "CreateVariable")
    assert "colour" in first.reason
    assert (second.actor, second.result, second.object_id) == ("reader", "refused", "colour")


def test_a_form_of_a_page_is_recorded_as_its_person_sent_it(browser):
    deployment = make_deployment()
    browser.post(f"/deployments/{deployment.pk}/pause")

    (entry,) = entries()

    assert (entry.entrance, entry.operation) == ("page", "deployments:pause")
    assert said(entry) == ({"paused": False}, {"paused": True})


# --- the chain -------------------------------------------------------------------------------------------------------


@pytest.fixture
def chained(api) -> list[Entry]:
    for number in range(6):
        api.send("/variables/", {"name": f"v{number}", "value": "1"})
    return entries()


@pytest.fixture
def unguarded() -> None:
    """As somebody who owns the database may do first."""
    from orion_site.audit.triggers import _drop, _present

    with connection.cursor() as cursor:
        for name, table in _present(cursor).items():
            _drop(cursor, name, table)


def test_a_whole_chain_is_verified_step_by_step(chained):
    whole = chain.verify(None, most=100)
    place, steps = None, 0
    while True:
        step = chain.verify(place, most=2)
        steps += 1
        if step.go_on is None:
            break
        place = step.go_on

    assert (whole.entries, whole.finding, whole.go_on) == (6, None, None)
    assert step.finding is None
    assert step.reached == whole.reached
    assert steps >= 3


def edit() -> None:
    Entry.objects.filter(number=3).update(actor="somebody else")


def remove() -> None:
    Entry.objects.filter(number=3).delete()


def remove_last() -> None:
    Entry.objects.filter(number=6).delete()


def swap() -> None:
    Entry.objects.filter(number=3).update(number=99)
    Entry.objects.filter(number=4).update(number=3)
    Entry.objects.filter(number=99).update(number=4)


def put_in() -> None:
    last = Entry.objects.get(number=6)
    last.pk, last.number, last.previous = None, 7, last.hash
    last.hash = chain.hash_of(last)
    last.save()


def forge() -> None:
    """One entry with a hash that fits it."""
    entry = Entry.objects.get(number=3)
    entry.actor = "somebody else"
    entry.hash = chain.hash_of(entry)
    entry.save()


@pytest.mark.parametrize(
    ("tamper", "found"), [(edit, 3), (remove, 3), (remove_last, 6), (swap, 3), (put_in, 7), (forge, 4)]
)
def test_tampering_is_found_where_it_was_done(chained, unguarded, tamper, found):
    tamper()

    finding = chain.verify(None, most=100).finding

    assert finding is not None
    assert finding.number == found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'x'",
        "DELETE FROM audit_entry",
        "UPDATE audit_day SET head = 'x'",
        "UPDATE audit_day SET entries = 1",
        "DELETE FROM audit_day",
    ],
)
def test_entries_are_neither_changed_nor_deleted(chained, statement):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_first_entry_of_a_day_follows_the_last_of_the_day_before(chained, monkeypatch: pytest.MonkeyPatch, api):
    tomorrow = current_time() + timedelta(days=1)
    monkeypatch.setattr(chain.timezone, "now", lambda: tomorrow)
    api.send("/variables/", VARIABLE)
    monkeypatch.undo()
    # Another server's clock is behind: the day that is closed stays closed.
    api.send("/variables/", {"name": "later", "value": "1"})

    *_, last, first, second = entries()

    assert (first.number, first.previous) == (1, last.hash)
    assert (second.day, second.number) == (first.day, 2)
    assert chain.verify(None, most=100).finding is None
    assert Day.objects.count() == 2


# --- reading ---------------------------------------------------------------------------------------------------------


def test_entries_are_listed_by_what_they_are_about(api, chained):
    id = Variable.objects.get(name="v3").pk

    def found(**criteria: Any) -> list[str]:
        answer = api.send("/audit/filter", {"filter": criteria}).json()
        assert answer["after"] is None
        return [one["object_name"] for one in answer["entries"]]

    assert found() == ["v5", "v4", "v3", "v2", "v1", "v0"]
    assert found(object=str(id)) == found(object=f"variable:{id}") == ["v3"]
    assert found(actor="nobody") == found(result="refused") == found(kind="deployment") == []
    assert len(found(actor="local owner", action="variables.change", kind="variable")) == 6
    assert found(until=chained[0].at.isoformat()) == []


def test_entries_are_listed_page_by_page(api, chained):
    names, after = [], None
    while True:
        page = api.send("/audit/filter", {"limit": 4, "after": after, "filter": {"actor": "local owner"}}).json()
        names += [one["object_name"] for one in page["entries"]]
        after = page["after"]
        if after is None:
            break

    assert names == ["v5", "v4", "v3", "v2", "v1", "v0"]


def test_reading_leaves_no_entry(api, chained):
    with CaptureQueriesContext(connection) as queries:
        api.send("/audit/filter", {})
        api.send("/variables/filter", {})

    assert len(entries()) == 6
    assert not [one for one in queries if "INSERT" in one["sql"]]


def test_the_verification_of_the_api_says_how_far_it_came(api, chained):
    answer = api.send("/audit/verify", {}).json()

    assert answer["finding"] is None
    assert answer["reached"] == {"day": str(chained[-1].day), "number": 6, "hash": chained[-1].hash}
