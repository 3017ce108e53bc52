"""Automations: kept by the API, set off by events, and what they do."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError

from deployments.models import Deployment, WorkPool
from events.models import Automation, Event, Firing, Notification, Tally
from events.record import record_event
from events.services import tallies
from events.services.actions import do_actions
from events.services.evaluation import JudgingFailed, judge_events
from events.services.notifications import send_notifications
from events.services.tallies import MOST_FIRINGS
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun
from tests.events.rows import make_block
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, state_of

pytestmark = pytest.mark.django_db

NOTHING = {"type": "do-nothing"}


def trigger(**fields):
    return {"type": "event", "posture": "Reactive", **fields}


@pytest.fixture
def make(api, monkeypatch):
    """Makes an automation at noon of the tests' day."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)

    def made(asked=None, *actions, **fields):
        body = {
            "name": "mine",
            "trigger": asked or trigger(),
            "actions": [NOTHING, *actions][bool(actions) :],
            **fields,
        }
        return api.send("/automations/", body)

    return made


def happen(event="sensor.read", at=NOON, resource="sensor.1", related=(), **labels):
    return record_event(event, resource={"prefect.resource.id": resource, **labels}, related=related, now=at)


def firings():
    return Firing.objects.count()


def test_an_automation_is_stored_and_read(api, make):
    stored = make(trigger(expect=["a.*"]), description="what for", owner_resource="prefect.deployment.1")

    read = api.read(f"/automations/{stored.json()['id']}")

    assert stored.status_code == 201, stored.content
    assert read.json() == stored.json()
    assert (read.json()["trigger"]["threshold"], read.json()["enabled"]) == (1, True)


def test_an_automation_is_changed_switched_and_deleted(api, make):
    path = f"/automations/{make().json()['id']}"
    body = {"name": "other", "trigger": trigger(threshold=3), "actions": []}

    answers = [
        api.call("PUT", path, body),
        api.call("PATCH", path, {"enabled": False}),
    ]
    changed = api.read(path).json()
    answers += [api.call("DELETE", path), api.call("DELETE", path)]

    assert [answer.status_code for answer in answers] == [204, 204, 204, 404]
    assert (changed["name"], changed["trigger"]["threshold"], changed["enabled"]) == ("other", 3, False)


def test_automations_are_listed_counted_and_found_by_what_they_belong_to(api, make):
    run = make_deployment()
    make(name="b", owner_resource="prefect.flow.1")
    make(None, {"type": "pause-deployment", "deployment_id": str(run.pk)}, name="a")
    by_name = {"automations": {"name": {"any_": ["a"]}}}

    assert [one["name"] for one in api.send("/automations/filter").json()] == ["a", "b"]
    assert [one["name"] for one in api.send("/automations/filter", {"sort": "NAME_DESC"}).json()] == ["b", "a"]
    assert [one["name"] for one in api.send("/automations/filter", by_name).json()] == ["a"]
    assert api.send("/automations/count").json() == 2
    assert [one["name"] for one in api.read(f"/automations/related-to/prefect.deployment.{run.pk}").json()] == ["a"]
    assert api.call("DELETE", "/automations/owned-by/prefect.flow.1").status_code == 202
    assert [one["name"] for one in api.send("/automations/filter").json()] == ["a"]


def test_the_automation_of_the_documentation_can_be_made(api):
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()

    answer = api.send("/automations/", re.search(r"```json\n(.*?)```", page, re.DOTALL)[1].encode())

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"trigger": {"type": "event", "posture": "Metric"}},
        {"trigger": {"type": "event", "posture": "Proactive", "within": 3}},
        {"trigger": {"type": "compound", "triggers": [trigger()], "require": 2}},
        {"trigger": {"type": "other"}},
        {"actions": [{"type": "pause-deployment"}]},
        {"actions": [{"type": "pause-deployment", "deployment_id": str(uuid4())}]},
        {"actions": [{"type": "pause-deployment", "source": "inferred", "deployment_id": str(uuid4())}]},
        {"actions": [{"type": "run-deployment", "source": "inferred", "parameters": {"a": ["{{ b() }}"]}}]},
        {"actions": [{"type": "send-notification", "block_document_id": str(uuid4()), "body": "{{ a + b }}"}]},
        {"colour": "red"},
    ],
)
def test_an_automation_that_could_not_work_is_refused(make, wrong):
    assert make(**wrong).status_code == 422


