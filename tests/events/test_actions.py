"""Actions of automations that were set off."""

from __future__ import annotations

import pytest

from deployments.models import WorkPool
from events.automations.services.actions import do_actions
from events.automations.services.evaluation import judge_events
from events.models import ActionRun, Event, Notification
from events.notifications.services.notifications import send_notifications
from orchestration.services import propose_flow_run_state
from orionflow.contract.masking import MASK, known
from runs.models import FlowRun
from tests.events.automations import NOTHING, about, act, happen, make_deployment, notify, trigger
from tests.events.rows import make_block
from tests.factories import later, make_flow, make_flow_run, make_state, state_of

pytestmark = pytest.mark.django_db


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


def test_a_message_is_sent_that_describes_the_event(make, receiver):
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


def test_an_action_without_a_target_fails_with_the_reason(make):
    make(None, {"type": "cancel-flow-run"})
    happen()

    act()

    assert "flow-run" in ActionRun.objects.get().error
    assert not Notification.objects.exists()


def test_an_action_that_breaks_keeps_no_other_from_being_done(make, receiver):
    make(None, {"type": "change-flow-run-state", "state": "FAILED"}, {"type": "pause-automation", "source": "inferred"})
    happen()
    judge_events(later())
    ActionRun.objects.filter(action__type="change-flow-run-state").update(action={"type": "no-longer-known"})

    do_actions(later())

    assert sorted(action_run.done_at is not None for action_run in ActionRun.objects.all()) == [True, True]
    assert "no-longer-known" in ActionRun.objects.get(action__type="no-longer-known").error


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


def test_no_deployment_is_run_with_what_is_masked_in_the_event(make):
    deployment = make_deployment()
    parameters = {"token": "{{ event.resource.token }}", "n": 1}
    make(
        trigger(expect=["go"]),
        {"type": "run-deployment", "deployment_id": str(deployment.pk), "parameters": parameters},
    )
    happen("go", resource="r", token=f"Bearer {MASK}")

    act()

    assert not FlowRun.objects.filter(deployment_id=deployment.pk).exists()
    assert "masked ('token')" in ActionRun.objects.get().error


def test_a_process_that_only_runs_services_masks_secrets_in_messages(make, receiver):
    block = make_block("webhook", {"url": receiver.url})
    payload = '{"with": {{ flow_run.parameters | tojson }}, "key": "k3y-of-the-payload"}'
    make(trigger(expect=["go"]), {"type": "call-webhook", "block_document_id": str(block), "payload": payload})
    make_block("database", {"password": "hunter2-Zk93kfj20dk"}, secret=("password",))
    make_block("service", {"key": "k3y-of-the-payload"}, secret=("key",))
    known.forget()
    run = make_flow_run("RUNNING", parameters={"password": "hunter2-Zk93kfj20dk"})
    happen("go", resource=f"prefect.flow-run.{run.pk}")

    act()
    send_notifications(later(2))

    assert receiver.got[0]["content"] == {"with": {"password": MASK}, "key": "k3y-of-the-payload"}


def test_actions_on_trigger_are_done_after_the_others_and_those_on_resolve_are_kept(api, make):
    pause = {"type": "pause-automation", "source": "inferred"}
    stored = make(None, NOTHING, actions_on_trigger=[pause], actions_on_resolve=[NOTHING]).json()
    happen()

    judge_events(later())

    assert [one.action["type"] for one in ActionRun.objects.order_by("id")] == ["do-nothing", "pause-automation"]
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


def test_a_text_that_breaks_is_an_action_that_failed(make, receiver):
    block = make_block("slack-webhook", {"url": receiver.url})
    make(None, notify(block, "{{ 1 > event.event }}"))
    happen()

    act()

    assert "cannot be filled in" in ActionRun.objects.get().error
