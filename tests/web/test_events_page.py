"""The feed of events, and one event."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import WorkQueue
from events.models import Event
from events.pages.selectors import events as selectors
from tests.web.conftest import HOSTILE
from tests.web.rows import make_flow, make_run


def make_event(
    event: str = "shop.order.paid", resource: str = "order.17", *, name: str = "", minutes_ago: int = 0, **columns
) -> Event:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    labels = {"prefect.resource.id": resource} | ({"prefect.resource.name": name} if name else {})
    return Event.objects.create(event=event, occurred=at, resource_id=resource, resource=labels, **columns)


def test_events_are_listed_newest_first(browser: Client):
    make_event("older", minutes_ago=5)
    make_event("newer")

    answer = browser.get("/events")

    assert [one.event for one in answer.context["found"].page.rows] == ["newer", "older"]


@pytest.mark.undivided
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("event=shop.", {"shop.paid", "shop.sent"}),
        ("event=shop.paid", {"shop.paid"}),
        ("resource=order.", {"shop.paid"}),
        ("since=-1h", {"shop.paid", "shop.sent"}),
        ("since=-1h&event=late", set()),
    ],
)
def test_the_feed_is_filtered_by_name_resource_and_time(browser: Client, query: str, found: set[str]):
    make_event("shop.paid", "order.1")
    make_event("shop.sent", "parcel.1")
    make_event("late.one", "x.1", minutes_ago=90)

    answer = browser.get(f"/events?{query}")

    assert {one.event for one in answer.context["found"].page.rows} == found


def test_the_next_page_goes_on_after_the_last_event(browser: Client):
    for place in range(120):
        make_event(f"event-{place}", minutes_ago=place)

    first = browser.get("/events")
    second = browser.get("/events" + first.context["next"])
    names = [one.event for answer in (first, second) for one in answer.context["found"].page.rows]

    assert names == [f"event-{place}" for place in range(120)]


def test_a_search_without_hits_shows_how_far_it_looked(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "SEARCHED", 10)
    for place in range(30):
        make_event("noise", minutes_ago=place)
    make_event("needle", minutes_ago=60)

    answer = browser.get("/events?event=needle")
    assert "Look further back" in answer.content.decode()
    for _ in range(5):
        if answer.context["found"].page.rows:
            break
        answer = browser.get("/events" + answer.context["next"])

    assert [one.event for one in answer.context["found"].page.rows] == ["needle"]


def test_an_event_shows_its_resources_payload_and_cause(browser: Client):
    run = make_run()
    cause = make_event("cause")
    related = [{"prefect.resource.id": f"prefect.flow.{run.flow_id}", "prefect.resource.role": "flow", "colour": "red"}]
    event = make_event(
        "prefect.flow-run.Failed",
        f"prefect.flow-run.{run.pk}",
        related=related,
        payload={"amount": 12.5},
        follows=cause.pk,
    )

    page = browser.get(f"/events/{event.pk}").content.decode()

    for text in (f"/runs/{run.pk}", f"/flows/{run.flow_id}", "colour", "red", "12.5", f"/events/{cause.pk}"):
        assert text in page


def test_events_name_what_they_are_about(browser: Client, django_assert_max_num_queries):
    flow, run = make_flow("etl"), make_run("brave-otter")
    queue = WorkQueue.objects.create(name="gpu")
    gone = uuid4()
    make_event("a", f"prefect.flow-run.{run.pk}", name="as it was called then")
    for name, resource in (("b", f"prefect.flow-run.{run.pk}"), ("c", f"prefect.flow.{flow.pk}")):
        make_event(name, resource)
    make_event("d", f"prefect.work-queue.{queue.pk}")
    make_event("e", f"prefect.deployment.{gone}")
    make_event("f", "order.17")

    # One for the views, one for the events, and one for each kind whose names do not stand in them.
    with django_assert_max_num_queries(6):
        answer = browser.get("/events")
    resources = {event.event: (one.name, one.kind, one.address) for event, one in answer.context["rows"]}

    assert resources == {
        "a": ("as it was called then", "flow run", f"/runs/{run.pk}"),
        "b": ("brave-otter", "flow run", f"/runs/{run.pk}"),
        "c": ("etl", "flow", f"/flows/{flow.pk}"),
        "d": ("gpu", "work queue", f"/work/queues/{queue.pk}"),
        "e": (str(gone)[:8], "deployment", f"/deployments/{gone}"),
        "f": ("order.17", "", ""),
    }
    assert f'title="brave-otter: prefect.flow-run.{run.pk}"' in answer.content.decode()


def test_the_page_without_events_explains_where_they_come_from(browser: Client):
    assert "orion event emit" in browser.get("/events").content.decode()
    assert "No event matches" in browser.get("/events?event=x").content.decode()
    assert browser.get(f"/events/{uuid4()}").status_code == 404


def test_pages_cost_few_queries_and_names_are_text(browser: Client, django_assert_max_num_queries):
    for _ in range(30):
        event = make_event(HOSTILE, HOSTILE, payload={HOSTILE: HOSTILE})

    with django_assert_max_num_queries(3):
        listed = browser.get("/events?event=%3C").content.decode()
    with django_assert_max_num_queries(2):
        shown = browser.get(f"/events/{event.pk}").content.decode()

    assert HOSTILE not in listed + shown
