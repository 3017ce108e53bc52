"""Events over websockets: reported one by one, and sent to clients that follow them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError

from events.models import Event
from events.recording.api.events import event_out
from events.recording.api.following import Following, is_whole
from events.recording.core import objects_among
from events.recording.services import store_events
from orchestration.api.sockets import (
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    TRY_AGAIN_LATER,
    IntroducedConsumer,
    SocketConsumer,
    in_database,
    read_strictly,
)
from orchestration.database_clock import current_time
from orchestration.errors import BeyondRights
from orchestration.sight import refuse_others
from orion_site.accounts.holders import refuse_held_by_others
from orion_site.accounts.permissions import Action, Actor, reports_as_an_agent
from orionflow.contract.events import EventCreate
from orionflow.contract.masking import known
from orionflow.contract.sockets import FilterRequest

logger = logging.getLogger("orion.sockets")

# Events that arrive within this time are stored in one transaction.
GATHERING_SECONDS = 0.05
BATCH = 500
# Events that wait to be stored; beyond this number no further ones are read.
MOST_WAITING = 1000
# A client that sends this number of invalid events is disconnected.
MOST_REFUSED = 100
LOOK_EVERY_SECONDS = 0.5


class ReportEventsLive(SocketConsumer):
    """Each message is an event. A ping is answered when the events before it are stored, as a confirmation."""

    action_required = Action.REPORT_EVENTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: list[EventCreate] = []
        self._refused = 0

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            self._waiting.append(read_strictly(EventCreate, _masked(text_data or "")))
        except ValueError as error:
            await self._refuse(str(error))
            return
        storing = self._storing()
        if len(self._waiting) >= MOST_WAITING:
            await asyncio.wait([storing])

    async def _refuse(self, reason: str) -> None:
        """Skip an invalid event: if refused, the client would send it again, with all others. Log the first reason."""
        self._refused += 1
        if self._refused == 1:
            logger.warning("An event that was sent over a websocket is left out: %s", reason)
        if self._refused == MOST_REFUSED:
            await self.close(POLICY_VIOLATION, f"Too many events that cannot be read; one of them: {reason}")

    def _storing(self) -> asyncio.Task[None]:
        if self._work is None or self._work.done():
            return self.work(self._store())
        return self._work

    async def _store(self) -> None:
        await asyncio.sleep(GATHERING_SECONDS)
        while self._waiting:
            batch = self._waiting[:BATCH]
            try:
                actor: Actor = self.scope["user"]
                if actor.run_id is not None or reports_as_an_agent(actor):
                    await self.read(_refuse_of_others, actor, batch)
                await in_database(_store, batch)
            except (BeyondRights, PermissionDenied) as error:
                self._waiting.clear()
                await self.close(POLICY_VIOLATION, str(error))
                return
            except DatabaseError:
                logger.exception("Events from a websocket could not be stored.")
                self._waiting.clear()
                await self.close(TRY_AGAIN_LATER, "Events cannot be stored at the moment; send them again")
                return
            del self._waiting[: len(batch)]

    async def websocket_ping(self, message: dict[str, Any]) -> None:
        if self._waiting:
            await asyncio.wait([self._storing()])
        await super().websocket_ping(message)

    async def stop_working(self) -> None:
        # Store what was received, even if the client has disconnected.
        if self._waiting:
            await asyncio.wait([self._storing()])


def _store(events: list[EventCreate]) -> None:
    store_events(events=events, now=current_time())


def _refuse_of_others(actor: Actor, events: list[EventCreate]) -> None:
    named = [one for event in events for one in objects_among([event.resource, *event.related])]
    if actor.run_id is not None:
        refuse_others(named)
    else:
        refuse_held_by_others(actor, named)


def _masked(text: str) -> str:
    return known.masked_json(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class FollowEvents(IntroducedConsumer):
    """Events that match a filter: first existing ones, oldest first, and then each new one."""

    action_required = Action.READ_EVENTS

    async def receive_request(self, text: str) -> None:
        try:
            request = read_strictly(FilterRequest, text)
        except ValueError as error:
            await self.close(PROTOCOL_ERROR, f"Expected a 'filter' message: {error}")
            return
        self.work(self._send_events(request))

    async def _send_events(self, request: FilterRequest) -> None:
        following, page = await self.read(_begun, request)
        while True:
            for event in page:
                await self.send_json({"type": "event", "event": event_out(event)})
            if not is_whole(page):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            page = await self.read(_next_page, following)


# These run in threads with a connection to the database, whose clock dates the arrival of events.
def _begun(request: FilterRequest) -> tuple[Following, list[Event]]:
    following = Following(request.filter, current_time())
    return following, following.begin(backfill=request.backfill)


def _next_page(following: Following) -> list[Event]:
    return following.read(current_time())
