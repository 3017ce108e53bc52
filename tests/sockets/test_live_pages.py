"""The sockets of open pages: what changed comes by name, four times a second at most, and pages keep no program out."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest
from channels.db import database_sync_to_async

from orion_site.accounts.permissions import Action, Actor
from orion_site.http.sockets import websockets
from orion_site.live import hub as hubs
from orion_site.live import socket as live_socket
from orion_site.live.hub import MOST_TOPICS_OF_A_SOCKET, hub
from tests.factories import make_flow_run, make_log, make_task_run
from tests.sockets.conftest import PATIENCE, talk_to, talking

pytestmark = pytest.mark.django_db(transaction=True)
LIVE = "/live"


@database_sync_to_async
def run_with_a_task() -> tuple[UUID, UUID, UUID]:
    run = make_flow_run()
    make_log(flow_run=run)
    return run.id, run.flow_id, make_task_run(flow_run=run).id


async def receive_topics(talk: Any, *topics: str) -> None:
    """Wait until each of these was named."""
    missing = set(topics)
    while missing:
        message = await talk.next_message()
        missing = set() if message.get("all") else missing - set(message["changed"])


async def show(talk: Any, *topics: str) -> None:
    """Show these topics from now on, and wait until that is confirmed."""
    await talk.send_json_to({"topics": list(topics), "since": hub.place_for_page()})
    await talk.next_message()


async def test_pages_learn_of_changes_to_what_they_show():
    async with talking(LIVE) as talk:
        await show(talk, "runs", "limits")

        await run_with_a_task()

        await receive_topics(talk, "runs", "limits")


async def test_a_page_that_reconnects_learns_what_changed_meanwhile():
    place = hub.place_for_page()
    run, flow, task = await run_with_a_task()
    topics = [f"run:{run}", f"run:{run}:tasks", f"run:{run}:log", f"task:{task}", f"flow:{flow}"]

    async with talking(LIVE) as talk:
        await talk.send_json_to({"topics": topics, "since": place})

        await receive_topics(talk, *topics)


async def test_a_page_of_another_server_checks_everything():
    async with talking(LIVE) as talk:
        await talk.send_json_to({"topics": ["runs"], "since": "another.7"})

        first = await talk.next_message()

    assert first["all"] is True
    assert hub.number_of(first["at"]) is not None


async def test_a_storm_is_a_few_messages():
    async with talking(LIVE) as talk:
        await show(talk, "runs")
        began, received = time.monotonic(), 0
        while time.monotonic() < began + 1.2:
            hub.publish({"runs"})
            received += not await talk.receive_nothing(timeout=0.005, interval=0.005) and bool(
                await talk.next_message()
            )

    assert 1 <= received <= 1 + (time.monotonic() - began) / hubs.PAUSE_SECONDS


async def test_a_page_without_changes_receives_that_it_is_connected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_socket, "ALIVE_SECONDS", 0.05)
    async with talking(LIVE) as talk:
        await show(talk, "run:of-nobody")

        assert (await talk.next_message())["changed"] == []


async def test_a_message_tells_where_to_continue_if_more_follows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubs, "PAUSE_SECONDS", 60.0)
    async with talking(LIVE) as talk:
        await show(talk, "run:2", "run:1")
        hub.publish({"run:2"})
        await receive_topics(talk, "run:2")
        paused_at = hub.place
        hub.publish({"run:2", "run:1"})

        message = await talk.next_message()

    assert (message["changed"], message["since"]) == (["run:1"], paused_at)
    assert message["at"] != paused_at


@pytest.mark.parametrize(
    "wrong", ["nonsense", {"topics": "runs"}, {"topics": ["x"] * (MOST_TOPICS_OF_A_SOCKET + 1)}, {}], ids=str
)
async def test_an_unreadable_message_closes_the_socket(wrong: Any):
    talk = talk_to(LIVE)
    await talk.connect(timeout=PATIENCE)

    if isinstance(wrong, str):
        await talk.send_to(text_data=wrong)
    else:
        await talk.send_json_to(wrong)

    assert await talk.close_code() == 1008


async def test_users_who_may_not_see_runs_may_not_watch_them(act_as):
    act_as(Actor("other", frozenset(Action) - {Action.READ_RUNS}))

    accepted, _ = await talk_to(LIVE).connect(timeout=PATIENCE)

    assert not accepted


async def test_pages_and_programs_are_counted_apart():
    application = websockets(base_path="", most=1, most_pages=2)
    async with talking(LIVE, application=application), talking(LIVE, application=application):
        one_more = talk_to(LIVE, application=application)
        await one_more.connect(timeout=PATIENCE)
        assert await one_more.close_code() == 1013
        async with talking("/api/events/in", application=application):
            pass


async def test_a_socket_that_closes_leaves_nothing():
    before = len(hub._open)
    async with talking(LIVE) as talk:
        await show(talk, "runs", "run:1")
        assert len(hub._open) == before + 1

    assert len(hub._open) == before
    assert "run:1" not in hub._seats


async def test_each_socket_receives_the_last_of_many_changes():
    """Changes are merged and omitted, but every page receives the last one."""
    talks = [talk_to(LIVE) for _ in range(10)]
    for talk in talks:
        await talk.connect(timeout=PATIENCE)
        await show(talk, "runs", "run:1")
    for number in range(300):
        hub.publish({"runs", f"run:{number % 7}"})
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    last = hub._number

    for talk in talks:
        named: dict[str, int] = {}
        while min(named.values(), default=0) < last - 7 or len(named) < 2:
            message = await talk.next_message()
            named.update(dict.fromkeys(message["changed"], hub.number_of(message["at"]) or 0))
        await talk.disconnect(timeout=PATIENCE)
