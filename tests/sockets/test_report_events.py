"""Events that come one by one over `/api/events/in`."""

from __future__ import annotations

from uuid import UUID

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError

from events.models import Event
from events.recording.api import sockets
from tests.sockets.conftest import event, talking, text_of

pytestmark = pytest.mark.django_db(transaction=True)
IN = "/api/events/in"


@database_sync_to_async
def stored() -> list[Event]:
    return list(Event.objects.order_by("received", "event"))


async def test_an_event_is_stored_as_it_is_by_a_request():
    sent = event(
        "ice.melted", payload={"degrees": 3.5}, related=[{"prefect.resource.id": "x", "prefect.resource.role": "y"}]
    )

    async with talking(IN) as talk:
        await talk.send_json_to(sent)
        await talk.ping()

    [row] = await stored()
    assert (str(row.id), row.event, row.resource_id) == (sent["id"], "ice.melted", "cup.1")
    assert (row.payload, row.related, row.pending) == (sent["payload"], sent["related"], True)


async def test_a_pong_confirms_that_earlier_events_are_stored():
    async with talking(IN) as talk:
        for number in range(30):
            await talk.send_json_to(event(f"n.{number}"))
        await talk.ping()

        assert len(await stored()) == 30


async def test_received_events_are_stored_after_their_sender_disconnected():
    async with talking(IN) as talk:
        await talk.send_json_to(event())

    assert len(await stored()) == 1


async def test_an_event_that_is_sent_again_is_stored_once():
    one = event()

    async with talking(IN) as talk:
        await talk.send_json_to(one)
        await talk.ping()
        await talk.send_json_to(one)

    assert [str(row.id) for row in await stored()] == [one["id"]]


async def test_a_flood_is_few_transactions(monkeypatch):
    batches = []
    store = sockets.store_events
    monkeypatch.setattr(sockets, "store_events", lambda **given: (batches.append(len(given["events"])), store(**given)))

    async with talking(IN) as talk:
        for number in range(2500):
            await talk.send_to(text_of(event(f"n.{number}")))
        await talk.ping()

    assert sum(batches) == 2500
    assert len(batches) <= 25
    assert max(batches) <= sockets.BATCH
    assert len(await stored()) == 2500


@pytest.mark.parametrize(
    "wrong",
    [
        "not json",
        "[]",
        '{"event": "x"}',
        text_of(event("")),
        text_of(event(payload={"nul": "\0"})),
        text_of({**event(), "resource": {"name": "nobody"}}),
        text_of({**event(), "occurred": "yesterday"}),
    ],
)
async def test_a_mistake_is_left_out_and_the_others_are_stored(wrong):
    good = event()

    async with talking(IN) as talk:
        await talk.send_to(wrong)
        await talk.send_json_to(good)

    assert [row.id for row in await stored()] == [UUID(good["id"])]


async def test_nothing_but_mistakes_is_closed(monkeypatch):
    monkeypatch.setattr(sockets, "MOST_REFUSED", 3)

    async with talking(IN) as talk:
        for _ in range(3):
            await talk.send_to("not json")

        assert await talk.close_code() == 1008


async def test_when_nothing_can_be_stored_the_sender_is_asked_to_come_again(monkeypatch):
    def fail(**given):
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(sockets, "store_events", fail)

    async with talking(IN) as talk:
        await talk.send_json_to(event())

        assert await talk.close_code() == 1013
