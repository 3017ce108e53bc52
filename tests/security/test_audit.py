"""The audit log: who changed what, in the transaction that changed it, in entries that follow from each other."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deployments.blocks.services.variables import create_variable
from deployments.definitions.services.deployments import update_deployment
from deployments.models import Deployment, Variable
from orchestration.acts import act_of
from orchestration.database_clock import current_time
from orion_site.accounts.keys import create_key
from orion_site.accounts.permissions import Action, Actor
from orion_site.accounts.users import create_user, set_roles
from orion_site.audit import acting, chain, selectors, triggers
from orion_site.audit.acting import RecordedAct, Who
from orion_site.audit.entrances import record_command
from orion_site.audit.models import Change, Day, Entry, Mark
from orion_site.audit.retention import remove_days
from orion_site.audit.selectors import Place, Wanted, entries_page
from tests.conftest import DATABASE
from tests.factories import make_task_run
from tests.security.askers import Asker, key_of
from tests.web.deployments import make_deployment
from tests.web.rows import make_run

pytestmark = pytest.mark.undivided

VARIABLE = {"name": "colour", "value": "red"}
# How a database empties or overwrites a table without a deletion.
TRUNCATED = ("TRUNCATE audit_entry", "TRUNCATE audit_day", "TRUNCATE audit_change, audit_entry CASCADE")
REPLACED = (
    "REPLACE INTO audit_entry SELECT * FROM audit_entry",
    "INSERT OR REPLACE INTO audit_entry SELECT id + 1000, "
    + ", ".join(f"t.{one.column}" for one in Entry._meta.fields[1:])
    + " FROM audit_entry t",
    "REPLACE INTO audit_day SELECT * FROM audit_day",
)


def act_of_test() -> RecordedAct:
    return RecordedAct(Who(actor="test", entrance=Entry.Entrance.CLI), "operate", "test")


def entries() -> list[Entry]:
    return list(Entry.objects.order_by("day", "number"))


def changes_in(entry: Entry) -> tuple[Any, Any]:
    before, after = (json.loads(text) if text else None for text in (entry.before, entry.after))
    return before, after


def test_a_change_is_recorded_with_its_user_its_address_and_the_old_value(api):
    id = api.send("/variables/", VARIABLE).json()["id"]
    api.call("PATCH", f"/variables/{id}", {"value": "blue"}, **{"x-request-id": "r-17"})

    made, changed = entries()

    assert (made.operation, made.action, made.entrance) == ("CreateVariable", "variables.change", "api")
    assert (made.actor, made.address, made.result) == ("local owner", "127.0.0.1", "done")
    assert changes_in(made)[0] is None
    assert changes_in(made)[1]["value"] == "red"
    assert (changed.object_kind, changed.object_id, changed.object_name) == ("variable", id, "colour")
    assert changes_in(changed) == ({"value": "red"}, {"value": "blue"})
    assert changed.request_id == "r-17"


def test_a_deleted_object_is_recorded_in_full(api):
    api.send("/variables/", VARIABLE)
    api.call("DELETE", "/variables/name/colour")

    before, after = changes_in(entries()[-1])

    assert (before["name"], before["value"], after) == ("colour", "red", None)


def test_a_part_is_recorded_with_the_object_that_it_belongs_to(api):
    deployment = make_deployment()
    api.send(f"/deployments/{deployment.pk}/schedules", [{"schedule": {"cron": "0 6 * * *"}, "active": True}])

    (entry,) = entries()

    assert (entry.object_kind, entry.object_id) == ("deployment", str(deployment.pk))
    ((part, fields),) = changes_in(entry)[1].items()
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
    assert changes_in(entries()[1])[1]["value"] == "3"


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


def test_a_table_that_lacks_an_audited_column_has_no_triggers_until_it_is_there(db):
    """So it is when migrations were undone; PostgreSQL refuses triggers that name a column which is not there."""
    triggers.remove()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE deployments_variable RENAME COLUMN tags TO former_tags")
        triggers.install()
        watched = set(triggers._present(cursor).values())
        triggers.remove()
        cursor.execute("ALTER TABLE deployments_variable RENAME COLUMN former_tags TO tags")
    triggers.install()

    assert "deployments_workpool" in watched
    assert "deployments_variable" not in watched
    assert triggers.is_complete()


def test_refused_requests_are_recorded_with_their_reason(api, act_as):
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
    assert changes_in(entry) == ({"paused": False}, {"paused": True})


# --- the chain -------------------------------------------------------------------------------------------------------


@pytest.fixture
def chained(api, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Six entries of one day, also where the test begins in its last moment."""
    today = current_time()
    monkeypatch.setattr(chain, "current_time", lambda: today)
    for number in range(6):
        api.send("/variables/", {"name": f"v{number}", "value": "1"})
    return entries()