@pytest.mark.parametrize(
    ("text", "status"), [("{{ flow_run.name|upper }}", 204), ("a\n{{ b|c }}", 422), ("{% x %}", 422)]
)
def test_texts_are_checked(api, text, status):
    answer = api.send("/templates/validate", text)

    assert answer.status_code == status
    if status == 422:
        assert answer.json()["error"]["source"] == text


@pytest.mark.parametrize(
    ("asked", "fires"),
    [
        ({}, True),
        ({"expect": ["sensor.read"]}, True),
        ({"expect": ["sensor.*"]}, True),
        ({"expect": ["sensor."]}, False),
        ({"match": {"prefect.resource.id": "sensor.*"}}, True),
        ({"match": {"room": ["kitchen", "hall"]}}, True),
        ({"match": {"room": "!kitchen"}}, False),
        ({"match": {"floor": "1"}}, False),
        ({"match_related": {"prefect.resource.role": "house"}}, True),
        ({"match_related": {"prefect.resource.role": "garden"}}, False),
    ],
)
def test_a_trigger_looks_at_labels_and_names(make, asked, fires):
    make(trigger(**asked))
    house = {"prefect.resource.id": "house.1", "prefect.resource.role": "house"}
    happen(room="kitchen", related=[house])

    assert judge_events(later()) == int(fires)


def test_an_event_is_judged_once(make):
    make()
    happen()

    fired = [judge_events(later()), judge_events(later(2))]

    assert (fired, firings(), Event.objects.filter(pending=True).count()) == ([1, 0], 1, 0)


def test_events_from_before_the_automation_are_none_of_its_business(make):
    happen(at=NOON - timedelta(seconds=1))
    make()

    assert judge_events(later()) == 0


def test_what_was_switched_off_does_not_fire(make):
    make(enabled=False)
    happen()

    assert judge_events(later()) == 0


def test_a_threshold_is_counted_within_its_time_and_apart_for_each_value(make):
    make(trigger(threshold=2, within=60, for_each=["prefect.resource.id"]))
    for at, resource in [(0, "a"), (10, "b"), (70, "a"), (80, "b"), (90, "a")]:
        happen(at=later(at), resource=resource)

    assert judge_events(later(100)) == 1  # a at 70 and 90; b's second one came too late


def test_what_is_expected_counts_only_after_what_must_come_first(make):
    make(trigger(after=["opened"], expect=["stolen"]))
    for second, event in enumerate(["stolen", "opened", "stolen", "stolen"]):
        happen(event, at=later(second))

    assert judge_events(later(10)) == 1


