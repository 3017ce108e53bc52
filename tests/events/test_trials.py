"""Messages and automations that are tried, and the logs of both."""

from __future__ import annotations

import pytest

from events.automations.services.actions import do_actions
from events.automations.services.evaluation import judge_events
from events.models import Notification
from events.notifications.services.notifications import send_notifications
from tests.events.automations import trigger
from tests.events.rows import make_block, make_policy
from tests.factories import later, make_flow, make_flow_run

pytestmark = pytest.mark.django_db


def slack(receiver):
    return make_block("slack-webhook", {"url": f"{receiver.url}/T1"})


def test_a_policy_that_is_tried_really_sends_its_message(api, receiver):
    policy = make_policy(
        slack(receiver), state_types=["CRASHED"], message_template="{flow_run_name}: {flow_run_state_type}"
    )

    answer = api.send("/notifications/test", {"policy_id": str(policy.pk)})

    assert answer.status_code == 201
    assert receiver.got[0]["content"]["text"] == "Test message from Orion\n\ntest-run: CRASHED"
    assert answer.json()["standing"] == "SENT"
    assert answer.json()["attempts"][0]["outcome"] == "accepted: 200"


def test_a_trial_of_a_block_shows_its_outcome_and_is_not_repeated(api, receiver):
    receiver.status = 503

    answer = api.send("/notifications/test", {"block_document_id": str(slack(receiver)), "body": "hello"})
    send_notifications(later(10_000))

    assert answer.json()["standing"] == "GIVEN_UP"
    assert "answered 503" in answer.json()["attempts"][0]["outcome"]
    assert len(receiver.got) == 1


def test_a_trial_is_sent_in_its_short_form_too(api, receiver):
    receiver.refuse, receiver.refusal = "second line", 413

    answer = api.send("/notifications/test", {"block_document_id": str(slack(receiver)), "body": "one\nsecond line"})

    assert (answer.json()["standing"], answer.json()["is_short"], len(receiver.got)) == ("SENT", True, 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"policy_id": "00000000-0000-7000-8000-000000000000"}, 409),
        ({"block_document_id": "00000000-0000-7000-8000-000000000000"}, 409),
        ({"policy_id": "x"}, 422),
        ({"block_document_id": "00000000-0000-7000-8000-000000000000", "colour": 1}, 422),
    ],
)
def test_invalid_trials_are_refused(api, body, status):
    assert api.send("/notifications/test", body).status_code == status


def test_the_log_lists_each_attempt_newest_first_and_by_policy(api, receiver):
    policy = make_policy(slack(receiver), state_types=["FAILED"])
    make_policy(slack(receiver), state_names=["Completed"])
    receiver.status = 500
    run = make_flow_run("FAILED", flow=make_flow("census"))
    make_flow_run("COMPLETED")
    send_notifications(later())
    receiver.status = 200
    send_notifications(later(12))

    log = api.send("/notifications/filter", {"notifications": {"policy_id": {"any_": [str(policy.pk)]}}}).json()

    assert [(one["flow_run_id"], one["standing"]) for one in log] == [(str(run.pk), "SENT")]
    refused = "127.0.0.1 answered 500 and did not take the message."
    assert [one["outcome"] for one in log[0]["attempts"]] == [refused, "accepted: 200"]
    assert len(api.send("/notifications/filter", {}).json()) == 2
    assert api.send("/notifications/filter", {"notifications": {"standing": {"any_": ["WAITING"]}}}).json() == []


def test_fields_of_orion_are_sent_only_if_they_are_set(api, receiver):
    asked = {"state_names": [], "tags": [], "block_document_id": str(slack(receiver))}
    plain = api.send("/flow_run_notification_policies/", asked).json()

    more = {"name": "ops", "state_types": ["FAILED"], "flow_names": ["census"]}
    full = api.send("/flow_run_notification_policies/", {**asked, **more}).json()

    assert not more.keys() & plain.keys()
    assert {name: full[name] for name in more} == more
    changed = {"state_types": [], "name": None, "flow_names": []}
    assert api.call("PATCH", f"/flow_run_notification_policies/{full['id']}", changed).status_code == 204
    assert not more.keys() & api.read(f"/flow_run_notification_policies/{full['id']}").json().keys()


def test_an_automation_that_is_tried_sends_its_messages_and_names_the_rest(api, receiver, make):
    run = make_flow_run("FAILED", name="nightly")
    message = {
        "type": "send-notification",
        "block_document_id": str(slack(receiver)),
        "body": "{{ flow_run.name }} <!here>",
    }
    automation = make(trigger(), message, {"type": "cancel-flow-run"}).json()

    tried = api.send(f"/automations/{automation['id']}/test").json()

    assert [one["outcome"] for one in tried] == ["accepted: 200", "would be done"]
    assert receiver.got[0]["content"]["text"].endswith("nightly <!here>")
    assert tried[0]["notification"]["flow_run_id"] == str(run.pk)
    assert api.send("/automations/firings/filter", {}).json() == []


def test_names_in_texts_of_automations_cause_no_mentions(api, receiver, make):
    make_flow_run("FAILED", name="<!channel>")
    message = {"type": "send-notification", "block_document_id": str(slack(receiver)), "body": "{{ flow_run.name }}"}
    automation = make(trigger(), message).json()

    api.send(f"/automations/{automation['id']}/test")

    assert receiver.got[0]["content"]["text"].endswith("&lt;!channel&gt;")


def test_firings_are_logged_with_their_outcome_and_their_messages(api, receiver, make):
    message = {"type": "send-notification", "block_document_id": str(slack(receiver)), "body": "hello"}
    automation = make(trigger(), message, {"type": "pause-work-queue", "source": "inferred"}).json()
    make_flow_run("RUNNING", now=later(1))
    judge_events(later(2))
    do_actions(later(2))
    send_notifications(later(3))

    asked = {"firings": {"automation_id": {"any_": [automation["id"]]}}}
    log = {one["action"]["type"]: one for one in api.send("/automations/firings/filter", asked).json()}

    assert log["send-notification"]["error"] == ""
    assert "could act on" in log["pause-work-queue"]["error"]
    sent = {"notifications": {"automation_id": {"any_": [automation["id"]]}}}
    assert [one["standing"] for one in api.send("/notifications/filter", sent).json()] == ["SENT"]
    assert Notification.objects.count() == 1
