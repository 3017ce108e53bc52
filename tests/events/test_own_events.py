"""Events that Orion records of queues, pools, deployments and automations, and automations that wait for them."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from deployments.definitions.services import statuses
from deployments.definitions.services.statuses import record_statuses
from deployments.dispatch.selectors.liveness import ready_deployments
from deployments.models import Deployment, Worker, WorkPool, WorkQueue
from deployments.work.services.work_queues import default_queue, update_work_queue
from events.automations.core.loops import EMITTED, never_recorded
from events.automations.core.matching import is_named
from events.automations.services.automations import create_automation
from events.models import Event, RecordedStatus
from tests.events.automations import NOTHING, act, happen, trigger
from tests.factories import NOON, later, make_flow

pytestmark = pytest.mark.django_db


def event_names(kind="prefect."):
    return list(Event.objects.filter(event__startswith=kind).order_by("received", "id").values_list("event", flat=True))


def make_automation(**fields):
    columns = {"name": "a", "trigger": trigger(match={}, match_related={}, after=[], expect=[], for_each=[]), **fields}
    columns["trigger"] = {"threshold": 1, "within": 0.0, **columns["trigger"]}
    columns = {"actions": [NOTHING], "actions_on_trigger": [], "actions_on_resolve": [], **columns}
    return create_automation(columns=columns, now=NOON)


def waiting_for(*events):
    return trigger(match={}, match_related={}, after=[], expect=list(events), for_each=[])


@pytest.fixture
def served(db):
    """A deployment in a queue of a pool that nobody serves yet."""
    pool = WorkPool.objects.create(name="mill", type="process")
    queue = default_queue(pool, NOON)
    return Deployment.objects.create(name="nightly", flow=make_flow("census"), work_queue=queue)


def test_an_event_is_recorded_once_when_a_queue_begins_or_ceases_to_be_served(served):
    pool, queue = served.work_queue.work_pool, served.work_queue
    worker = Worker.objects.create(name="w", work_pool=pool, offline_at=later(90), queue_ids=[str(queue.pk)])

    counts = [record_statuses(now) for now in (NOON, later(1), later(600), later(601))]

    kinds = ("work-queue", "work-pool", "deployment")
    assert counts == [3, 0, 3, 0]
    assert event_names() == [*(f"prefect.{k}.ready" for k in kinds), *(f"prefect.{k}.not-ready" for k in kinds)]
    assert worker.pk


def test_a_queue_that_was_never_served_records_no_event(served):
    assert record_statuses(NOON) == 0
    assert event_names() == []


def test_events_name_their_subject(served):
    queue = served.work_queue
    WorkQueue.objects.update(last_polled=NOON)

    record_statuses(NOON)

    about = {event.event: event for event in Event.objects.all()}
    queue_event, deployment_event = about["prefect.work-queue.ready"], about["prefect.deployment.ready"]
    assert queue_event.resource == {
        "prefect.resource.id": f"prefect.work-queue.{queue.pk}",
        "prefect.resource.name": "default",
        "prefect.resource.role": "work-queue",
    }
    roles = [one["prefect.resource.role"] for one in deployment_event.related]
    assert roles == ["flow", "work-queue", "work-pool"]
    assert deployment_event.related[2]["prefect.work-pool.type"] == "process"


def test_changes_by_users_are_recorded_at_once(api):
    api.send("/work_pools/", {"name": "mill", "type": "process"})
    api.call("PATCH", "/work_pools/mill", {"is_paused": True, "description": "x"})
    api.call("PATCH", "/work_pools/mill", {"is_paused": True})
    api.call("PATCH", "/work_pools/mill", {"is_paused": False})
    api.call("PATCH", "/work_pools/mill/queues/default", {"is_paused": True})
    api.call("PATCH", "/work_pools/mill/queues/default", {"is_paused": False})

    pool = ["not-ready", "paused", "not-ready"]
    assert event_names("prefect.work-pool.") == [f"prefect.work-pool.{status}" for status in pool]
    assert event_names("prefect.work-queue.") == ["prefect.work-queue.paused", "prefect.work-queue.not-ready"]


@pytest.mark.parametrize("was_served", [True, False], ids=["served already", "just served"])
def test_a_queue_that_is_paused_while_statuses_are_read_stays_recorded_as_paused(served, monkeypatch, was_served):
    if was_served:
        WorkQueue.objects.update(last_polled=NOON)
        record_statuses(NOON)
    WorkQueue.objects.update(last_polled=later(50))

    def paused_before(*asked):
        update_work_queue(queue_id=served.work_queue_id, changes={"is_paused": True}, now=later(60))
        return ready_deployments(*asked)

    monkeypatch.setattr(statuses, "ready_deployments", paused_before)
    record_statuses(later(60))
    monkeypatch.undo()
    record_statuses(later(61))

    recorded = RecordedStatus.objects.get(pk=f"prefect.work-queue.{served.work_queue_id}")
    assert recorded.status == "PAUSED"
    assert event_names("prefect.work-queue.") == [
        *["prefect.work-queue.ready"][: int(was_served)],
        "prefect.work-queue.paused",
    ]


def test_statuses_of_deleted_objects_are_forgotten(served):
    WorkQueue.objects.update(last_polled=NOON)
    record_statuses(NOON)
    served.delete()

    record_statuses(later(1))

    assert set(RecordedStatus.objects.values_list("pk", flat=True)) == {f"prefect.work-queue.{served.work_queue_id}"}


def test_an_automation_fires_when_a_queue_is_paused(api):
    make_automation(trigger=waiting_for("prefect.work-queue.paused"))
    api.send("/work_queues/", {"name": "q"})
    queue = api.read("/work_queues/name/q").json()["id"]

    api.call("PATCH", f"/work_queues/{queue}", {"is_paused": True})
    now = timezone.now() + timedelta(seconds=1)

    assert act((now - NOON).total_seconds()) == 1


def test_actions_of_automations_are_recorded(api):
    automation = make_automation(trigger=waiting_for("sensor.read"))
    happen()

    act()

    events = Event.objects.filter(resource_id=f"prefect.automation.{automation.pk}").order_by("received", "id")
    assert [event.event for event in events] == ["prefect.automation.triggered", "prefect.automation.action.executed"]
    assert events[0].related[0]["prefect.resource.role"] == "triggering-event"
    assert (events[1].payload["action_index"], events[1].payload["action_type"]) == (0, "do-nothing")


def test_a_failed_action_is_recorded_with_its_reason(api):
    make_automation(trigger=waiting_for("sensor.read"), actions=[{"type": "pause-work-queue", "source": "inferred"}])
    happen()

    act()

    failed = Event.objects.get(event="prefect.automation.action.failed")
    assert "work-queue" in failed.payload["reason"]


def test_automations_follow_upon_each_other_and_never_upon_themselves():
    make_automation(name="first", trigger=waiting_for("sensor.read"))
    make_automation(name="second", trigger=waiting_for("prefect.automation.action.executed"))
    happen()

    assert [act(at) for at in (1, 2, 3, 4)] == [1, 1, 0, 0]


@pytest.mark.parametrize("expect", [[], ["*"], ["prefect.*"]])
def test_a_trigger_for_any_event_ignores_events_of_automations(expect):
    make_automation(name="first", trigger=waiting_for(*expect))
    make_automation(name="second", trigger=waiting_for(*expect))
    happen("prefect.something")

    assert [act(at) for at in (1, 2, 3)] == [2, 0, 0]


@pytest.mark.parametrize("event", ["prefect.work-queue.healthy", "prefect.deployment.paused", "prefect.automation.x*"])
@pytest.mark.parametrize("place", ["expect", "after"])
def test_waiting_for_an_event_that_nothing_records_is_refused(api, event, place):
    body = {"name": "a", "trigger": {**trigger(), place: [event]}, "actions": [NOTHING]}

    answer = api.send("/automations/", body)

    assert answer.status_code == 422
    assert event in answer.json()["detail"]


@given(kind=st.sampled_from(sorted(EMITTED)), word=st.text("abcdy-.*", max_size=12))
def test_a_trigger_is_evaluated_exactly_if_a_matching_event_is_recorded(kind, word):
    pattern = kind + word

    is_ignored = never_recorded(waiting_for(pattern)) is None

    assert is_ignored == any(is_named([pattern], kind + status) for status in EMITTED[kind])


RUN_IT = {"type": "run-deployment", "source": "inferred"}


@pytest.mark.parametrize("expect", ["Running", "Pending", "Scheduled", "*", "Run*"])
def test_running_the_deployment_of_each_new_run_is_refused(api, expect):
    body = {"name": "a", "trigger": trigger(expect=[f"prefect.flow-run.{expect}"]), "actions": [RUN_IT]}

    answer = api.send("/automations/", body)

    assert answer.status_code == 422
    assert "without end" in answer.json()["detail"]
    assert api.send("/automations/", {**body, "enabled": False}).status_code == 201


def selected(api):
    flow = api.send("/flows/", {"name": "census"}).json()["id"]
    id = api.send("/deployments/", {"name": "d", "flow_id": flow}).json()["id"]
    return id, {"type": "run-deployment", "source": "selected", "deployment_id": id}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"match": {"prefect.resource.id": "prefect.flow-run.*"}}, 422),
        ({"match_related": {"prefect.resource.id": "prefect.deployment.OWN"}}, 422),
        ({"match_related": {"prefect.resource.id": ["prefect.flow.x", "prefect.deployment.*"]}}, 422),
        ({"match_related": {"prefect.resource.id": f"prefect.deployment.{uuid4().hex}"}}, 201),
        ({"match": {"prefect.resource.name": "other"}}, 201),
        ({"posture": "Proactive", "within": 60}, 201),
    ],
    ids=["any run", "every run", "its own", "every deployment", "another's", "some", "watching"],
)
def test_a_loop_on_its_own_deployment_is_refused(api, asked, status):
    id, action = selected(api)
    related = asked.get("match_related", {}).get("prefect.resource.id")
    if isinstance(related, str):
        asked = {"match_related": {"prefect.resource.id": related.replace("OWN", id)}}
    wanted = trigger(**{"expect": ["prefect.flow-run.Running"], **asked})

    answer = api.send("/automations/", {"name": "a", "trigger": wanted, "actions": [action]})

    assert answer.status_code == status


def test_a_run_may_follow_upon_the_end_of_another(api):
    _, action = selected(api)
    wanted = trigger(expect=["prefect.flow-run.Completed", "prefect.flow-run.Failed"])

    assert api.send("/automations/", {"name": "a", "trigger": wanted, "actions": [action]}).status_code == 201


def test_an_endless_automation_cannot_be_switched_on(api):
    wanted = trigger(expect=["prefect.flow-run.Running"])
    made = api.send("/automations/", {"name": "a", "trigger": wanted, "actions": [RUN_IT], "enabled": False}).json()

    answer = api.call("PATCH", f"/automations/{made['id']}", {"enabled": True})

    assert answer.status_code == 422
    assert api.read(f"/automations/{made['id']}").json()["enabled"] is False
    assert api.call("PATCH", f"/automations/{made['id']}", {"enabled": False}).status_code == 204
    assert api.call("PATCH", f"/automations/{uuid4()}", {"enabled": True}).status_code == 404