def test_a_watch_fires_when_nothing_came_in_time(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")

    early, late, again = (judge_events(later(second)) for second in (20, 40, 80))

    assert (early, late, again) == (0, 1, 0)


def test_a_watch_is_satisfied_by_what_it_waited_for(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")
    happen("finished", at=later(10))

    assert judge_events(later(60)) == 0


def test_a_watch_without_beginning_goes_on_from_time_to_time(make):
    make(trigger(posture="Proactive", expect=["heartbeat"], within=30))

    fired = [judge_events(later(second)) for second in (10, 40, 50, 70)]
    happen("heartbeat", at=later(75))
    after = judge_events(later(96))

    assert (fired, after) == ([0, 1, 0, 1], 0)
    assert Tally.objects.count() == 1


@pytest.mark.parametrize(
    ("require", "events", "fires"),
    [("all", ["a", "b"], 1), ("all", ["a", "a"], 0), ("any", ["b"], 1), (1, ["a"], 1), ("all", ["b", "a"], 1)],
)
def test_a_compound_trigger_fires_with_enough_of_its_parts(make, require, events, fires):
    parts = [trigger(expect=["a"]), trigger(expect=["b"])]
    make({"type": "compound", "triggers": parts, "require": require, "within": 60})
    for second, event in enumerate(events):
        happen(event, at=later(second))

    assert judge_events(later(10)) == fires


@pytest.mark.parametrize(("events", "fires"), [(["a", "b"], 1), (["b", "a"], 0), (["b", "a", "b"], 1)])
def test_a_sequence_fires_in_its_order(make, events, fires):
    make({"type": "sequence", "triggers": [trigger(expect=["a"]), trigger(expect=["b"])], "within": 60})
    for second, event in enumerate(events):
        happen(event, at=later(second))

    assert judge_events(later(10)) == fires


def test_parts_that_are_too_far_apart_do_not_count_together(make):
    make(
        {"type": "compound", "triggers": [trigger(expect=["a"]), trigger(expect=["b"])], "require": "all", "within": 5}
    )
    happen("a")
    happen("b", at=later(10))

    assert judge_events(later(20)) == 0


def test_an_automation_that_sets_itself_off_is_slowed_down(make):
    make()
    for _ in range(MOST_FIRINGS + 5):
        happen()

    judge_events(later())

    assert firings() == MOST_FIRINGS


# --- actions -----------------------------------------------------------------------------------------------------


def make_deployment(**fields):
    return Deployment.objects.create(name="nightly", flow=make_flow(), **fields)


def about(kind, row):
    return {"prefect.resource.id": f"prefect.{kind}.{row.pk}", "prefect.resource.role": kind}


def act(at=1):
    judge_events(later(at))
    return do_actions(later(at))


def test_a_flow_run_that_fails_sets_off_a_run_of_a_deployment_once(make):
    deployment = make_deployment()
    action = {"type": "run-deployment", "deployment_id": str(deployment.pk), "parameters": {"n": 1}}
    make(trigger(expect=["prefect.flow-run.Failed"]), action)
    run = make_flow_run("RUNNING")

    propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later())
    act(2)
    act(3)

    made = FlowRun.objects.get(deployment_id=deployment.pk)
    assert (made.parameters, made.state_type, made.created_by["type"]) == ({"n": 1}, "SCHEDULED", "AUTOMATION")


def test_events_of_flow_runs_name_what_has_to_do_with_them(make):
    make()
    deployment = make_deployment(tags=["b"])

    make_flow_run("RUNNING", deployment_id=deployment.pk, tags=["a"], now=later())

    event = Event.objects.get(event="prefect.flow-run.Running")
    ids = [one["prefect.resource.id"].rpartition(".")[0] for one in event.related]
    assert ids == ["prefect.flow", "prefect.deployment", "prefect.tag", "prefect.tag"]
    assert event.resource["prefect.state-type"] == "RUNNING"


def test_no_event_is_recorded_for_flow_runs_while_nothing_could_match():
    make_flow_run("RUNNING")

    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ({"type": "cancel-flow-run"}, "SCHEDULED", "CANCELLED"),
        ({"type": "change-flow-run-state", "state": "FAILED", "name": "Judged"}, "RUNNING", "FAILED"),
    ],
)
def test_the_flow_run_of_the_event_is_moved(make, action, before, after):
    make(trigger(expect=["sensor.read"]), action)
    run = make_flow_run(before)
    happen(resource=f"prefect.flow-run.{run.pk}")

    act()

    assert state_of(run) == after


def test_a_deployment_is_paused_and_resumed(make):
    deployment = make_deployment()
    make(trigger(expect=["stop"]), {"type": "pause-deployment", "source": "inferred"})
    make(trigger(expect=["go"]), {"type": "resume-deployment", "deployment_id": str(deployment.pk)})

    paused = []
    for second, event in enumerate(["stop", "go"]):
        happen(event, related=[about("deployment", deployment)], at=later(second))
        act(second + 1)
        deployment.refresh_from_db()
        paused.append(deployment.paused)

    assert paused == [True, False]


