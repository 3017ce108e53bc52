"""Events over `/api/events/out`: the stored ones, and then new ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from events.models import Event
from events.recording.api import following
from events.recording.api.following import Following
from events.recording.services import store_events
from orionflow.contract.events import EventCreate, EventFilter
from tests.conftest import DATABASE
from tests.sockets.conftest import PREFECT, event, talk_to, talking

pytestmark = pytest.mark.django_db(transaction=True)
OUT = "/api/events/out"
EVERYTHING: dict[str, Any] = {"occurred": {"since": "2026-01-01T00:00:00Z", "until": "2090-01-01T00:00:00Z"}}


def store(*events: dict[str, Any], now: datetime | None = None) -> None:
    store_events(events=[EventCreate.model_validate(one) for one in events], now=now or timezone.now())


store_beside = database_sync_to_async(store)


def subscription(backfill: bool = True, **conditions: Any) -> dict[str, Any]:
    return {"type": "filter", "filter": EVERYTHING | conditions, "backfill": backfill}


async def next_names(talk: Any, number: int) -> list[str]:
    return [(await talk.next_message())["event"]["event"] for _ in range(number)]


async def test_earlier_events_are_sent_oldest_first_and_then_new_ones():
    second, first = event("second", occurred="2026-11-21T13:00:00Z"), event("first", occurred="2026-11-21T12:00:00Z")
    await store_beside(second, first)

    async with talking(OUT, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        before = await next_names(talk, 2)
        await store_beside(event("third"))
        after = await next_names(talk, 1)

    assert (before, after) == (["first", "second"], ["third"])


async def test_an_event_is_sent_as_a_request_returns_it():
    sent = event("ice.melted", payload={"degrees": 3.5})
    await store_beside(sent)

    async with talking(OUT, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        answer = await talk.next_message()

    assert answer["type"] == "event"
    assert {"occurred", "received", "event", "resource", "related", "payload", "id", "follows"} == set(answer["event"])
    assert (answer["event"]["id"], answer["event"]["payload"]) == (sent["id"], sent["payload"])


async def test_events_are_sent_though_the_clock_of_the_server_is_ahead_of_the_databases(monkeypatch):
    def by_database() -> datetime:
        return timezone.now() - timedelta(minutes=1)

    monkeypatch.setattr("events.recording.api.sockets.current_time", by_database)
    async with talking(OUT, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription(backfill=False))
        # Its place in the stream is taken a moment after the wish.
        while not (answer := await receives_within(talk, 0.2)):
            await database_sync_to_async(store)(event("new"), now=by_database())

    assert answer == "new"


async def test_only_matching_events_are_sent():
    async with talking(OUT, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription(event={"prefix": ["ice."]}, resource={"id": ["cup.*"]}))
        await talk.ping()
        await store_beside(event("tea.cooled"), event("ice.cracked", resource="lake"), event("ice.melted"))

        assert await next_names(talk, 1) == ["ice.melted"]


async def test_without_backfill_only_new_events_are_sent():
    await store_beside(event("before"))

    async with talking(OUT, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription(backfill=False))
        # Its place in the stream is taken a moment after the wish; what is stored until then counts as before.
        while not (answer := await receives_within(talk, 0.2)):
            await store_beside(event("after"))

    assert answer == "after"


async def receives_within(talk: Any, seconds: float) -> str | None:
    if await talk.receive_nothing(timeout=seconds, interval=0.05):
        return None
    name: str = (await talk.next_message())["event"]["event"]
    return name


@pytest.mark.parametrize(
    "wrong", [{"type": "other"}, {"type": "filter"}, {"type": "filter", "filter": {"unknown": 1}}, {"filter": {}}]
)
async def test_an_unreadable_filter_closes_the_socket(wrong):
    talk = talk_to(OUT, subprotocols=PREFECT)
    await talk.connect()

    await talk.introduce(wrong)

    assert await talk.close_code() == 1002


# --- the place in the stream ---


def followed(since: datetime, backfill: bool = False) -> Following:
    place = Following(EventFilter.model_validate(EVERYTHING), since)
    place.begin(backfill=backfill)
    return place


def test_pages_follow_each_other_without_gaps_and_repetitions(monkeypatch):
    monkeypatch.setattr(following, "PAGE", 7)
    now = timezone.now()
    place = followed(now)
    for second in range(20):
        store(event(f"{second}.a"), event(f"{second}.b"), now=now + timedelta(seconds=second))

    found = [one.id for moment in range(20) for one in place.read(now + timedelta(seconds=20 + moment))]

    assert len(found) == len(set(found)) == 40
    assert found == list(Event.objects.order_by("received", "id").values_list("id", flat=True))


def test_events_that_a_transaction_held_back_are_sent_late():
    now = timezone.now()
    place = followed(now)
    store(event("quick"), now=now + timedelta(seconds=3))
    first = place.read(now + timedelta(seconds=4))

    store(event("held back"), now=now + timedelta(seconds=1))
    second = place.read(now + timedelta(seconds=5))

    assert [[one.event for one in page] for page in (first, second)] == [["quick"], ["held back"]]


def test_past_events_are_not_sent_again():
    now = timezone.now()
    store(*[event(f"n.{number}") for number in range(5)], now=now)
    place = Following(EventFilter.model_validate(EVERYTHING), now)

    past, present = place.begin(backfill=True), place.read(now)

    assert (len(past), present) == (5, [])


def test_of_a_long_past_the_newest_part_is_sent(monkeypatch):
    monkeypatch.setattr(following, "BACKFILL", 3)
    now = timezone.now()
    store(*[event(f"n.{number}", occurred=f"2026-11-21T12:00:0{number}Z") for number in range(9)], now=now)

    past = Following(EventFilter.model_validate(EVERYTHING), now).begin(backfill=True)

    assert [one.event for one in past] == ["n.6", "n.7", "n.8"]


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL plans by the rows that there are")
def test_looking_for_what_is_new_does_not_read_what_is_old():
    place = followed(timezone.now())

    plan = place._arrived().explain()

    assert "event_by_arrival" in plan