@pytest.fixture
def unguarded() -> None:
    """Drop the triggers that protect the entries, as the owner of the database could."""
    from orion_site.audit.triggers import _present
    from runs.triggers import drop_triggers

    with connection.cursor() as cursor:
        drop_triggers(cursor, _present(cursor))


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
        *(TRUNCATED if DATABASE == "postgresql" else REPLACED),
    ],
)
def test_entries_are_neither_changed_nor_deleted(chained, statement):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_first_entry_of_a_day_follows_the_last_of_the_day_before(chained, monkeypatch: pytest.MonkeyPatch, api):
    tomorrow = current_time() + timedelta(days=1)
    monkeypatch.setattr(chain, "current_time", lambda: tomorrow)
    api.send("/variables/", VARIABLE)
    monkeypatch.undo()
    # The clock of another server is behind: the closed day stays closed.
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


def test_the_verification_by_the_api_returns_how_far_it_came(api, chained):
    answer = api.send("/audit/verify", {}).json()

    assert answer["finding"] is None
    assert answer["reached"] == {"day": str(chained[-1].day), "number": 6, "hash": chained[-1].hash}


# --- retention -------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_days(api, monkeypatch: pytest.MonkeyPatch) -> list[Day]:
    """Three entries a day, the last ones of today."""
    today = current_time()
    for back in (2, 1, 0):
        monkeypatch.setattr(chain, "current_time", lambda at=today - timedelta(days=back): at)
        for number in range(3):
            api.send("/variables/", {"name": f"v{back}{number}", "value": "1"})
    # It stays today until the test is over.
    return list(Day.objects.all())


def test_retention_removes_whole_days_and_reports_it(three_days):
    removed = remove_days(older_than=timedelta(days=1), now=entries()[-1].at)

    oldest, kept, today = Day.objects.all()
    last = entries()[-1]
    assert removed == 3
    assert oldest.removed is not None
    assert [oldest.entries, kept.entries, today.entries] == [3, 3, 4]
    assert (last.actor, last.operation, last.object_id) == ("retention", chain.REMOVAL, str(oldest.day))
    assert changes_in(last)[0] == {"entries": 3, "head": oldest.head}
    assert chain.verify(None, most=100).finding is None
    for older_than in (timedelta(days=1), timedelta(days=3_000_000)):
        assert remove_days(older_than=older_than, now=entries()[-1].at) == 0


def test_the_last_day_is_kept_at_any_age(three_days):
    remove_days(older_than=timedelta(), now=entries()[-1].at + timedelta(days=9))

    assert [day.removed is not None for day in Day.objects.all()] == [True, True, False]
    assert chain.verify(None, most=100).finding is None


def test_a_removed_day_is_detected(three_days):
    first = three_days[0]
    Day.objects.filter(pk=first.pk).update(removed=entries()[-1].at)
    Entry.objects.filter(day=first.day).delete()

    finding = chain.verify(None, most=100).finding

    assert finding is not None
    assert (finding.day, "removed" in finding.problem) == (first.day, True)


# --- secrets ---------------------------------------------------------------------------------------------------------

CANARY = "canary-7f3a"


def make_secret(api) -> str:
    of_type = api.send("/block_types/", {"name": "Login", "slug": "login"}).json()["id"]
    fields = {"title": "Login", "secret_fields": ["password"], "block_type_slug": "login"}
    schema = api.send("/block_schemas/", {"block_type_id": of_type, "fields": fields}).json()["id"]
    filled = {"name": "mine", "block_type_id": of_type, "block_schema_id": schema}
    return api.send("/block_documents/", {**filled, "data": {"user": "ada", "password": CANARY}}).json()["id"]


def test_no_entry_has_a_secret(api):
    block = make_secret(api)
    api.call("PATCH", f"/block_documents/{block}", {"data": {"password": CANARY + "2"}})
    deployment = make_deployment()
    env = {"env": {"API_KEY": CANARY, "nested": [{"db_password": CANARY}]}, "image": "plain"}
    api.call("PATCH", f"/deployments/{deployment.pk}", {"infra_overrides": env, "parameters": {"token": CANARY}})
    api.call("DELETE", f"/block_documents/{block}")
    User.objects.create_user("ada", password=CANARY)
    with act_of_test().transaction():
        User.objects.get().delete()

    stored = "\n".join(f"{one.before} {one.after} {one.reason} {one.object_name}" for one in entries())

    assert "plain" in stored
    assert CANARY not in stored
    assert "pbkdf2" not in stored
    assert "argon2" not in stored


def test_reading_a_secret_is_recorded_and_reading_what_is_masked_is_not(api):
    block = make_secret(api)
    before = len(entries())
    api.read(f"/block_documents/{block}")
    api.read(f"/block_documents/{block}?include_secrets=true")

    (read,) = entries()[before:]

    assert (read.action, read.operation) == ("blocks.secrets", "ReadBlockDocument")
    assert (read.object_kind, read.object_id, read.object_name) == ("block", block, "mine")


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_forced_state_is_recorded_and_what_a_run_reports_is_not(api):
    run = make_run(state="RUNNING")
    api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "COMPLETED"}})
    api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "RUNNING", "message": "again"}, "force": True})

    (entry,) = entries()

    assert (entry.operation, entry.object_kind, entry.object_id) == ("ForceFlowRunState", "flow-run", str(run.pk))
    assert entry.object_name == run.name
    assert changes_in(entry) == ({"state": "COMPLETED Completed"}, {"state": "RUNNING Running", "message": "again"})


def test_states_that_a_batch_forces_are_recorded(api, ada):
    task = make_task_run("RUNNING", flow_run=make_run(state="RUNNING"))
    client = Asker(key_of(ada))

    def sent(kind: str, **more: bool) -> None:
        state = {"id": str(uuid4()), "type": kind, "timestamp": "2026-01-05T12:00:00Z"}
        items = [{"task_run_id": str(task.pk), "state": state, **more}]
        assert client.call("POST", "/api/task_runs/transitions", {"items": items}).json()["results"] != []

    sent("COMPLETED")
    sent("RUNNING", force=True)

    (entry,) = entries()
    assert (entry.operation, entry.actor, entry.object_id) == ("ForceTaskRunTransitions", "ada", str(task.pk))
    assert changes_in(entry)[1]["state"] == "RUNNING Running"


def test_reports_of_runs_and_agents_cause_no_queries_of_the_log(api):
    run = make_run(state="RUNNING")
    with CaptureQueriesContext(connection) as queries:
        api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "COMPLETED"}})
        api.send("/logs/", [{"name": "x", "level": 20, "message": "hi", "timestamp": "2026-01-05T12:00:00Z"}])
        api.send("/flow_runs/", {"flow_id": str(run.flow_id), "state": {"type": "PENDING"}})

    assert not [one["sql"] for one in queries if "audit" in one["sql"]]


def test_a_command_of_the_admin_is_recorded_for_each_run(browser):
    runs = [make_run(name, state="RUNNING") for name in ("one", "two")]
    sent = {"action": "cancel", "_selected_action": [str(run.pk) for run in runs], "index": "0", "confirmed": "1"}
    browser.post("/admin/runs/flowrun/", sent)

    found = {(one.object_name, one.entrance, one.operation) for one in entries()}

    operation = "admin:runs_flowrun_changelist cancel"
    assert found == {("one", "admin", operation), ("two", "admin", operation)}


