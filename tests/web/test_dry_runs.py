"""Forms of automations and policies that are tried on the past before they are saved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from events.models import ActionRun, Automation, Event, Notification, NotificationPolicy
from tests.factories import make_flow_run
from tests.web.conftest import HOSTILE
from tests.web.test_automations_page import make_automation
from tests.web.test_notifications_page import block as block
from tests.web.test_notifications_page import make_policy

TRIED = {"try": "yes", "span": "1h"}
EVENTS = "/automations/new?when=event&do=do-nothing"
STATES = "/automations/new?when=state&do=send-notification"


def happen(event: str = "shop.paid", *, minutes_ago: float = 1, resource: str = "order.1") -> Event:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    labels = {"prefect.resource.id": resource}
    return Event.objects.create(event=event, occurred=at, received=at, resource_id=resource, resource=labels)


def asked(**fields: str) -> dict[str, str]:
    return {"name": "mine", "enabled": "on", "threshold": "1", "within": "0", "expect": "shop.paid", **fields, **TRIED}


def test_a_form_that_is_tried_says_how_often_and_because_of_what_and_saves_nothing(browser: Client):
    older, newer = happen(minutes_ago=30), happen(minutes_ago=10)
    happen(minutes_ago=90)

    page = browser.post(EVENTS, asked()).content.decode()

    assert "It would have fired 2 times</strong> in the last hour" in page
    assert "2 events since" in page
    assert page.index(f"/events/{newer.pk}") < page.index(f"/events/{older.pk}")
    assert 'value="shop.paid"' in page
    assert '<option value="1h" selected>' in page
    assert not Automation.objects.exists()
    assert not ActionRun.objects.exists()


def test_the_message_about_the_newest_run_is_shown_and_not_sent(browser: Client, block: UUID):
    run = make_flow_run("FAILED", name="brave-otter", now=timezone.now())
    values = {"name": "mine", "states": ["Failed"], "block_document_id": str(block)}
    texts = {"subject": "About {{ flow_run.name }}", "body": "It is {{ flow_run.state.name }}."}

    page = browser.post(STATES, {**values, **texts, **TRIED}).content.decode()

    for text in ("It would have fired 1 time</strong>", f"/runs/{run.pk}", "About brave-otter", "It is Failed."):
        assert text in page
    assert not Notification.objects.exists()


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_tried(browser: Client):
    happen()

    page = browser.post(EVENTS, asked(threshold="no")).content.decode()
    refused = browser.post(EVENTS, asked(expect="prefect.work-queue.sleepy")).content.decode()

    assert "Enter a whole number." in page
    assert "never fire" in refused
    for one in (page, refused):
        assert "Nothing was tried" in one
        assert "It would" not in one


def test_an_edit_that_is_tried_leaves_the_automation_as_it_is(browser: Client):
    happen("shop.order.made")
    automation = make_automation()

    values = {**asked(expect="shop.order.*"), "name": "renamed"}
    page = browser.post(f"/automations/{automation.pk}/edit", values).content.decode()

    automation.refresh_from_db()
    assert "It would have fired 1 time</strong>" in page
    assert (automation.name, automation.trigger["threshold"]) == ("watch", 3)


def test_a_policy_that_is_tried_shows_the_runs_and_the_newest_message(browser: Client, block: UUID):
    run = make_flow_run("FAILED", name="brave-otter", now=timezone.now())
    values = {"state_types": ["FAILED"], "block_document_id": str(block), "message_template": "{flow_run_name}!"}

    page = browser.post("/notifications/new", {**values, **TRIED}).content.decode()
    none = browser.post("/notifications/new", {**values, **TRIED, "state_types": ["CRASHED"]}).content.decode()
    wrong = browser.post("/notifications/new", {**values, **TRIED, "message_template": "{colour}"}).content.decode()

    for text in ("It would have sent 1 message</strong>", f"/runs/{run.pk}", "brave-otter!", "through alarm"):
        assert text in page
    assert "It would have sent nothing" in none
    assert "Nothing was tried" in wrong
    assert not Notification.objects.exists()
    assert not NotificationPolicy.objects.exists()


def test_a_policy_keeps_what_its_form_does_not_show_while_it_is_tried(browser: Client, block: UUID):
    make_flow_run("FAILED", now=timezone.now())
    policy = make_policy(block, deployment_ids=["01900000-0000-7000-8000-000000000000"])

    values = {"state_types": ["FAILED"], "block_document_id": str(block)}
    page = browser.post(f"/notifications/{policy.pk}", {**values, **TRIED}).content.decode()

    assert "It would have sent nothing" in page


@pytest.mark.parametrize("address", [EVENTS, STATES, "/notifications/new"])
def test_forms_offer_a_dry_run_before_it_was_asked_for(browser: Client, address: str):
    page = browser.get(address).content.decode()

    assert 'name="try"' in page
    assert "It would" not in page


def test_names_are_text_and_a_dry_run_costs_few_queries(block: UUID, django_assert_max_num_queries):
    # Not the client that compares the tables after each request.
    browser = Client(headers={"host": "127.0.0.1:4200"})
    for number in range(30):
        happen(HOSTILE, resource=f"{HOSTILE}.{number}")
        make_flow_run("FAILED", name="run", now=timezone.now())
    policy: dict[str, Any] = {"state_types": ["FAILED"], "block_document_id": str(block)}

    with django_assert_max_num_queries(12):
        page = browser.post(EVENTS, asked(expect="")).content.decode()
    with django_assert_max_num_queries(12):
        messages = browser.post("/notifications/new", {**policy, **TRIED}).content.decode()

    assert HOSTILE not in page
    assert "These are the newest 20." in page
    assert "These are the newest 20." in messages
