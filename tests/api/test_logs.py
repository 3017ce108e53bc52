"""POST /logs/ and reading lines back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from orchestration.api.parsing import without_unstorable
from tests.factories import NOON, later, make_flow_run, make_log

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]


def line(message="hello", **fields):
    return {"name": "orion.flow_runs", "level": 20, "message": message, "timestamp": NOON.isoformat(), **fields}


def test_lines_are_stored_and_read_in_the_order_of_time(api, counted):
    run = str(uuid4())
    lines = [line("second", timestamp=later(2).isoformat(), flow_run_id=run), line("first", flow_run_id=run)]

    with counted("write logs"):
        answer = api.send("/logs/", lines)
    with counted("filter logs"):
        body = api.send("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}}).json()

    assert (answer.status_code, answer.json()) == (201, None)
    assert [one["message"] for one in body] == ["first", "second"]
    assert body[0].keys() >= {"id", "created", "updated", "name", "level", "timestamp", "task_run_id"}


def test_a_huge_message_is_cut_with_a_note(api):
    api.send("/logs/", [line("ä" * 70_000)])

    answer = api.send("/logs/filter", {}).json()[0]["message"]

    assert len(answer.encode()) < 66_000
    assert "cut" in answer


def hours_off(sent_at: datetime, hours: int) -> dict[str, str]:
    return {"Orion-Sent-At": (sent_at + timedelta(hours=hours)).isoformat()}


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_times_of_a_sender_whose_clock_is_wrong_are_corrected(api, hours):
    now = datetime.now(UTC)
    sent_at = now + timedelta(hours=hours, seconds=-30)

    api.send("/logs/", [line(timestamp=sent_at.isoformat())], **hours_off(now, hours))

    answer = datetime.fromisoformat(api.send("/logs/filter", {}).json()[0]["timestamp"])
    assert abs(answer - (now - timedelta(seconds=30))) < timedelta(seconds=20)


@pytest.mark.parametrize("clock", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_of_a_sender_whose_clock_is_absurd_are_not_after_now(api, clock):
    answer = api.send("/logs/", [line(timestamp="9999-01-01T00:00:00Z")], **{"Orion-Sent-At": clock})

    assert answer.status_code == 201
    assert datetime.fromisoformat(api.send("/logs/filter", {}).json()[0]["timestamp"]) <= datetime.now(UTC)


def test_a_senders_clock_that_is_not_a_time_is_refused(api):
    assert api.send("/logs/", [line()], **{"Orion-Sent-At": "noon"}).status_code == 422


def test_a_long_logger_name_is_shortened(api):
    answer = api.send("/logs/", [line(name="x" * 400)])

    assert answer.status_code == 201
    assert len(api.send("/logs/filter", {}).json()[0]["name"]) == 255


def test_lines_are_found_by_level_and_time(api):
    run = make_flow_run()
    make_log("info", flow_run=run, level=20)
    make_log("error", flow_run=run, level=40, timestamp=later(10))

    def found(**asked):
        return [one["message"] for one in api.send("/logs/filter", {"logs": asked, "sort": "TIMESTAMP_DESC"}).json()]

    assert found(level={"ge_": 30}) == ["error"]
    assert found(level={"le_": 30}) == ["info"]
    assert found(timestamp={"after_": later(5).isoformat()}) == ["error"]
    assert found(level={"ge_": 50}, timestamp={"before_": NOON.isoformat()}, operator="or_") == ["info"]
    assert found() == ["error", "info"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["body"]),
        ([line(level="loud")], ["body", 0, "level"]),
        ([line(level=2**40)], ["body", 0, "level"]),
        ([line(), line(timestamp="noon")], ["body", 1, "timestamp"]),
        ([line(mood="good")], ["body", 0, "mood"]),
    ],
)
def test_a_line_that_does_not_fit_is_refused_by_its_place(api, body, place):
    answer = api.send("/logs/", body)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == place
    assert api.send("/logs/filter", {}).json() == []


def test_lines_that_are_sent_again_with_new_ones_are_stored_once(api):
    run = str(uuid4())
    first, second = (line(word, id=str(uuid4()), flow_run_id=run) for word in ("first", "second"))
    api.send("/logs/", [first])

    answer = api.send("/logs/", [first, second, second])

    body = api.send("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}}).json()
    assert answer.status_code == 201
    assert sorted(one["id"] for one in body) == sorted([first["id"], second["id"]])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb"a\u0000\u0000b", "a\ufffd\ufffdb"),
        (rb"a\\u0000b", "a\\u0000b"),
        (rb"a\\\u0000b", "a\\\ufffdb"),
        (rb"caf\udce9.txt", "caf\ufffd.txt"),
        (rb"\ud83d\ude00 and \ud83d", "\U0001f600 and \ufffd"),
        (rb"\ude00\ud83d\ude00", "\ufffd\U0001f600"),
        (b"caf\xe9", "caf\ufffd"),
        (b"caf\xc3\xa9", "caf\xe9"),
    ],
)
def test_characters_that_cannot_be_stored_are_replaced(api, sent, kept):
    fields = b'"name": "a", "level": 20, "timestamp": "2026-01-01T00:00:00Z"'
    body = b'[{%b, "message": "before"}, {%b, "message": "%b"}]' % (fields, fields, sent)

    answer = api.send("/logs/", body)

    assert answer.status_code == 201
    assert {one["message"] for one in api.send("/logs/filter", {}).json()} == {"before", kept}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_half_a_character_is_replaced_in_each_encoding(api, encoding):
    body = json.dumps([line("before"), line("half \ud800 of it")], ensure_ascii=False)

    answer = api.send("/logs/", body.encode(encoding, "surrogatepass"))

    assert answer.status_code == 201
    kept = {one["message"] for one in api.send("/logs/filter", {}).json()}
    # UTF-8 has three bytes for it, each of which is not a character.
    assert {message.replace("\ufffd\ufffd\ufffd", "\ufffd") for message in kept} == {"before", "half \ufffd of it"}


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_of_a_line_can_be_stored(text):
    body = json.dumps([line(text)]).encode()

    (read,) = from_json(without_unstorable(body))

    assert read["message"] == text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )
