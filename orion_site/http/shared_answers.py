"""Equal requests for parts of a page, sent by several tabs at the same moment: one is answered for all of them.

Tabs that show the same page learn of a change at the same moment, and send the same request. If the requests are equal
in everything that identifies the sender and the parts, the others wait on the event loop, without a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from orchestration.api.later import LaterAnswer
from orion_site.http.peers import OWN_USER

Scope = dict[str, Any]
Header = tuple[bytes, bytes]
PLACE, KNOWN = b"orion-live", b"if-none-match"
OWN = {PLACE, KNOWN}
# A place that no server knows. It is answered with a rendering of its own, not with one that began before.
UNKNOWN_PLACE = b"-"
# Headers that an answer without content leaves out.
OF_CONTENT = frozenset({b"content-length", b"content-type", b"content-encoding"})


@dataclass(slots=True)
class Answer:
    """The answer of the WSGI application.

    `body` is None if the thread already sent it in pieces, and as long as `to_come` has no result.
    """

    status: int
    headers: list[Header]
    body: bytes | None
    to_come: LaterAnswer | None = None

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def is_for_all(self) -> bool:
        """Whether the answer is complete, and sets no cookie for one browser."""
        return self.status == 200 and self.body is not None and self.header(b"set-cookie") is None

    def with_content(self) -> Answer:
        """Return the complete answer, once its content exists."""
        assert self.to_come is not None
        body = b"".join(self.to_come)
        return Answer(self.status, [*self.headers, (b"content-length", str(len(body)).encode())], body)

    def if_changed_since(self, etag: bytes | None) -> Answer:
        if etag is None or self.status != 200 or etag != self.header(b"etag"):
            return self
        return Answer(304, [one for one in self.headers if one[0] not in OF_CONTENT], b"")


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """A request for parts of a page: what it has in common with equal ones, and what its sender already knows."""

    key: tuple[Any, ...]
    # None: the place is of another server, or from long ago, so the sender may lack any change.
    number: int | None
    place: bytes
    etag: bytes | None
    scope: Scope

    def scope_as_of(self, place: bytes) -> Scope:
        """Return the scope of the request for all: for this place, and without an ETag, to get a body."""
        kept = [one for one in self.scope["headers"] if one[0] not in OWN]
        return {**self.scope, "headers": [*kept, (PLACE, place)]}


Ask = Callable[[Scope], Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class _Flight:
    """One request on behalf of all equal ones, its passengers."""

    # The latest change that a passenger knows. The answer includes it.
    number: int = 0
    place: bytes = b""
    # Whether a passenger's place is unknown. The answer must include every change before takeoff, also those of which
    # only the process of that place knows yet.
    is_for_unknown: bool = False
    # The latest change before takeoff. The answer includes it unless it is a rendering that somebody else shares.
    latest: int = 0
    task: asyncio.Task[Answer] = field(init=False)

    def board(self, asked: PartsRequest) -> None:
        if asked.number is None:
            self.is_for_unknown = True
        elif asked.number >= self.number:
            self.number, self.place = asked.number, asked.place


class SharedAnswers:
    """The requests for parts that are in progress, by what they have in common. Used on one event loop.

    `number_of` returns the number of a place, and `place` the latest place, from which on changes are known.
    """

    def __init__(self, number_of: Callable[[str], int | None], place: Callable[[], str]) -> None:
        self._number_of = number_of
        self._place = place
        self._under_way: dict[tuple[Any, ...], _Flight] = {}
        self._next: dict[tuple[Any, ...], _Flight] = {}

    def parts_request(self, scope: Scope) -> PartsRequest | None:
        """Return the request if it is for parts of an open page; otherwise None."""
        if scope["method"] != "GET" or b"_f=" not in scope.get("query_string", b""):
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        place = headers.get(PLACE)
        if not place:
            return None
        number = self._number_of(place.decode("latin-1"))
        client = (scope.get("client") or ("",))[0]
        sender = (client, scope.get(OWN_USER), scope.get("scheme"), tuple(scope.get("server") or ()))
        common = tuple(one for one in scope["headers"] if one[0] not in OWN)
        key = (scope.get("raw_path") or scope["path"], scope["query_string"], sender, common)
        return PartsRequest(key, number, place, headers.get(KNOWN), scope)

    async def answer(self, asked: PartsRequest, ask: Ask) -> Answer:
        """Wait for a request in progress if it may be new enough; otherwise for a new one, which later ones share."""
        answer, is_first = await self._under_way_for(asked), False
        if answer is None:
            flight = self._next.get(asked.key)
            is_first = flight is None
            if flight is None:
                flight = self._next[asked.key] = _Flight()
                flight.task = asyncio.create_task(self._fly(asked, flight, self._under_way.get(asked.key), ask))
            flight.board(asked)
            # If one client disconnects, the request continues for the others.
            answer = await asyncio.shield(flight.task)
        if not is_first and not answer.is_for_all:
            answer = await ask(asked.scope)
        return answer.if_changed_since(asked.etag)

    async def _under_way_for(self, asked: PartsRequest) -> Answer | None:
        """Return the answer to the request in progress if it includes what the sender knows. It delays no new one."""
        flight = self._under_way.get(asked.key)
        if flight is None or asked.number is None or flight.latest < asked.number:
            return None
        answer = await asyncio.shield(flight.task)
        of_answer = self._number_of((answer.header(PLACE) or b"").decode("latin-1")) or 0
        return answer if max(flight.number, of_answer) >= asked.number else None

    async def _fly(self, asked: PartsRequest, flight: _Flight, before: _Flight | None, ask: Ask) -> Answer:
        if before is not None:
            await asyncio.wait({before.task})
            # Those for whom that answer turned out too old come along.
            await asyncio.sleep(0)
        del self._next[asked.key]
        flight.latest = self._number_of(self._place()) or 0
        if flight.is_for_unknown:
            flight.number, flight.place = flight.latest, UNKNOWN_PLACE
        self._under_way[asked.key] = flight
        try:
            return await ask(asked.scope_as_of(flight.place))
        finally:
            if self._under_way.get(asked.key) is flight:
                del self._under_way[asked.key]
