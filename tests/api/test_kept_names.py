"""An existing object keeps a name that no new object may have, whatever else of it is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from deployments.models import Calendar, ConcurrencyLimit, Deployment, GlobalLimit, WorkPool, WorkQueue
from events.models import Automation, NotificationPolicy
from runs.models import Flow, SavedSearch
from tests.api.blocks import login_schema, make_document
from tests.api.conftest import Api
from tests.factories import make_flow, make_limit

OLD = ["pay\u200broll", "pay\u202elor", " pay", "pay\u00a0roll", "pay\x9b", "\u3164"]
ICS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART;VALUE=DATE:20260102\r\nSUMMARY:rest\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
AUTOMATION = {
    "trigger": {"type": "event", "expect": ["x"], "posture": "Reactive", "threshold": 1, "within": 0},
    "actions": [{"type": "do-nothing"}],
}
Update = tuple[str, str, dict[str, Any]]


def queue(api: Api, name: str) -> list[Update]:
    made = api.send("/work_queues/", {"name": "old"}).json()["id"]
    WorkQueue.objects.filter(pk=made).update(name=name)
    WorkPool.objects.update(name=name)
    return [
        ("PATCH", f"/work_queues/{made}", {"name": name, "description": "x"}),
        ("PATCH", f"/work_pools/{quote(name)}/queues/{quote(name)}", {"name": name, "is_paused": True}),
        ("PATCH", f"/work_pools/{quote(name)}", {"description": "x"}),
    ]


def global_limit(api: Api, name: str) -> list[Update]:
    made = api.send("/v2/concurrency_limits/", {"name": "old", "limit": 1}).json()["id"]
    GlobalLimit.objects.filter(pk=made).update(name=name)
    return [
        ("PATCH", f"/v2/concurrency_limits/{made}", {"name": name, "limit": 2}),
        ("PATCH", f"/v2/concurrency_limits/{quote(name)}", {"limit": 3}),
    ]


def tag_limit(api: Api, name: str) -> list[Update]:
    ConcurrencyLimit.objects.filter(pk=make_limit("old", 1).pk).update(tag=name)
    return [("POST", "/concurrency_limits/", {"tag": name, "concurrency_limit": 2})]


def saved_search(api: Api, name: str) -> list[Update]:
    made = api.call("PUT", "/saved_searches/", {"name": "old"}).json()["id"]
    SavedSearch.objects.filter(pk=made).update(name=name)
    return [("PUT", "/saved_searches/", {"name": name, "filters": []})]


def automation(api: Api, name: str) -> list[Update]:
    made = api.send("/automations/", {"name": "old", **AUTOMATION}).json()["id"]
    Automation.objects.filter(pk=made).update(name=name)
    return [
        ("PUT", f"/automations/{made}", {"name": name, "description": "x", **AUTOMATION}),
        ("PATCH", f"/automations/{made}", {"enabled": False}),
    ]


def policy(api: Api, name: str) -> list[Update]:
    block = make_document(api, login_schema(api)).json()["id"]
    asked = {"state_names": ["Failed"], "tags": [], "block_document_id": block}
    made = api.send("/flow_run_notification_policies/", asked).json()["id"]
    NotificationPolicy.objects.filter(pk=made).update(name=name)
    return [("PATCH", f"/flow_run_notification_policies/{made}", {"name": name, "is_active": False})]


def calendar(api: Api, name: str) -> list[Update]:
    made = api.send("/calendars/", {"name": "old", "ics": ICS}).json()["id"]
    Calendar.objects.filter(pk=made).update(name=name)
    return [("PATCH", f"/calendars/{made}", {"name": name, "description": "x"})]


def deployment(api: Api, name: str) -> list[Update]:
    flow = make_flow("old")
    made = api.send("/deployments/", {"name": "old", "flow_id": str(flow.pk)}).json()["id"]
    Flow.objects.filter(pk=flow.pk).update(name=name)
    Deployment.objects.filter(pk=made).update(name=name)
    return [
        ("POST", "/flows/", {"name": name}),
        ("PATCH", f"/flows/{flow.pk}", {"tags": ["x"]}),
        ("POST", "/deployments/", {"name": name, "flow_id": str(flow.pk), "description": "x"}),
        ("PATCH", f"/deployments/{made}", {"description": "y"}),
    ]


KINDS = [queue, global_limit, tag_limit, saved_search, automation, policy, calendar, deployment]


@pytest.mark.django_db
@pytest.mark.parametrize("name", OLD, ids=ascii)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_change_of_an_object_is_refused_for_the_name_that_it_has(
    api: Api, kind: Callable[[Api, str], list[Update]], name: str
):
    updates = kind(api, name)

    answers = [api.call(*update) for update in updates]

    assert [answer.status_code for answer in answers if answer.status_code >= 300] == []
    assert {answer.status_code for answer in answers} <= {200, 204}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_another_name_must_be_readable(api: Api, kind: Callable[[Api, str], list[Update]]):
    name = OLD[0]
    if kind is tag_limit:
        name = "pay\x9b"
    updates = [update for update in kind(api, name) if {"name", "tag"} & update[2].keys()]

    answers = [
        api.call(method, path, {**body, **dict.fromkeys({"name", "tag"} & body.keys(), f"{name}2")})
        for method, path, body in updates
    ]

    assert answers
    assert {answer.status_code for answer in answers} == {422}
    assert all("U+" in answer.content.decode() for answer in answers)
    fields = {answer.json()["exception_detail"][0]["loc"][-1] for answer in answers}
    assert fields == ({"tag"} if kind is tag_limit else {"name"})
    assert all(answer.json()["detail"].startswith(f"{field}: ") for answer in answers for field in fields)


@pytest.mark.django_db
@pytest.mark.parametrize("tag", ["gpu ", " gpu", "g\u200bpu", "\u202eupg", "g\u00a0pu", "\u3164"], ids=ascii)
def test_a_limit_is_for_any_tag_that_runs_have(api: Api, tag: str):
    made = api.send("/concurrency_limits/", {"tag": tag, "concurrency_limit": 1})

    read = api.read(f"/concurrency_limits/tag/{quote(tag)}")

    assert made.status_code == 200
    assert read.json()["tag"] == tag


@pytest.mark.django_db
@pytest.mark.parametrize("tag", ["", "g\npu", "g\x9bpu", "\x7f"], ids=ascii)
def test_no_new_limit_is_for_an_empty_tag_or_control_characters(api: Api, tag: str):
    refused = api.send("/concurrency_limits/", {"tag": tag, "concurrency_limit": 1})

    assert refused.status_code == 422
    assert not ConcurrencyLimit.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["etl ", " etl", "etl\u00a0daily", "etl\u2009daily"], ids=ascii)
def test_a_flow_with_odd_spaces_is_created(api: Api, name: str):
    made = api.send("/flows/", {"name": name})

    assert made.status_code == 201
    assert made.json()["name"] == name


@pytest.mark.django_db
@pytest.mark.parametrize("name", OLD, ids=ascii)
def test_a_new_pool_has_a_readable_name(api: Api, name: str):
    refused = api.send("/work_pools/", {"name": name})

    assert refused.status_code == 422
    assert "A name must not" in refused.content.decode()
    assert not WorkPool.objects.exists()
