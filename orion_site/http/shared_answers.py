"""Requests for the same parts of a page by equal tabs, made in the same moment: one is answered, for all of them.

Tabs that show the same are named the same change at once, and ask at once. Where their requests are equal in everything
that says who asks and for what, the others wait on the event loop, and take none of the few threads.
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
# Of an answer without content.
OF_CONTENT = frozenset({b"content-length", b"content-type", b"content-encoding"})


@dataclass(slots=True)
class Answer:
    """The answer of the WSGI application. `body` is None when the thread already sent it piece by piece, and while its
    content is still to come."""

    status: int
    headers: list[Header]
    body: bytes | None
    to_come: LaterAnswer | None = None

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def is_for_all(self) -> bool:
        """Whether it is whole, and sets nothing that belongs to one browser alone."""
        return self.status == 200 and self.body is not None and self.header(b"set-cookie") is None

    def with_content(self) -> Answer:
        """The answer whole, now that its content has come."""
        assert self.to_come is not None
        body = b"".join(self.to_come)
        return Answer(self.status, [*self.headers, (b"content-length", str(len(body)).encode())], body)

    def for_whoever_knows(self, etag: bytes | None) -> Answer:
        if etag is None or self.status != 200 or etag != self.header(b"etag"):
            return self
        return Answer(304, [one for one in self.headers if one[0] not in OF_CONTENT], b"")


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """A request for parts of a page: what it has in common with those of equal tabs, and what its sender knows."""

    key: tuple[Any, ...]
    number: int
    place: bytes
    etag: bytes | None
    scope: Scope

    def scope_as_of(self, place: bytes) -> Scope:
        """The request for all: as of the latest place, and answered whole, whatever one of them has already."""
        kept = [one for one in self.scope["headers"] if one[0] not in {PLACE, KNOWN}]
        return {**self.scope, "headers": [*kept, (PLACE, place)]}


Ask = Callable[[Scope], Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class _Flight:
    """A request for all that are equal: its answer has every change up to this number."""

    number: int
    place: bytes
    task: asyncio.Task[Answer] = field(init=False)


class SharedAnswers:
    """The requests for parts that are under way, by what they have in common. Lives on one event loop."""

    def __init__(self, number_of: Callable[[str], int | None]) -> None:
        self._number_of = number_of
        self._under_way: dict[tuple[Any, ...], _Flight] = {}
        self._next: dict[tuple[Any, ...], _Flight] = {}

    def parts_request(self, scope: Scope) -> PartsRequest | None:
        """Return what a request asks for, if that is parts of a page as of a change that this process knows."""
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
        """Answer by a request that is under way and new enough, else by one for all that come before it begins."""
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
        # One that leaves takes the answer from nobody.
        answer = await asyncio.shield(flight.task)
        if not is_first and not answer.is_for_all:
            answer = await ask(asked.scope)
        return answer.for_whoever_knows(asked.etag)

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