def test_a_pool_and_its_queue_are_paused(api, make):
    pool = WorkPool.objects.get(name=api.send("/work_pools/", {"name": "p"}).json()["name"])
    queue = pool.default_queue_id
    make(trigger(expect=["stop"]), {"type": "pause-work-pool", "work_pool_id": str(pool.pk)})
    make(trigger(expect=["stop"]), {"type": "pause-work-queue", "work_queue_id": str(queue)})
    happen("stop")

    act()

    pool.refresh_from_db()
    assert (pool.is_paused, pool.queues.get(pk=queue).is_paused) == (True, True)


def test_an_automation_switches_another_one_off(api, make):
    other = make(name="other", enabled=True).json()["id"]
    make(trigger(expect=["stop"]), {"type": "pause-automation", "automation_id": other})
    happen("stop")

    act()

    assert api.read(f"/automations/{other}").json()["enabled"] is False


def test_a_message_is_sent_that_says_what_happened(make, receiver):
    block = make_block("slack-webhook", {"url": receiver.url})
    body = "{{ flow_run.name }} of {{ flow.name }} is {{ flow_run.state.name }}: {{ event.resource['room'] }}"
    make(trigger(expect=["sensor.read"]), {"type": "send-notification", "block_document_id": str(block), "body": body})
    run = make_flow_run("RUNNING", name="nightly", flow=make_flow("census"))
    happen(resource=f"prefect.flow-run.{run.pk}", room="kitchen", related=[about("flow", run.flow)])

    act()
    send_notifications(later(2))

    assert receiver.got[0]["content"]["text"].endswith("nightly of census is Running: kitchen")


def test_a_webhook_is_called_with_the_payload_alone(make, receiver):
    block = make_block("webhook", {"url": receiver.url, "method": "POST"})
    action = {"type": "call-webhook", "block_document_id": str(block), "payload": '{"event": "{{ event.event }}"}'}
    make(None, action)
    happen()

    act()
    send_notifications(later(2))

    assert receiver.got[0]["content"] == {"event": "sensor.read"}


def test_an_action_that_has_nothing_to_act_on_says_so(make):
    make(None, {"type": "cancel-flow-run"})
    happen()

    act()

    assert "flow-run" in Firing.objects.get().error
    assert not Notification.objects.exists()


def test_an_action_that_breaks_keeps_no_other_from_being_done(make, receiver):
    make(None, {"type": "change-flow-run-state", "state": "FAILED"}, {"type": "pause-automation", "source": "inferred"})
    happen()
    judge_events(later())
    Firing.objects.filter(action__type="change-flow-run-state").update(action={"type": "no-longer-known"})

    do_actions(later())

    assert sorted(firing.done_at is not None for firing in Firing.objects.all()) == [True, True]
    assert "no-longer-known" in Firing.objects.get(action__type="no-longer-known").error


def test_a_deployment_is_run_with_parameters_that_the_event_fills_in(make):
    deployment = make_deployment()
    parameters = {"who": "{{ event.resource.id }}", "room": ["{{ event.resource.room }}"], "n": 1}
    action = {"type": "run-deployment", "deployment_id": str(deployment.pk), "parameters": parameters}
    make(None, action)
    happen(room="kitchen")

    act()

    assert FlowRun.objects.get(deployment_id=deployment.pk).parameters == {
        "who": "sensor.1",
        "room": ["kitchen"],
        "n": 1,
    }


def test_actions_on_trigger_are_done_after_the_others_and_those_on_resolve_are_kept(api, make):
    pause = {"type": "pause-automation", "source": "inferred"}
    stored = make(None, NOTHING, actions_on_trigger=[pause], actions_on_resolve=[NOTHING]).json()
    happen()

    judge_events(later())

    assert [one.action["type"] for one in Firing.objects.order_by("id")] == ["do-nothing", "pause-automation"]
    assert api.read(f"/automations/{stored['id']}").json()["actions_on_resolve"] == [NOTHING]


