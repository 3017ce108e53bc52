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
    number: int
    place: bytes
    etag: bytes | None
    scope: Scope

    def scope_as_of(self, place: bytes) -> Scope:
        """Return the scope of the request for all: for the latest place, and without an ETag, to get a body."""
        kept = [one for one in self.scope["headers"] if one[0] not in {PLACE, KNOWN}]
        return {**self.scope, "headers": [*kept, (PLACE, place)]}


Ask = Callable[[Scope], Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class _Flight:
    """One request on behalf of all equal ones. Its answer includes every change up to `number`."""

    number: int
    place: bytes
    task: asyncio.Task[Answer] = field(init=False)


class SharedAnswers:
    """The requests for parts that are in progress, by what they have in common. Used on one event loop."""

    def __init__(self, number_of: Callable[[str], int | None]) -> None:
        self._number_of = number_of
        self._under_way: dict[tuple[Any, ...], _Flight] = {}
        self._next: dict[tuple[Any, ...], _Flight] = {}

    def parts_request(self, scope: Scope) -> PartsRequest | None:
        """Return the request if it is for parts of a page, after a change that this process knows; otherwise None."""
        if scope["method"] != "GET" or b"_f=" not in scope.get("query_string", b""):
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        place = headers.get(PLACE, b"")
        number = self._number_of(place.decode("latin-1"))
        if number is None:
            return None
        client = (scope.get("client") or ("",))[0]
        sender = (client, scope.get(OWN_USER), scope.get("scheme"), tuple(scope.get("server") or ()))
        common = tuple(one for one in scope["headers"] if one[0] not in {PLACE, KNOWN})
        key = (scope.get("raw_path") or scope["path"], scope["query_string"], sender, common)
        return PartsRequest(key, number, place, headers.get(KNOWN), scope)

    async def answer(self, asked: PartsRequest, ask: Ask) -> Answer:
        """Wait for a request in progress if it is new enough; otherwise for a new one, which later requests share."""
        flight = self._under_way.get(asked.key)
        is_first = False
        if flight is None or flight.number < asked.number:
            before, flight = flight, self._next.get(asked.key)
            if flight is None:
                is_first = True
                flight = self._next[asked.key] = _Flight(asked.number, asked.place)
                flight.task = asyncio.create_task(self._fly(asked, flight, before, ask))
            elif flight.number < asked.number:
                flight.number, flight.place = asked.number, asked.place
        # If one client disconnects, the request continues for the others.
        answer = await asyncio.shield(flight.task)
        if not is_first and not answer.is_for_all:
            answer = await ask(asked.scope)
        return answer.if_changed_since(asked.etag)

    async def _fly(self, asked: PartsRequest, flight: _Flight, before: _Flight | None, ask: Ask) -> Answer:
        if before is not None:
            await asyncio.wait({before.task})
        del self._next[asked.key]
        self._under_way[asked.key] = flight
        try:
            return await ask(asked.scope_as_of(flight.place))
        finally:
            if self._under_way.get(asked.key) is flight:
                del self._under_way[asked.key]
