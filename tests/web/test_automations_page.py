"""Automations in the pages: in words, in forms, with what they did."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.work.services.work_queues import queue_for
from events.automations.services.automations import create_automation
from events.models import ActionRun, Automation, Event
from events.pages.forms import trigger_kind_of
from events.pages.words import trigger_words
from orionflow.contract.ids import uuid7
from tests.web.conftest import HOSTILE
from tests.web.deployments import make_deployment
from tests.web.rows import make_run
from tests.web.test_blocks_page import make_block, make_schema

EVENT = {
    "type": "event",
    "match": {},
    "match_related": {},
    "after": [],
    "expect": ["shop.order.*"],
    "for_each": [],
    "posture": "Reactive",
    "threshold": 3,
    "within": 60.0,
}

NO_OTHERS: dict[str, Any] = {"actions_on_trigger": [], "actions_on_resolve": []}


def make_automation(name: str = "watch", trigger: dict[str, Any] | None = None, **columns: Any) -> Automation:
    wanted = {"name": name, "trigger": trigger or EVENT, "actions": [{"type": "do-nothing"}], **NO_OTHERS, **columns}
    return create_automation(columns=wanted, now=timezone.now())


def make_firing(automation: Automation, *, error: str = "", event: Event | None = None) -> ActionRun:
    given = {"id": str(event.pk), "event": event.event, "resource": event.resource} if event else None
    return ActionRun.objects.create(
        id=uuid7(),
        automation=automation,
        action={"type": "do-nothing"},
        event=given,
        done_at=timezone.now(),
        error=error,
    )


def test_an_automation_names_what_it_acts_on_and_for_what_it_acted(browser: Client):
    deployment, run = make_deployment("daily"), make_run("brave-otter")
    labels = {"prefect.resource.id": f"prefect.flow-run.{run.pk}"}
    event = Event.objects.create(event="a", occurred=timezone.now(), resource_id="", resource=labels)
    action = {"type": "run-deployment", "source": "selected", "deployment_id": str(deployment.pk)}
    automation = make_automation(actions=[action])
    make_firing(automation, event=event)

    page = browser.get(f"/automations/{automation.pk}").content.decode()

    assert f'href="/deployments/{deployment.pk}" title="prefect.deployment.{deployment.pk}">daily</a>' in page
    assert f'flow run <a href="/runs/{run.pk}">brave-otter</a>' in page


def test_what_is_gone_is_named_by_kind_and_id(browser: Client):
    gone, automation = uuid4(), make_automation()
    actions = [{"type": "pause-work-queue", "source": "selected", "work_queue_id": id} for id in (str(gone), "no-id")]
    Automation.objects.update(actions=actions)

    page = browser.get(f"/automations/{automation.pk}").content.decode()

    assert f'>{str(gone)[:8]}</a> <span class="muted">work queue</span>' in page
    assert "prefect.work-queue.no-id" in page
    assert 'href=""' not in page


def test_automations_are_listed_in_words_with_what_they_did(browser: Client):
    automation = make_automation("too many orders")
    make_firing(automation)
    make_firing(automation, error="The queue is gone.")
    make_automation("off", enabled=False)

    page = browser.get("/automations").content.decode()

    for text in (
        "too many orders",
        "shop.order.* occurs 3 times within 1m",
        "1 action failed",
        "Disabled",
        "Do nothing",
    ):
        assert text in page


def test_failed_actions_are_counted_up_to_a_bound(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("events.pages.selectors.automations.FAILURES_COUNTED", 2)
    automation = make_automation()
    failed = [make_firing(automation, error="The queue is gone.") for _ in range(3)]

    (line, _, _), *_ = browser.get("/automations").context["lines"]

    assert str(line.failed) == "2+"
    assert line.last_fired == max(one.created for one in failed)


def test_an_automation_shows_its_firings_their_events_and_errors(browser: Client):
    automation = make_automation()
    labels = {"prefect.resource.id": "order.1"}
    event = Event.objects.create(event="shop.paid", occurred=timezone.now(), resource_id="order.1", resource=labels)
    make_firing(automation, error="It could not be done.", event=event)

    page = browser.get(f"/automations/{automation.pk}").content.decode()

    for text in ("It could not be done.", f"/events/{event.pk}", "shop.paid", "· enabled · Orion"):
        assert text in page


@pytest.mark.parametrize(
    ("kind", "filled", "expected"),
    [
        (
            "state",
            {"states": ["Failed", "Crashed"], "tags": "prod"},
            "flow-run.Crashed or flow-run.Failed with tag prod occurs",
        ),
        ("stays", {"states": ["Running"], "within": "600"}, "no flow-run.* occurs within 10m after flow-run.Running"),
        ("queue", {}, "work-queue.not-ready occurs"),
        (
            "event",
            {"expect": "a.b, a.c", "resource": "x.*", "threshold": "2", "within": "0"},
            "a.b or a.c of x.* occurs",
        ),
        ("silence", {"expect": "beat", "after": "", "within": "60"}, "no beat occurs within 1m"),
        ("json", {"trigger": '{"type": "event", "posture": "Reactive", "expect": ["x"]}'}, "x occurs"),
    ],
)
def test_the_usual_triggers_are_made_in_forms_and_shown_there_again(
    browser: Client, kind: str, filled: dict, expected: str
):
    values = {"name": "mine", "enabled": "on", **filled}

    made = browser.post(f"/automations/new?when={kind}&do=do-nothing", values)

    automation = Automation.objects.get()
    assert made["location"] == f"/automations/{automation.pk}"
    assert trigger_words(automation.trigger).startswith(expected)
    again, _ = trigger_kind_of(automation.trigger)
    assert again == ("event" if kind == "json" else kind)
    assert browser.post(f"/automations/{automation.pk}/edit", values).status_code == (302 if kind != "json" else 200)


def test_the_usual_actions_are_made_in_forms(browser: Client):
    queue = queue_for(pool_name=None, queue_name="gpu", now=timezone.now())
    assert queue is not None
    values = {"name": "pause", "enabled": "on", "work_queue_id": str(queue.pk)}

    browser.post("/automations/new?when=queue&do=pause-work-queue", values)

    automation = Automation.objects.get()
    assert automation.actions == [
        {"type": "pause-work-queue", "source": "selected", "work_queue_id": str(queue.pk)},
    ]
    assert f"/work/queues/{queue.pk}" in browser.get(f"/automations/{automation.pk}").content.decode()


def test_what_is_rare_is_written_as_json_and_misshapen_json_is_explained(browser: Client):
    address = "/automations/new?when=json&do=json"
    trigger = '{"type": "sequence", "triggers": [{"type": "event", "posture": "Reactive", "expect": ["a"]}]}'

    wrong = browser.post(address, {"name": "x", "trigger": '{"type": "event"}', "actions": '[{"type": "fly"}]'})
    broken = browser.post(address, {"name": "x", "trigger": "{", "actions": "[]"})
    right = browser.post(address, {"name": "x", "trigger": trigger, "actions": '[{"type": "cancel-flow-run"}]'})

    assert "posture: Field required" in wrong.content.decode()
    assert "fly" in wrong.content.decode()
    assert broken.status_code == 200
    assert right.status_code == 302
    assert Automation.objects.get().actions == [{"type": "cancel-flow-run"}]


@pytest.mark.parametrize("address", ["/automations/new?when=state&do=send-notification", "/notifications/new"])
def test_forms_of_messages_lead_to_a_new_block_while_no_block_sends_any(browser: Client, address: str):
    dead_end = browser.get(address).content.decode()
    schema = make_schema()
    schema.capabilities = ["notify"]
    schema.save()
    make_block(schema)

    filled = browser.get(address).content.decode()

    assert '<a href="/blocks/new">Make one</a> first' in dead_end
    assert "Make one" not in filled


def test_a_block_that_does_not_exist_is_refused_at_the_actions(browser: Client):
    trigger = '{"type": "event", "posture": "Reactive", "expect": ["a"]}'
    actions = f'[{{"type": "call-webhook", "block_document_id": "{uuid4()}"}}]'

    answer = browser.post("/automations/new?when=json&do=json", {"name": "x", "trigger": trigger, "actions": actions})

    assert "does not exist" in str(answer.context["form"].errors["actions"])
    assert not Automation.objects.exists()


def test_what_would_never_fire_is_refused_above_the_form(browser: Client):
    values = {"name": "x", "enabled": "on", "expect": "prefect.work-queue.sleepy", "threshold": "1", "within": "0"}

    page = browser.post("/automations/new?when=event&do=do-nothing", values).content.decode()

    assert "never fire" in page
    assert not Automation.objects.exists()


def test_editing_keeps_what_the_form_does_not_show(browser: Client):
    later = [{"type": "cancel-flow-run"}]
    automation = make_automation(actions_on_resolve=later)

    browser.post(
        f"/automations/{automation.pk}/edit",
        {"name": "renamed", "expect": "shop.order.*", "threshold": "5", "within": "60"},
    )

    automation.refresh_from_db()
    assert (automation.name, automation.enabled, automation.actions_on_resolve) == ("renamed", False, later)
    assert automation.trigger["threshold"] == 5


def test_an_automation_is_switched_tried_and_deleted(browser: Client):
    automation = make_automation()

    browser.post(f"/automations/{automation.pk}/disable")
    automation.refresh_from_db()
    off = automation.enabled
    browser.post(f"/automations/{automation.pk}/enable")
    automation.refresh_from_db()
    tried = browser.post(f"/automations/{automation.pk}/test", follow=True).content.decode()
    browser.post(f"/automations/{automation.pk}/delete")

    assert (off, automation.enabled) == (False, True)
    assert "Do nothing – would be done" in tried
    assert not Automation.objects.exists()


def test_the_page_without_automations_explains_what_they_do(browser: Client):
    assert "No automations yet" in browser.get("/automations").content.decode()
    assert "A flow run enters a state" in browser.get("/automations/new").content.decode()
    assert browser.get(f"/automations/{uuid4()}").status_code == 404


def test_the_next_page_goes_on_after_the_last_name(browser: Client):
    for place in range(150):
        make_automation("same" if place < 110 else f"z-{place}")

    first = browser.get("/automations")
    second = browser.get("/automations" + first.context["next"])
    ids = [line.automation.pk for answer in (first, second) for line, _, _ in answer.context["lines"]]

    assert len(ids) == len(set(ids)) == 150


def test_pages_cost_few_queries_and_names_are_text(browser: Client, django_assert_max_num_queries):
    for _ in range(20):
        automation = make_automation(HOSTILE, description=HOSTILE)
        make_firing(automation, error=HOSTILE)

    with django_assert_max_num_queries(3):
        listed = browser.get("/automations").content.decode()
    with django_assert_max_num_queries(4):
        shown = browser.get(f"/automations/{automation.pk}").content.decode()

    assert HOSTILE not in listed + shown
