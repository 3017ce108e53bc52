"""The websocket of an open page, at `/live`: it sends which of the page's topics have changed, and nothing else.

A message contains only topics that the client named, and rights on objects are not checked: whoever knows the id of a
run learns when it changes, but not what changed. The page requests its parts by HTTP, where permissions are checked.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from orchestration.api.rendering import encoded
from orchestration.api.sockets import POLICY_VIOLATION, SocketConsumer, read_strictly
from orion_site.accounts.permissions import Action
from orion_site.live.hub import MOST_TOPICS_OF_A_SOCKET, TAKE_EVERY_SECONDS, Seat, hub
from orionflow.contract.wire import Wire

# Seconds between messages without changes, by which the page sees that it is connected.
ALIVE_SECONDS = 15.0


@lru_cache(maxsize=64)
def message(place: str, changed: tuple[str, ...] | None, since: str | None = None) -> str:
    """Return the text of a message. It is cached, because many pages get the same one at the same moment."""
    what = {"all": True} if changed is None else {"changed": changed}
    return encoded({"at": place, **what, **({"since": since} if since else {})}).decode()


class Shown(Wire):
    """The topics of a page, and the place after which it knows no changes."""

    topics: Annotated[list[str], Field(max_length=MOST_TOPICS_OF_A_SOCKET)]
    since: Annotated[str, Field(max_length=64)] = ""


class LivePages(SocketConsumer):
    """Sends `{"at": …, "changed": [topic, …]}`, or `{"at": …, "all": true}` if the page must refresh completely.

    `"since"` is added if changes after that place will be sent later: after a lost connection, the next starts there.
    """

    action_required = Action.READ_RUNS
    _seat: Seat | None = None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            shown = read_strictly(Shown, text_data or "")
        except ValueError as error:
            await self.close(POLICY_VIOLATION, str(error))
            return
        if self._seat is None:
            self._seat = hub.sit()
            self.work(self._send_changes(self._seat))
        hub.show(self._seat, shown.topics, shown.since)
        # Answer even if nothing has changed.
        self._seat.wake()

    async def _send_changes(self, seat: Seat) -> None:
        while True:
            await seat.woken(ALIVE_SECONDS)
            changed, is_behind = seat.take()
            since = None if (number := seat.lacks_since) is None else hub.place_of(number)
            await self.send(text_data=message(hub.place, None if is_behind else tuple(changed), since))
            await asyncio.sleep(TAKE_EVERY_SECONDS)

    async def stop_working(self) -> None:
        if self._seat is not None:
            hub.leave(self._seat)
        await super().stop_working()
