"""Equal requests for parts of a page share an answer: never an older one, and never with somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orion_site.http.peers import OWN_USER
from orion_site.http.shared_answers import Answer, SharedAnswers

Scope = dict[str, Any]


def sharing(server: Server) -> SharedAnswers:
    return SharedAnswers(lambda place: int(place) if place.isdecimal() else None, lambda: str(server.latest))


class Server:
    """Answers when it is let go, and keeps what it was asked."""

    def __init__(self, *more: tuple[bytes, bytes], latest: int = 3, answers: bytes = b"7") -> None:
        """`latest` is the number of the last change, and `answers` the place of what is answered."""
        self.asked: list[Scope] = []
        self.latest, self.answers = latest, answers
        self.more = list(more)
        self.go_on = asyncio.Event()
        self.shared = sharing(self)

    async def ask(self, scope: Scope) -> Answer:
        self.asked.append(scope)
        number = len(self.asked)
        await self.go_on.wait()
        head = [(b"etag", b'W/"x"'), (b"content-length", b"4"), (b"orion-live", self.answers), *self.more]
        return Answer(200, head, b"part" if number == 1 else b"next")

    async def get(self, place: object, **more: Any) -> Answer:
        asked = self.shared.parts_request(request(place, **more))
        assert asked is not None
        return await self.shared.answer(asked, self.ask)


def request(place: object, etag: str = "", cookie: str = "a=1", query: bytes = b"_f=head", **more: Any) -> Scope:
    headers = [(b"host", b"127.0.0.1"), (b"cookie", cookie.encode()), (b"orion-live", str(place).encode())]
    headers += [(b"if-none-match", etag.encode())] if etag else []
    return {"method": "GET", "path": "/runs", "query_string": query, "headers": headers, "client": ("::1", 9), **more}


def of(scope: Scope, name: bytes) -> bytes | None:
    return dict(scope["headers"]).get(name)


def run(steps: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(steps(), 10))  # type: ignore[arg-type]


async def begun(*gets: Awaitable[Answer]) -> list[asyncio.Future[Answer]]:
    tasks = [asyncio.ensure_future(one) for one in gets]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_equal_requests_are_asked_once_and_each_gets_what_it_lacks():
    async def steps() -> None:
        server = Server()
        tasks = await begun(server.get(3), server.get(5, etag='W/"x"'), server.get(4, etag='W/"old"'))
        server.go_on.set()

        first, known, old = [await one for one in tasks]

        assert len(server.asked) == 1
        # As of the latest of them, and whole.
        assert (of(server.asked[0], b"orion-live"), of(server.asked[0], b"if-none-match")) == (b"5", None)
        assert (first.status, first.body, old.body) == (200, b"part", b"part")
        assert (known.status, known.body, known.headers) == (304, b"", [(b"etag", b'W/"x"'), (b"orion-live", b"7")])

    run(steps)


def test_a_client_that_knows_of_a_later_change_gets_the_next_answer():
    async def steps() -> None:
        server = Server()
        earlier = await begun(server.get(3))
        later = await begun(server.get(4), server.get(9), server.get(2))
        assert len(server.asked) == 1
        server.go_on.set()

        answers = [await one for one in [*earlier, *later]]

        assert [one.body for one in answers] == [b"part", b"next", b"next", b"part"]
        assert [of(one, b"orion-live") for one in server.asked] == [b"3", b"9"]

    run(steps)


def test_a_client_shares_what_is_under_way_if_that_turns_out_to_include_what_it_knows():
    async def steps(answers: bytes) -> list[bytes | None]:
        server = Server(latest=9, answers=answers)
        # The request asks for no more than its sender knows, so that it may share a rendering of somebody else.
        tasks = [*await begun(server.get(3)), *await begun(server.get(8))]
        server.go_on.set()
        assert [(await one).body for one in tasks][0] == b"part"
        return [of(one, b"orion-live") for one in server.asked]

    assert asyncio.run(steps(answers=b"9")) == [b"3"]
    # A rendering from before the change that the second one knows.
    assert asyncio.run(steps(answers=b"4")) == [b"3", b"8"]


def test_clients_of_unknown_places_share_a_new_answer_that_includes_everything():
    async def steps() -> None:
        server = Server(latest=5)
        under_way = await begun(server.get(5))
        tasks = await begun(server.get("elsewhere.3"), server.get(2), server.get("old.1"), server.get(4))
        server.latest = 6
        server.go_on.set()

        answers = [await one for one in [*under_way, *tasks]]

        assert [one.body for one in answers] == [b"part", b"next", b"part", b"next", b"part"]
        # A place that pages do not know either, so that they take no rendering of before.
        assert [of(one, b"orion-live") for one in server.asked] == [b"5", b"-"]

    run(steps)


def test_answers_are_not_shared_between_users():
    async def steps() -> None:
        server = Server()
        tasks = await begun(
            server.get(3),
            server.get(3, cookie="a=2"),
            server.get(3, query=b"_f=rows"),
            server.get(3, client=("::2", 9)),
            server.get(3, **{OWN_USER: True}),
        )
        server.go_on.set()
        await asyncio.gather(*tasks)

        assert len(server.asked) == 5

    run(steps)


def test_answers_that_set_a_cookie_are_not_shared():
    async def steps() -> None:
        server = Server((b"set-cookie", b"csrftoken=1"))
        tasks = await begun(server.get(3), server.get(3))
        server.go_on.set()

        first, second = [await one for one in tasks]

        assert (first.body, second.body) == (b"part", b"next")

    run(steps)


def test_a_client_that_leaves_does_not_stop_the_answer_for_others():
    async def steps() -> None:
        server = Server()
        leaving, staying = await begun(server.get(3), server.get(3))
        leaving.cancel()
        await asyncio.sleep(0)
        server.go_on.set()

        assert (await staying).body == b"part"
        assert len(server.asked) == 1

    run(steps)


def test_other_requests_are_not_shared():
    shared = sharing(Server())

    assert shared.parts_request(request(3)) is not None
    assert shared.parts_request(request(3, query=b"tab=log")) is None
    assert shared.parts_request(request("elsewhere.3")) is not None
    assert shared.parts_request(request("")) is None
    assert shared.parts_request({**request(3), "method": "POST"}) is None


def test_ended_requests_leave_nothing_in_memory():
    async def steps() -> None:
        server = Server()
        server.go_on.set()
        await server.get(3)
        await server.get(3)

        assert len(server.asked) == 2
        assert not server.shared._under_way
        assert not server.shared._next

    run(steps)
