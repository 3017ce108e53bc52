"""Notification policies in the pages, and the log of what was sent."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.blocks.services.builtin_types import install_builtin_block_types
from deployments.models import BlockDocument, BlockSchema
from events.models import Notification, NotificationPolicy
from events.notifications.services.policies import create_policy
from orionflow.contract.ids import uuid7
from tests.web.conftest import HOSTILE


@pytest.fixture
def block(db: None) -> UUID:
    install_builtin_block_types(now=timezone.now())
    schema = next(one for one in BlockSchema.objects.select_related("block_type") if "notify" in one.capabilities)
    content = {"url": "http://127.0.0.1:1/hook"}
    document = BlockDocument.objects.create(
        name="alarm", content=content, block_type=schema.block_type, block_schema=schema
    )
    return document.pk


def make_policy(block: UUID, **columns: Any) -> NotificationPolicy:
    wanted = {"name": "failures", "state_types": ["FAILED"], "block_document_id": block, **columns}
    return create_policy(columns=wanted, now=timezone.now())


def make_message(block: UUID, standing: str = "GIVEN_UP", **columns: Any) -> Notification:
    now = timezone.now()
    tries = [{"at": now.isoformat(), "seconds": 0.2, "outcome": "hooks.example.org answered 500."}]
    return Notification.objects.create(
        id=uuid7(),
        block_document_id=block,
        subject="etl failed",
        body="It raised KeyError.",
        standing=standing,
        due_at=now,
        attempts=1,
        tries=tries,
        last_error="hooks.example.org answered 500.",
        **columns,
    )


def test_policies_and_messages_are_listed_with_every_attempt(browser: Client, block: UUID):
    make_policy(block, tags=["prod"])
    make_message(block)

    page = browser.get("/notifications").content.decode()

    for text in ("failures", "Failed", "prod", "alarm", "Given up", "1 attempt", "answered 500", "It raised KeyError."):
        assert text in page


def test_the_log_is_filtered_by_outcome(browser: Client, block: UUID):
    make_message(block)
    make_message(block, "SENT")

    found = browser.get("/notifications?standing=SENT").context["found"]

    assert [one.notification.standing for one in found.messages] == ["SENT"]


def test_a_policy_is_made_changed_switched_and_deleted(browser: Client, block: UUID):
    values = {"state_types": ["FAILED", "CRASHED"], "state_names": "Late", "tags": "prod", "flow_names": "etl"}
    browser.post("/notifications/new", {**values, "is_active": "on", "block_document_id": str(block)})
    made = NotificationPolicy.objects.get()
    shown = browser.get(f"/notifications/{made.pk}").content.decode()
    browser.post(f"/notifications/{made.pk}", {"name": "renamed", "block_document_id": str(block), "is_active": "on"})
    changed = NotificationPolicy.objects.get()
    browser.post(f"/notifications/{made.pk}/switch")
    off = NotificationPolicy.objects.get().is_active
    browser.post(f"/notifications/{made.pk}/delete")

    assert (made.state_types, made.state_names, made.tags) == (["FAILED", "CRASHED"], ["Late"], ["prod"])
    assert "Late" in shown
    assert (changed.name, changed.state_types, changed.is_active, off) == ("renamed", [], True, False)
    assert not NotificationPolicy.objects.exists()


def test_a_button_does_what_it_says_although_somebody_was_faster(browser: Client, block: UUID):
    browser.post("/notifications/new", {"state_types": "FAILED", "is_active": "on", "block_document_id": str(block)})
    page = browser.get("/notifications").content.decode()
    (disable,) = re.findall(r'action="(/notifications/[^"]*/switch[^"]*)"', page)

    states = [browser.post(disable) and NotificationPolicy.objects.get().is_active for _ in range(2)]

    assert states == [False, False]


def test_a_bad_message_is_refused_above_the_form(browser: Client, block: UUID):
    values = {"message_template": "{nothing_like_this}", "block_document_id": str(block)}

    answer = browser.post("/notifications/new", values)

    assert answer.status_code == 200
    assert answer.context["form"].non_field_errors()


def test_a_test_message_shows_its_outcome(browser: Client, block: UUID):
    policy = make_policy(block)

    page = browser.post(f"/notifications/{policy.pk}/test", follow=True).content.decode()

    assert "Delivery: " in page
    assert Notification.objects.get().policy_id == policy.pk


def test_the_page_without_policies_explains_what_they_do(browser: Client):
    assert "No policies yet" in browser.get("/notifications").content.decode()
    assert browser.get(f"/notifications/{uuid4()}").status_code == 404


def test_a_new_policy_shows_a_warning_if_nothing_can_send_its_messages(browser: Client):
    assert "Make one</a> first" in browser.get("/notifications/new").content.decode()


def test_the_page_costs_few_queries_and_names_are_text(browser: Client, block: UUID, django_assert_max_num_queries):
    for _ in range(20):
        make_policy(block, name=HOSTILE, tags=[HOSTILE])
        make_message(block)
    Notification.objects.update(subject=HOSTILE, body=HOSTILE)

    with django_assert_max_num_queries(4):
        page = browser.get("/notifications").content.decode()

    assert HOSTILE not in page


def test_the_filter_by_block_keeps_its_choice(browser: Client, block: UUID):
    everything = browser.get("/notifications").content.decode()
    chosen = browser.get(f"/notifications?block={block}").content.decode()

    assert f'<option value="{block}">' in everything
    assert f'<option value="{block}" selected>' in chosen


def test_a_list_without_messages_and_filters_does_not_mention_a_filter(browser: Client):
    assert "No message was made in the last week." in browser.get("/notifications").content.decode()
    assert "No message of the last week matches." in browser.get("/notifications?since=-1h").content.decode()
