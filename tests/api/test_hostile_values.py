"""Deployments, schedules, calendars, agents and events, with one strange value each.

It is refused or kept, and what is kept can be listed and planned by, on both databases.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.schedules.services.planning import plan_due_schedules
from tests.api.test_hostile_json import POISON
from tests.factories import make_flow
from tests.rounds import share

pytestmark = pytest.mark.django_db

STRANGE = {
    "empty text": "",
    "long text": "x" * 70_000,
    "format characters": "\u202e%s{0}\u2028",
    "huge": 2**62,
    "beyond 32 bits": 2**31,
    "negative": -1,
    "minus huge": -(2**62),
    "tiny": 1e-300,
    "enormous": 1e300,
    "fraction": 0.5,
    "true": True,
    "nothing": None,
    "list": [],
    "list of lists": [[[]]],
    "object": {},
    "the first moment": "0001-01-01T00:00:00+14:00",
    "the last moment": "9999-12-31T23:59:59-12:00",
    "path": "../../etc/passwd",
    "zone": "/etc/localtime",
    "cron": "0 0 30 2 *",
    "long cron": ",".join(["*/1"] * 300) + " * * * *",
    "rule": "FREQ=SECONDLY;INTERVAL=1",
    "rule without end": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "calendar": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:00010101\nRRULE:FREQ=SECONDLY\nEND:VEVENT\nEND:VCALENDAR",
}
CALENDAR = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20990101\nEND:VEVENT\nEND:VCALENDAR\n"
SCHEDULE = {
    "schedule": {"cron": "0 3 * * *", "timezone": "UTC", "day_or": True},
    "active": True,
    "parameters": {"n": 1},
}
NEW_YEAR = "2099-01-01T00:00:00Z"
FULL_SCHEDULE = SCHEDULE | {
    "max_runs": 5,
    "max_active_runs": 2,
    "max_scheduled_runs": 3,
    "ends_at": "2099-01-01T00:00:00Z",
    "misfire": "latest",
    "misfire_window": 60.0,
    "calendars": [],
}


def bodies(flow: str, deployment: str) -> dict[str, tuple[str, Any]]:
    """Return a valid request with every field for each operation."""
    agent = {"name": "a", "incarnation": str(uuid4()), "work_queues": ["q"], "concurrency": 2, "host": "h", "pid": 7}
    event = {
        "occurred": "2026-01-01T00:00:00Z",
        "event": "e",
        "resource": {"prefect.resource.id": "r"},
        "related": [{"prefect.resource.id": "s", "prefect.resource.role": "x"}],
        "payload": {"n": 1},
        "id": str(uuid4()),
    }
    new = {
        "flow_id": flow,
        "name": "d",
        "version": "1",
        "description": "d",
        "tags": ["t"],
        "parameters": {"n": 1},
        "parameter_openapi_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "pull_steps": [{"x": {}}],
        "job_variables": {"env": {"A": "1"}},
        "work_queue_name": "q",
        "entrypoint": "f.py:f",
        "path": "/",
        "overlap": "allow",
        "crash_retries": 1,
        "concurrency_limit": 1,
        "must_start_within": 10.0,
        "schedules": [FULL_SCHEDULE],
    }
    run = {"name": "r", "parameters": {"n": 1}, "tags": ["t"], "idempotency_key": "k", "job_variables": {"env": {}}}
    return {
        "deployment": ("/deployments/", new),
        "run": (f"/deployments/{deployment}/create_flow_run", run),
        "schedule": (f"/deployments/{deployment}/schedules", [FULL_SCHEDULE]),
        "interval": (f"/deployments/{deployment}/schedules", [{"schedule": {"interval": 60.0, "anchor_date": None}}]),
        "rrule": (f"/deployments/{deployment}/schedules", [{"schedule": {"rrule": "FREQ=DAILY", "timezone": "UTC"}}]),
        "ics": (f"/deployments/{deployment}/schedules", [{"schedule": {"ics": CALENDAR, "timezone": "UTC"}}]),
        "preview": (
            "/schedules/preview",
            {"definition": SCHEDULE["schedule"], "calendars": [], "count": 3, "after": NEW_YEAR},
        ),
        "range": (f"/deployments/{deployment}/schedule", {"start_time": NEW_YEAR, "end_time": None, "min_runs": 1}),
        "calendar": ("/calendars/", {"name": "c", "description": "d", "ics": CALENDAR}),
        "agent": ("/agents/", agent),
        "event": ("/events", [event]),
        "queue": ("/work_queues/", {"name": "n", "description": "d", "concurrency_limit": 1, "priority": 1}),
        "pool": ("/work_pools/", {"name": "p", "type": "process", "concurrency_limit": 1, "base_job_template": {}}),
    }


OPERATIONS = list(bodies("", ""))
LISTS = ("/deployments/filter", "/flow_runs/filter", "/work_queues/filter", "/work_pools/filter", "/calendars/filter")


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands in a body."""
    if path:
        yield path
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return changed


@pytest.fixture
def requests(api) -> dict[str, tuple[str, Any]]:
    flow = str(make_flow().pk)
    body = {"flow_id": flow, "name": "there", "entrypoint": "f.py:f", "work_queue_name": "q"}
    return bodies(flow, api.send("/deployments/", body).json()["id"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_strange_value_it_is_accepted(api, requests, operation):
    answer = api.send(*requests[operation])

    assert answer.status_code < 300, answer.json()


@pytest.mark.generative
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_strange_value_breaks_an_operation(api, requests, operation):
    path, good = requests[operation]

    answers = {
        f"{'.'.join(map(str, place))} = {name}": api.send(path, with_value(good, place, value)).status_code
        for number, place in enumerate(places(good), OPERATIONS.index(operation))
        for name, value in share(list(STRANGE.items()), number, 3)
    }

    assert {what: status for what, status in answers.items() if status >= 500} == {}
    plan_due_schedules(timezone.now() + timedelta(days=1))
    assert {api.send(one, {}).status_code for one in LISTS} == {200}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_poison_is_refused_by_each_operation(api, requests, operation):
    path, good = requests[operation]
    marked = json.dumps(with_value(good, next(iter(places(good))), "HERE")).encode()

    answers = {
        name: api.send(path, marked.replace(b'"HERE"', poison)).status_code for name, (poison, _) in POISON.items()
    }

    assert set(answers.values()) == {422}, answers
