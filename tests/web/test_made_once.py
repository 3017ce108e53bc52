"""Forms that make objects without a unique name: sent twice, as after the browser's Back, they make one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deployments.models import Backfill, Schedule
from events.models import Automation, NotificationPolicy
from tests.web.deployments import make_deployment
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_two_edits import form_of

OF_VERSION_4 = "9f0a3f0e-6b1c-4d5e-8f7a-1b2c3d4e5f60"
# The address of the form, the fields to fill in, and the model.
Making = tuple[str, dict[str, Any], Any]


def automation() -> Making:
    return "/automations/new?when=event&do=do-nothing", {"name": "watch", "expect": "a"}, Automation


def policy() -> Making:
    schema = make_schema()
    schema.capabilities = ["notify"]
    schema.save()
    block = make_block(schema)
    return "/notifications/new", {"block_document_id": str(block.pk)}, NotificationPolicy


def backfill() -> Making:
    address = reverse("deployments:new-backfill", args=[make_deployment("nightly").pk])
    span = {"start": "2026-01-05T00:00:00", "end": "2026-01-07T00:00:00"}
    return address, {**span, "times": "cron", "cron": "0 6 * * *", "order": "oldest"}, Backfill


def schedule() -> Making:
    address = reverse("deployments:new-schedule", args=[make_deployment("nightly").pk])
    return address, {"cron": "0 6 * * *", "misfire": "none"}, Schedule


KINDS = [automation, policy, backfill, schedule]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_form_that_is_sent_twice_makes_one_and_makes_another_only_when_told(
    browser: Client, kind: Callable[[], Making]
):
    address, values, model = kind()
    sent = {**form_of(browser, address), **values}
    before = model.objects.count()

    first = browser.post(address, sent)
    second = browser.post(address, sent)
    made = model.objects.count() - before
    third = browser.post(address, {**sent, "new_id": second.context["form"]["new_id"].value()})

    assert first.status_code == 302
    assert made == 1
    assert "This form has already made a" in second.content.decode()
    assert third.status_code == 302
    assert model.objects.count() - before == 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("new_id", [None, "", "7", OF_VERSION_4])
def test_a_program_that_sends_no_usable_id_makes_as_many_as_it_asks_for(
    browser: Client, kind: Callable[[], Making], new_id: str | None
):
    address, values, model = kind()
    sent = {**form_of(browser, address), **values}
    sent.pop("new_id")
    before = model.objects.count()

    answers = [browser.post(address, sent if new_id is None else {**sent, "new_id": new_id}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert model.objects.count() - before == 2
