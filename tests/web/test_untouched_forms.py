"""A form that is sent back as it was shown changes nothing, whatever values its object has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deployments.models import Calendar, Deployment, Schedule, Variable, WorkPool, WorkQueue
from deployments.schedules.services.schedules import NewSchedule, add_schedules
from events.models import Automation, NotificationPolicy
from tests.web.deployments import NIGHTLY, make_deployment
from tests.web.test_automations_page import EVENT, make_automation
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_calendars_page import make_calendar
from tests.web.test_two_edits import form_of

# A text as programs write it: browsers send other line breaks.
LINES = " #!/bin/sh\necho hello\n"
TAGS = ["eu,west", "prod"]
# The address of the form, and what is stored.
Edited = tuple[str, Callable[[], Any]]


def columns(model: Any, pk: Any, *names: str) -> Callable[[], Any]:
    return lambda: model.objects.values(*names).get(pk=pk)


def sent_by_a_browser(sent: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: [one.replace("\n", "\r\n") for one in values] for name, values in sent.items()}


def deployment() -> Edited:
    one = make_deployment(tags=TAGS, description=LINES, must_finish_within=timedelta(days=14, seconds=1))
    names = ("tags", "description", "must_finish_within", "parameters", "work_queue")
    return reverse("deployments:edit-deployment", args=[one.pk]), columns(Deployment, one.pk, *names)


def schedule() -> Edited:
    one = make_deployment()
    definition = {**NIGHTLY, "day_or": True, "spread": 90.5}
    new = NewSchedule(definition=definition, parameters={"region": "eu"}, max_runs=7)
    add_schedules(deployment_id=one.pk, new=[new], now=timezone.now())
    plan = Schedule.objects.get()
    address = reverse("deployments:edit-schedule", args=[one.pk, plan.pk])
    return address, columns(Schedule, plan.pk, "definition", "parameters", "max_runs", "active")


def pool() -> Edited:
    make_deployment()
    WorkPool.objects.update(description=LINES)
    pk = WorkPool.objects.get().pk
    return reverse("deployments:edit-pool", args=[pk]), columns(WorkPool, pk, "description", "base_job_template")


def queue() -> Edited:
    make_deployment()
    WorkQueue.objects.update(description=LINES)
    pk = WorkQueue.objects.values_list("pk", flat=True)[0]
    return reverse("deployments:edit-queue", args=[pk]), columns(WorkQueue, pk, "description", "priority")


def variable() -> Edited:
    one = Variable.objects.create(name="script", value=LINES, tags=TAGS)
    return reverse("deployments:edit-variable", args=[one.pk]), columns(Variable, one.pk, "value", "tags")


def calendar() -> Edited:
    one = make_calendar()
    Calendar.objects.update(ics=one.ics.replace("\r\n", "\n"), description=LINES)
    return reverse("deployments:edit-calendar", args=[one.pk]), columns(Calendar, one.pk, "ics", "description")


def automation() -> Edited:
    tagged = {"prefect.resource.id": [f"prefect.tag.{tag}" for tag in TAGS], "prefect.resource.role": "tag"}
    runs = {"match": {"prefect.resource.id": "prefect.flow-run.*"}, "for_each": ["prefect.resource.id"]}
    trigger = {
        **EVENT,
        **runs,
        "expect": ["prefect.flow-run.Failed"],
        "match_related": tagged,
        "threshold": 1,
        "within": 0.0,
    }
    one = make_automation(trigger=trigger, description=LINES)
    return reverse("events:edit-automation", args=[one.pk]), lambda: [
        (found.description, found.trigger["match_related"], found.trigger["expect"])
        for found in Automation.objects.all()
    ]


def policy() -> Edited:
    schema = make_schema()
    schema.capabilities = ["notify"]
    schema.save()
    pk = NotificationPolicy.objects.create(
        state_types=["FAILED"],
        state_names=[],
        tags=TAGS,
        flow_names=["pay, roll"],
        message_template=LINES,
        block_document_id=make_block(schema).pk,
    ).pk
    names = ("tags", "flow_names", "message_template")
    return reverse("events:policy", args=[pk]), columns(NotificationPolicy, pk, *names)


@pytest.mark.parametrize(
    "kind",
    [deployment, schedule, pool, queue, variable, calendar, automation, policy],
    ids=lambda kind: kind.__name__,
)
def test_what_is_shown_is_what_is_saved(browser: Client, kind: Callable[[], Edited]):
    address, stored = kind()
    before = stored()

    answer = browser.post(address, sent_by_a_browser(form_of(browser, address)))

    assert answer.status_code == 302
    assert stored() == before


def test_a_tag_is_added_to_those_that_have_commas(browser: Client):
    address, stored = variable()
    shown = form_of(browser, address)

    browser.post(address, {**shown, "tags": [f"{shown['tags'][0]}, new"]})

    assert stored()["tags"] == [*TAGS, "new"]


def test_texts_of_several_lines_have_the_line_breaks_of_programs(browser: Client):
    browser.post("/variables/new", {"name": "script", "value": "#!/bin/sh\r\nexit\r\n", "tags": ""})

    assert Variable.objects.get().value == "#!/bin/sh\nexit\n"