def test_the_usual_text_of_clients_is_filled_in(make, receiver):
    block = make_block("slack-webhook", {"url": receiver.url})
    body = (
        "Flow run {{ flow_run.name }} entered state `{{ flow_run.state.name }}` at {{ flow_run.state.timestamp }}.\n"
        "{{ flow_run.state.message }} {{ flow_run|ui_url }} {{ automation.name }}"
    )
    make(trigger(expect=["prefect.flow-run.Failed"]), notify(block, body))
    run = make_flow_run("RUNNING", name="nightly")
    propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED", message="boom"), now=later())

    act()
    send_notifications(later(2))

    text = receiver.got[0]["content"]["text"]
    assert "Flow run nightly entered state `Failed` at 2026" in text
    assert text.endswith(f"boom http://127.0.0.1:4200/runs/{run.pk} mine")


def notify(block, body):
    return {"type": "send-notification", "block_document_id": str(block), "body": body}


def test_a_text_that_breaks_is_an_action_that_failed(make, receiver):
    block = make_block("slack-webhook", {"url": receiver.url})
    make(None, notify(block, "{{ 1 > event.event }}"))
    happen()

    act()

    assert "cannot be filled in" in Firing.objects.get().error


def break_trigger(automation):
    """A stored trigger that no version of ours would have let in: it breaks at rooms other than the kitchen."""
    stored = Automation.objects.get(pk=automation.json()["id"])
    stored.trigger["match"] = {"room": ["kitchen", 7]}
    stored.save(update_fields=["trigger"])


def test_a_trigger_that_breaks_keeps_no_other_from_being_judged(make):
    break_trigger(make(name="a"))
    make(name="b")
    happen(room="hall")
    happen(room="kitchen")

    with pytest.raises(JudgingFailed, match="'a'.*AttributeError") as told:
        judge_events(later())

    assert "'b'" not in str(told.value)
    assert sorted(one.automation.name for one in Firing.objects.all()) == ["a", "b", "b"]
    assert not Event.objects.filter(pending=True).exists()


def test_a_trigger_that_cannot_be_read_keeps_no_other_from_being_judged(make):
    Automation.objects.filter(pk=make(name="a").json()["id"]).update(trigger={"type": "metric"})
    make(name="b")
    make(trigger(posture="Proactive", within=10, expect=["never"]), name="c")
    happen()

    with pytest.raises(JudgingFailed, match="'a'.*KeyError"):
        judge_events(later(20))

    assert sorted(one.automation.name for one in Firing.objects.all()) == ["b", "c"]


def test_a_watch_that_breaks_keeps_no_other_from_ending(make, monkeypatch):
    for name in "ab":
        make(trigger(posture="Proactive", within=10), name=name)
    break_when_set_off(monkeypatch, DataError("out of range"))

    with pytest.raises(JudgingFailed, match="'a'.*out of range"):
        judge_events(later(20))

    assert [one.automation.name for one in Firing.objects.all()] == ["b"]


def test_what_a_broken_automation_began_is_undone(make, monkeypatch):
    make(name="a")
    make(name="b")
    break_when_set_off(monkeypatch, DataError("out of range"))
    happen()

    with pytest.raises(JudgingFailed, match="'a'.*out of range"):
        judge_events(later())

    assert [one.automation.name for one in Firing.objects.all()] == ["b"]


def test_a_database_that_is_away_is_no_fault_of_an_automation(make, monkeypatch):
    make(name="a")
    break_when_set_off(monkeypatch, OperationalError("gone"))
    happen()

    with pytest.raises(OperationalError):
        judge_events(later())

    assert Event.objects.filter(pending=True).exists()


def break_when_set_off(monkeypatch, problem):
    """The automation "a" breaks after its firing was stored."""
    set_off = tallies._set_off

    def breaking(automation, *rest):
        set_off(automation, *rest)
        if automation.name == "a":
            raise problem

    monkeypatch.setattr(tallies, "_set_off", breaking)