def test_changes_by_an_automation_are_recorded_as_its_own(api):
    deployment = make_deployment()
    with act_of(entrance="automation", actor="automation nightly pause", action="automations.act", operation="pause"):
        update_deployment(deployment_id=deployment.pk, changes={"paused": True}, now=current_time())

    (entry,) = entries()

    assert (entry.actor, entry.entrance) == ("automation nightly pause", "automation")
    assert changes_in(entry) == ({"paused": False}, {"paused": True})


def test_log_ins_are_recorded_the_failed_ones_too(db):
    User.objects.create_superuser("ada", password="lovelace-1815")
    browser = Client(headers={"host": "127.0.0.1:4200"})

    assert not browser.login(username="a-secret-in-the-wrong-field", password="")
    assert not browser.login(username="ada", password="wrong")
    assert browser.login(username="ada", password="lovelace-1815")
    browser.logout()

    assert [(one.operation, one.actor, one.result) for one in entries()] == [
        ("LogIn", "(unknown)", "refused"),
        ("LogIn", "ada", "refused"),
        ("LogIn", "ada", "done"),
        ("LogOut", "ada", "done"),
    ]


def test_a_command_on_this_machine_is_recorded(db):
    record_command("database.purge", "PurgeDatabase", {"older_than": "30d"})

    (entry,) = entries()

    assert (entry.entrance, entry.operation, changes_in(entry)[1]) == ("cli", "PurgeDatabase", {"older_than": "30d"})
    assert entry.actor.startswith("unix user")


def test_long_values_are_cut_with_their_hash(api):
    api.send("/variables/", {"name": "long", "value": "x" * 4_000})

    value = changes_in(entries()[0])[1]["value"]

    assert len(value) < 400
    assert hashlib.sha256(b"x" * 4_000).hexdigest() in value


# --- users and keys --------------------------------------------------------------------------------------------------


def test_changes_of_users_rights_and_keys_are_recorded_without_what_proves_them(db):
    with act_of_test().transaction():
        create_user(name="ada", password="a-long-lovely-password", roles=["viewer"])
        set_roles(name="viewers", roles=["operator"])
        _, key = create_key(user=User.objects.get(), name="laptop", role="", expires=None, now=current_time())

    found = {one.object_kind: changes_in(one)[1] for one in entries()}

    assert found["user"]["username"] == "ada"
    assert found["user"]["password"] == "********"
    assert [fields["role"] for part, fields in found["group"].items() if part.startswith("role")] == ["operator"]
    assert (found["key"]["name"], found["key"]["digest"]) == ("laptop", "********")
    assert key not in str(found)


def test_requests_for_missing_objects_are_not_recorded_as_refused(api):
    assert api.call("PATCH", "/variables/name/nowhere", {"value": "1"}).status_code == 404

    assert entries() == []


# --- many entries ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL reads a small table whole")
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        *(Wanted(**{name: "x"}) for name in ("object", "kind", "action", "actor", "entrance")),
        Wanted(result="refused"),
        Wanted(object="deployment:x", actor="y", since=datetime(2026, 1, 1, tzinfo=UTC)),
        Wanted(action="x", actor="y", result="done"),
        Wanted(result="refused", until=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_each_list_follows_an_index_and_sorts_nothing(db, wanted: Wanted):
    with CaptureQueriesContext(connection) as queries:
        entries_page(wanted=wanted, after=Place(current_time(), 7), size=50)

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "SEARCH audit_entry USING" in plan
    assert "TEMP B-TREE" not in plan


def test_entries_that_two_filters_find_are_read_in_portions(chained, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "SEARCHED", 4)
    wanted = Wanted(actor="local owner", object=str(Variable.objects.get(name="v0").pk), kind="variable")
    common = Wanted(actor="local owner", action="variables.change")
    none = Wanted(actor="x", action="variables.change")

    first = entries_page(wanted=none, after=None, size=50)
    second = entries_page(wanted=none, after=first.after, size=50)

    assert [one.object_name for one in entries_page(wanted=wanted, after=None, size=50).rows] == ["v0"]
    assert len(entries_page(wanted=common, after=None, size=2).rows) == 2
    assert (first.rows, first.after) == ([], Place(chained[2].at, chained[2].pk))
    assert (second.rows, second.after) == ([], None)
