"""Forms of existing objects save whatever else is changed: the name that an object has is not refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deployments.models import Calendar, ConcurrencyLimit, Deployment, GlobalLimit, WorkPool, WorkQueue
from events.models import Automation, NotificationPolicy
from runs.models import SavedSearch
from tests.factories import make_limit
from tests.web.deployments import make_deployment
from tests.web.test_automations_page import make_automation
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_calendars_page import make_calendar
from tests.web.test_limits_page import make_global

OLD = ["pay\u200broll", "pay\u202elor", " pay", "pay ", "pay\u00a0roll", "\u3164", "pay\x9b"]
# The address of the form, and the stored name afterwards.
Edited = tuple[str, Callable[[], Any]]


def renamed(model: Any, pk: Any, name: str, field: str = "name") -> Callable[[], Any]:
    model.objects.filter(pk=pk).update(**{field: name})
    return lambda: model.objects.values_list(field, flat=True).get(pk=pk)


def queue(name: str) -> Edited:
    make_deployment("nightly")
    pk = WorkQueue.objects.values_list("pk", flat=True)[0]
    return reverse("deployments:edit-queue", args=[pk]), renamed(WorkQueue, pk, name)


def pool(name: str) -> Edited:
    make_deployment("nightly")
    pk = WorkPool.objects.get().pk
    return reverse("deployments:edit-pool", args=[pk]), renamed(WorkPool, pk, name)


def tag_limit(name: str) -> Edited:
    pk = make_limit("old", 1).pk
    return reverse("deployments:edit-tag-limit", args=[pk]), renamed(ConcurrencyLimit, pk, name, "tag")


def global_limit(name: str) -> Edited:
    pk = make_global("old").pk
    return reverse("deployments:edit-global-limit", args=[pk]), renamed(GlobalLimit, pk, name)


def calendar(name: str) -> Edited:
    pk = make_calendar("old").pk
    return reverse("deployments:edit-calendar", args=[pk]), renamed(Calendar, pk, name)


def automation(name: str) -> Edited:
    pk = make_automation("old").pk
    return reverse("events:edit-automation", args=[pk]), renamed(Automation, pk, name)


def policy(name: str) -> Edited:
    schema = make_schema()
    schema.capabilities = ["notify"]
    schema.save()
    pk = NotificationPolicy.objects.create(
        state_types=["FAILED"], state_names=[], tags=[], flow_names=[], block_document_id=make_block(schema).pk
    ).pk
    return reverse("events:policy", args=[pk]), renamed(NotificationPolicy, pk, name)


def deployment(name: str) -> Edited:
    one = make_deployment("old")
    assert one.work_queue is not None
    renamed(WorkQueue, one.work_queue.pk, name)
    renamed(WorkPool, one.work_queue.work_pool_id, name)
    return reverse("deployments:edit-deployment", args=[one.pk]), renamed(Deployment, one.pk, name)


KINDS = [queue, pool, tag_limit, global_limit, calendar, automation, policy, deployment]


def sent_by(form: Any) -> dict[str, Any]:
    """Return the values that a browser sends if nobody has changed a field."""
    values = {field.html_name: field.value() for field in form if not field.field.disabled}
    return {
        name: "on" if value is True else value
        for name, value in values.items()
        if value is not None and value is not False
    }


@pytest.mark.django_db
@pytest.mark.parametrize("name", OLD, ids=ascii)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_form_is_saved_with_the_name_that_the_object_has(browser: Client, kind: Callable[[str], Edited], name: str):
    address, stored = kind(name)
    queues = set(WorkQueue.objects.values_list("pk", flat=True))
    values = sent_by(browser.get(address).context["form"])

    answer = browser.post(address, values)

    assert answer.status_code == 302, answer.context["form"].errors
    assert stored() == name
    assert set(WorkQueue.objects.values_list("pk", flat=True)) == queues
    assert ConcurrencyLimit.objects.count() <= 1


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [queue, global_limit, calendar, automation, policy], ids=lambda kind: kind.__name__)
def test_a_form_refuses_another_name_that_is_unreadable(browser: Client, kind: Callable[[str], Edited]):
    address, stored = kind(OLD[0])
    values = sent_by(browser.get(address).context["form"])

    answer = browser.post(address, values | {"name": OLD[1]})

    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in answer.content.decode()
    assert stored() == OLD[0]


@pytest.mark.django_db
def test_a_copy_of_a_deployment_does_not_keep_its_name(browser: Client):
    one = make_deployment("old")
    renamed(Deployment, one.pk, OLD[0])
    address = reverse("deployments:duplicate", args=[one.pk])
    values = sent_by(browser.get(address).context["form"])

    answer = browser.post(address, values)

    assert "U+200B ZERO WIDTH SPACE" in answer.content.decode()
    assert Deployment.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("name", OLD[:2], ids=ascii)
def test_a_view_is_saved_and_renamed_to_the_name_that_it_has(browser: Client, name: str):
    browser.post(reverse("runs:save-view", args=["runs"]), {"name": "old", "query": "state=failed"})
    view = SavedSearch.objects.get()
    renamed(SavedSearch, view.pk, name)

    pages = [
        browser.post(reverse("runs:save-view", args=["runs"]), {"name": name, "query": "state=late"}, follow=True),
        browser.post(reverse("runs:rename-view", args=["runs", view.pk]), {"name": name}, follow=True),
    ]

    assert [page for page in pages if "A name must not" in page.content.decode()] == []
    assert SavedSearch.objects.get().filters[0]["value"] == "state=late"
