"""Events under /events: reported, found again by their labels, paged and counted."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.recording.api import events as events_api
from events.recording.core import unit_within
from tests.factories import NOON
from tests.travelling import travelled

pytestmark = pytest.mark.django_db

FLOW = {"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow", "prefect.resource.name": "census"}
TAG = {"prefect.resource.id": "prefect.tag.a", "prefect.resource.role": "tag"}


def event(name="sensor.read", at="2026-01-05T12:00:00+00:00", resource="sensor.1", related=(FLOW,), **labels):
    labels = {"prefect.resource.id": resource, **labels}
    return {"id": str(uuid4()), "occurred": at, "event": name, "resource": labels, "related": list(related)}


def report(api, *events):
    answer = api.send("/events", list(events))
    assert (answer.status_code, answer.content) == (204, b"")


def names(api, **asked):
    occurred = {"since": "2026-01-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
    answer = api.send("/events/filter", {"filter": {"occurred": occurred, "order": "ASC", **asked}})
    assert answer.status_code == 200, answer.content
    return [one["event"] for one in answer.json()["events"]]


def test_an_event_is_stored_once_and_returned_as_it_was_sent(api):
    sent = {**event(), "payload": {"n": 1}, "follows": str(uuid4())}
    report(api, sent)
    report(api, sent)

    asked = {"id": {"id": [sent["id"]]}, "occurred": {"since": "2026-01-01T00:00:00Z"}}
    page = api.send("/events/filter", {"filter": asked}).json()

    assert page["total"] == 1
    assert {**page["events"][0], "received": None} == {**sent, "received": None}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["a.one", "a.two", "b.one"]),
        ({"order": "DESC"}, ["b.one", "a.two", "a.one"]),
        ({"event": {"prefix": ["a."]}}, ["a.one", "a.two"]),
        ({"event": {"exclude_prefix": ["a."]}}, ["b.one"]),
        ({"event": {"name": ["a.two", "b.one"], "exclude_name": ["b.one"]}}, ["a.two"]),
        ({"occurred": {"since": "2026-01-05T13:00:00Z", "until": "2026-01-05T14:00:00Z"}}, ["a.two"]),
        ({"resource": {"id": ["sensor.2"]}}, ["a.two"]),
        ({"resource": {"id_prefix": ["sensor."]}}, ["a.one", "a.two"]),
        ({"resource": {"labels": {"room": "kitchen"}}}, ["a.one"]),
        ({"resource": {"labels": {"room": ["k*", "hall"]}}}, ["a.one", "a.two"]),
        ({"resource": {"labels": {"room": "!kitchen"}}}, ["a.two"]),
        ({"resource": {"labels": {"room": ["k*", "ki*", "kitchen", "cellar"]}}}, ["a.one"]),
        ({"resource": {"labels": {"room": ["!kitchen", "!hall"]}}}, ["a.one", "a.two"]),
        ({"resource": {"labels": {"room": ["!k*", "!ki*"]}}}, ["a.two"]),
        ({"resource": {"labels": {"room": []}}}, []),
        ({"resource": {"labels": {"room": "%"}}}, []),
        ({"resource": {"distinct": True}, "event": {"prefix": ["a.", "b."]}}, ["a.one", "a.two", "b.one"]),
        ({"related": {"role": ["tag"]}}, ["b.one"]),
        ({"related": {"id": ["prefect.flow.1"]}}, ["a.one", "a.two"]),
        ({"related": {"labels": {"prefect.resource.name": "cen*"}}}, ["a.one", "a.two"]),
        ({"related": {"resources_in_roles": [["prefect.tag.a", "tag"]]}}, ["b.one"]),
        ({"related": {"resources_in_roles": [["prefect.tag.a", "flow"]]}}, []),
        ({"any_resource": {"id": ["sensor.1", "prefect.tag.a"]}}, ["a.one", "b.one"]),
        ({"any_resource": {"id_prefix": ["prefect.flow"]}}, ["a.one", "a.two"]),
        ({"any_resource": {}}, ["a.one", "a.two", "b.one"]),
    ],
)
def test_events_are_found_by_what_is_asked_of_them(api, asked, found):
    report(
        api,
        event("a.one", room="kitchen"),
        event("a.two", "2026-01-05T13:30:00Z", "sensor.2", room="hall"),
        event("b.one", "2026-01-05T15:00:00Z", "lamp.1", related=[TAG]),
    )

    assert names(api, **asked) == found


def test_a_filter_may_be_as_long_as_it_is_allowed_to_be(api):
    patterns = [f"{number}*" for number in range(100)]
    labels = {"labels": {f"label{number}": patterns for number in range(20)}, "id": patterns, "id_prefix": patterns}
    roles = {"resources_in_roles": [["a", "b"]] * 50, "id": patterns, "role": patterns, "labels": labels["labels"]}
    named = dict.fromkeys(["prefix", "exclude_prefix", "name", "exclude_name"], patterns)

    assert names(api, resource=labels, any_resource=labels, related=roles, event=named) == []


def test_several_patterns_of_a_label_match_what_any_of_them_matches(api):
    patterns = ["kitchen", "hall", "k*", "ha*", "!kitchen", "!hall", "!k*", "!ha*"]
    for room in ("kitchen", "kiosk", "hall", "hatch", "yard"):
        report(api, event(f"own.{room}", room=room), event(f"other.{room}", related=[{**TAG, "room": room}]))
    report(api, event("none"))

    def found(*asked):
        return {*names(api, any_resource={"labels": {"room": list(asked)}})}

    alone = {pattern: found(pattern) for pattern in patterns}
    assert len({*map(frozenset, alone.values())}) == len(patterns)
    for pair in combinations(patterns, 2):
        assert found(*pair) == alone[pair[0]] | alone[pair[1]], pair


@pytest.mark.parametrize("pattern", ["room {}", "room {}*", "!room {}", "!room {}*"])
def test_a_long_filter_makes_no_longer_a_statement_than_a_short_one(api, pattern):
    def lengths(count):
        statements = []
        asked = {"labels": {"room": [pattern.format(number) for number in range(count)]}}
        with connection.execute_wrapper(lambda execute, sql, *rest: statements.append(len(sql)) or execute(sql, *rest)):
            names(api, resource=asked, any_resource=asked, related=asked)
        return statements

    assert lengths(100) == lengths(2)


def test_the_newest_event_of_each_resource_is_found(api):
    report(api, event("old"), event("new", "2026-01-05T13:00:00Z"), event("other", resource="sensor.2"))

    assert sorted(names(api, resource={"distinct": True})) == ["new", "other"]


def test_events_are_given_page_by_page(api):
    report(api, *(event(f"e.{number}", f"2026-01-05T12:00:0{number}Z") for number in range(5)))
    window = {"occurred": {"since": "2026-01-01T00:00:00Z"}}

    first = api.send("/events/filter", {"filter": window, "limit": 2}).json()
    second = follow(api, first)
    third = follow(api, second)

    counted = [[one["event"] for one in page["events"]] for page in (first, second, third)]
    assert counted == [["e.4", "e.3"], ["e.2", "e.1"], ["e.0"]]
    assert ({page["total"] for page in (first, second, third)}, third["next_page"]) == ({5}, None)


def follow(api, page):
    parts = urlsplit(page["next_page"])
    return api.read(f"{parts.path.removeprefix('/api')}?{parts.query}").json()


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA==", "%C3%A9"])
def test_a_page_token_that_the_server_never_gave_is_refused(api, token):
    assert api.read(f"/events/filter/next?page-token={token}").status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource": {"colour": "red"}},
        {"related": [{"prefect.resource.id": "a"}]},
        {"id": "x"},
        {"occurred": "never"},
        {"event": ""},
        {"resource": {"prefect.resource.id": "a", 'b"': "c"}},
    ],
)
def test_an_event_that_could_not_be_found_again_is_refused(api, wrong):
    assert api.send("/events", [{**event(), **wrong}]).status_code == 422


@pytest.mark.parametrize("name", ["shop\npaid", "shop\x1b[2J", "shop\x9bpaid", "shop\x7f"], ids=ascii)
def test_the_name_of_an_event_has_no_control_characters(api, name):
    refused = api.send("/events", [event(), event(name)])

    (found,) = refused.json()["exception_detail"]
    assert refused.status_code == 422
    assert found["loc"] == ["body", 1, "event"]
    assert found["msg"].startswith("The name of an event must not contain U+")
    assert api.send("/events/filter").json()["total"] == 0


def counts(api, by, occurred, **asked):
    return api.send(f"/events/count-by/{by}", {"filter": {"occurred": occurred}, **asked}).json()


def test_events_are_counted_by_name_and_by_resource(api):
    report(api, event("a"), event("a", "2026-01-05T13:00:00Z", "sensor.2"), event("b", "2026-01-06T12:00:00Z"))
    window = {"since": "2026-01-05T00:00:00Z", "until": "2026-01-06T23:00:00Z"}

    by_name, by_resource = counts(api, "event", window), counts(api, "resource", window)

    assert by_name[0] == {
        **{"value": "a", "label": "a", "count": 2},
        **{"start_time": "2026-01-05T12:00:00+00:00", "end_time": "2026-01-05T13:00:00+00:00"},
    }
    assert [(one["value"], one["count"]) for one in by_name] == [("a", 2), ("b", 1)]
    assert [(one["value"], one["count"]) for one in by_resource] == [("sensor.1", 2), ("sensor.2", 1)]


def test_a_resource_is_counted_under_the_name_that_it_had_last(api):
    name = "prefect.resource.name"
    report(
        api,
        event("a", "2026-01-05T12:00:00Z", **{name: "Old"}),
        event("a", "2026-01-05T13:00:00Z", **{name: "New"}),
        event("a", "2026-01-05T12:30:00Z", "sensor.2", **{"prefect.name": "Other"}),
        event("a", "2026-01-05T12:30:00Z", "sensor.3"),
    )

    found = counts(api, "resource", {"since": "2026-01-05T00:00:00Z", "until": "2026-01-06T00:00:00Z"})

    assert [(one["value"], one["label"], one["count"]) for one in found] == [
        ("sensor.1", "New", 2),
        ("sensor.2", "Other", 1),
        ("sensor.3", "sensor.3", 1),
    ]
    assert (found[0]["start_time"][11:16], found[0]["end_time"][11:16]) == ("12:00", "13:00")


@pytest.mark.parametrize(
    ("by", "asked", "found"),
    [
        ("day", {}, [("0", "05T00:00", 2), ("1", "06T00:00", 0), ("2", "07T00:00", 1)]),
        ("time", {}, [("0", "05T00:00", 2), ("1", "06T00:00", 0), ("2", "07T00:00", 1)]),
        ("day", {"time_unit": "week"}, [("0", "05T00:00", 2), ("1", "06T00:00", 0), ("2", "07T00:00", 1)]),
        ("time", {"time_interval": 2}, [("0", "05T00:00", 2), ("1", "07T00:00", 1)]),
        ("time", {"time_unit": "week"}, [("0", "05T00:00", 3)]),
    ],
)
def test_events_are_counted_in_spans_of_time(api, by, asked, found):
    report(api, event("a"), event("a", "2026-01-05T13:00:00Z"), event("b", "2026-01-07T12:00:00Z"))

    counted = counts(api, by, {"since": "2026-01-05T00:00:00Z", "until": "2026-01-08T00:00:00Z"}, **asked)

    assert [(one["value"], one["label"][8:16], one["count"]) for one in counted] == found
    assert [one["start_time"] for one in counted] == [one["label"] for one in counted]


def test_days_to_come_are_not_counted(api):
    with travelled(NOON):
        counted = counts(api, "day", {"since": "2026-01-05T00:00:00Z", "until": "2026-01-09T00:00:00Z"})

    assert [one["start_time"] for one in counted] == ["2026-01-05T00:00:00+00:00"]


def test_too_many_spans_are_refused(api):
    answer = api.send("/events/count-by/time", {"filter": {}, "time_unit": "second"})

    assert answer.status_code == 422
    assert "spans" in answer.json()["detail"]


@pytest.mark.parametrize("asked", [{"time_unit": "second"}, {"time_unit": "second", "time_interval": 0.5}])
def test_too_many_spans_are_refused_before_an_event_is_read(api, asked):
    with CaptureQueriesContext(connection) as queries:
        answer = api.send("/events/count-by/time", {"filter": {}, **asked})

    assert answer.status_code == 422
    assert [one["sql"] for one in queries if "events_event" in one["sql"]] == []


def test_events_are_counted_in_spans_that_are_shorter_than_a_second(api):
    report(api, *(event("a", f"2026-01-05T12:00:00.{tenth}Z") for tenth in (1, 2, 7)))
    window = {"since": "2026-01-05T12:00:00Z", "until": "2026-01-05T12:00:01Z"}

    found = counts(api, "time", window, time_unit="second", time_interval=0.5)

    assert [one["count"] for one in found] == [2, 1]


@pytest.mark.parametrize(
    ("length", "unit"),
    [
        (timedelta(weeks=2), "day"),
        (timedelta(hours=36), "hour"),
        (timedelta(minutes=90), "minute"),
        (timedelta(days=1, seconds=1), "second"),
        (timedelta(seconds=1.5), None),
    ],
)
def test_the_unit_that_is_counted_is_the_longest_one(length, unit):
    assert unit_within(length) == unit


def test_only_the_most_frequent_resources_are_counted(api, monkeypatch):
    monkeypatch.setattr(events_api, "MOST_COUNTED", 2)
    report(api, *(event(resource=f"sensor.{one}") for one in (1, 2, 2, 3, 3, 3)))
    window = {"since": "2026-01-05T00:00:00Z", "until": "2026-01-06T00:00:00Z"}

    found = counts(api, "resource", window)

    assert [(one["value"], one["count"]) for one in found] == [("sensor.3", 3), ("sensor.2", 2)]
