"""The adapter between the event loop and WSGI, with small WSGI applications on the other side."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID, uuid4

import pytest

from deployments.dispatch.waiting_agents import waiting_agents
from orchestration.api.later import CAME_TO, WAITS, LaterAnswer
from orion_site.http.thread_pools import BoundedPool
from orion_site.http.wsgi_adapter import MOST_LONG_ANSWERS, WSGIAdapter

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Whole(list[bytes]):
    """An answer that is there at once, as Django's are."""

    streaming = False


class Exchange:
    """One request as an ASGI server makes it, and what came back."""

    def __init__(
        self, *body: bytes, path: str = "/", method: str = "POST", headers: Iterable[tuple[bytes, bytes]] = ()
    ):
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"a=1",
            "headers": list(headers),
            "client": ["127.0.0.1", 5000],
            "server": ["127.0.0.1", 4200],
            "scheme": "http",
            "root_path": "/from-a-header",
        }
        self._messages = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        self._messages.append({"type": "http.request", "body": b"", "more_body": False})
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def adapter_of(application: Application, **options: Any) -> WSGIAdapter:
    return WSGIAdapter(application, **{"base_path": "", "max_body": 1000, "threads": 2, "in_flight": 8, **options})


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read().decode()
    shown = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return Whole([json.dumps({**shown, "body": body}).encode()])


async def test_a_request_reaches_the_application_whole():
    exchange = Exchange(b"on", b"e", path="/a%20b/caf%C3%A9", headers=[(b"x-one", b"1"), (b"x-one", b"2")])

    await adapter_of(echo)(exchange.scope, exchange.receive, exchange.send)

    seen = json.loads(exchange.body)
    assert exchange.status == 200
    assert seen["body"] == "one"
    assert seen["CONTENT_LENGTH"] == "3"
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/a b/café"
    assert (seen["QUERY_STRING"], seen["REMOTE_ADDR"], seen["HTTP_X_ONE"]) == ("a=1", "127.0.0.1", "1,2")
    assert exchange.headers[b"content-length"] == str(len(exchange.body)).encode()


@pytest.mark.parametrize("path", ["/orion/runs", "/runs"])
async def test_the_base_path_is_split_off_whether_or_not_a_proxy_did(path: str):
    exchange = Exchange(path=path)

    await adapter_of(echo, base_path="/orion/")(exchange.scope, exchange.receive, exchange.send)

    seen = json.loads(exchange.body)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/orion", "/runs")


async def test_no_header_can_set_the_base_path():
    exchange = Exchange()

    await adapter_of(echo)(exchange.scope, exchange.receive, exchange.send)

    assert json.loads(exchange.body)["SCRIPT_NAME"] == ""


async def test_a_body_over_the_limit_is_not_handed_on():
    exchange = Exchange(b"x" * 600, b"x" * 600)

    await adapter_of(echo)(exchange.scope, exchange.receive, exchange.send)

    assert exchange.status == 413
    assert b"longer than 1000 bytes" in exchange.body


async def test_above_the_limit_requests_are_sent_away_for_a_second_and_transitions_are_not():
    release = threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "set_state" not in environ["PATH_INFO"]:
            release.wait(10)
        return echo(environ, start_response)

    adapter = adapter_of(slow, threads=1, in_flight=2)
    waiting = [Exchange(), Exchange()]
    running = [asyncio.ensure_future(adapter(one.scope, one.receive, one.send)) for one in waiting]
    await asyncio.sleep(0.05)
    refused, transition = Exchange(), Exchange(path="/api/flow_runs/1/set_state")

    await adapter(refused.scope, refused.receive, refused.send)
    await adapter(transition.scope, transition.receive, transition.send)
    release.set()
    await asyncio.gather(*running)

    assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
    assert transition.status == 200
    assert [one.status for one in waiting] == [200, 200]


async def test_every_slot_is_returned():
    adapter = adapter_of(echo, in_flight=1)

    statuses = []
    for _ in range(5):
        exchange = Exchange()
        await adapter(exchange.scope, exchange.receive, exchange.send)
        statuses.append(exchange.status)

    assert statuses == [200] * 5


async def test_a_view_ends_although_its_client_has_left():
    ended = threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        threading.Event().wait(0.2)
        ended.set()
        return echo(environ, start_response)

    exchange = Exchange()
    adapter = adapter_of(slow)
    task = asyncio.ensure_future(adapter(exchange.scope, exchange.receive, exchange.send))
    await asyncio.sleep(0.05)

    task.cancel()

    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_stream_is_sent_piece_by_piece_and_ends_with_its_client():
    made: list[int] = []

    def endless(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(100_000):
            made.append(number)
            yield b"%d\n" % number
            threading.Event().wait(0.005)

    exchange = Exchange()
    adapter = adapter_of(endless)
    task = asyncio.ensure_future(adapter(exchange.scope, exchange.receive, exchange.send))
    while exchange.body.count(b"\n") < 3:
        await asyncio.sleep(0.01)

    exchange.gone.set()
    await asyncio.wait_for(task, 5)

    assert exchange.body.startswith(b"0\n1\n2\n")
    assert len(made) < 1000


class NotReading(Exchange):
    """A client that takes nothing of a long answer until it leaves."""

    async def send(self, message: dict[str, Any]) -> None:
        await super().send(message)
        if message.get("more_body"):
            await self.gone.wait()


async def test_clients_that_read_nothing_use_no_thread_of_others_and_are_limited():
    made, ended = threading.Semaphore(0), threading.Semaphore(0)

    def pieces(start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            for _ in range(100_000):
                made.release()
                yield b"x"
        finally:
            ended.release()

    def mixed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return pieces(start_response) if environ["PATH_INFO"] == "/file" else echo(environ, start_response)

    adapter = adapter_of(mixed, threads=1)
    slow = [NotReading(path="/file") for _ in range(MOST_LONG_ANSWERS)]
    sending = [asyncio.ensure_future(adapter(one.scope, one.receive, one.send)) for one in slow]
    while not all(one.body for one in slow):
        await asyncio.sleep(0.005)
    refused, ordinary = Exchange(path="/file"), Exchange()

    await adapter(refused.scope, refused.receive, refused.send)
    await adapter(ordinary.scope, ordinary.receive, ordinary.send)

    assert (refused.status, ordinary.status) == (503, 200)
    assert all(made.acquire(blocking=False) for _ in slow)
    assert not made.acquire(blocking=False)
    for one in slow:
        one.gone.set()
    await asyncio.gather(*sending)
    assert all(ended.acquire(blocking=False) for _ in slow)
    assert adapter.close(0)


async def test_a_request_that_comes_while_the_server_stops_is_refused_and_not_waited_for():
    adapter, exchange = adapter_of(echo), Exchange()
    adapter.close(0)

    await adapter(exchange.scope, exchange.receive, exchange.send)

    assert exchange.status == 503
    assert exchange.headers[b"retry-after"] == b"1"
    assert adapter.close(0)


def test_a_request_that_was_admitted_just_before_the_end_is_not_waited_for():
    pool = BoundedPool("test", threads=1, in_flight=8)
    pool.admit(b"a key")
    pool.close(0)

    with pytest.raises(RuntimeError):
        pool.start(b"a key", echo, {}, print)

    assert pool.close(0)


async def test_an_answer_is_closed_even_if_its_application_fails():
    closed = threading.Event()

    class Failing(Whole):
        def __iter__(self) -> Iterator[bytes]:
            raise OSError("no")

        def close(self) -> None:
            closed.set()

    def failing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Failing()

    exchange = Exchange()

    with pytest.raises(OSError, match="no"):
        await adapter_of(failing)(exchange.scope, exchange.receive, exchange.send)

    assert closed.is_set()


AGENT = UUID("018f0000-0000-7000-8000-00000000a001")


class Orders:
    """An application that answers on command, and whose answer may be held back."""

    def __init__(self) -> None:
        self.asked, self.orders = threading.Semaphore(0), b"[]"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Orion-Wait", "60")] if self.orders == b"[]" else [])
        self.asked.release()
        return Whole([self.orders])


def asking(agent: UUID = AGENT) -> Exchange:
    return Exchange(path=f"/api/agents/{agent}/orders")


async def test_a_request_for_orders_is_answered_when_something_is_wanted_of_its_agent():
    application, exchange = Orders(), asking()
    answering = asyncio.ensure_future(adapter_of(application)(exchange.scope, exchange.receive, exchange.send))
    await asyncio.to_thread(application.asked.acquire)

    application.orders = b"[1]"
    waiting_agents.wake(uuid4())
    await asyncio.sleep(0)
    assert not answering.done()
    waiting_agents.wake(AGENT)
    await answering

    assert exchange.body == b"[1]"
    assert waiting_agents.ids() == set()


async def test_orders_that_come_during_a_request_are_not_missed():
    application, exchange = Orders(), asking()

    def waking(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = application(environ, start_response)
        application.orders = b"[1]"
        waiting_agents.wake(AGENT)
        return answer

    await adapter_of(waking)(exchange.scope, exchange.receive, exchange.send)

    assert exchange.body == b"[1]"


async def test_waiting_for_orders_takes_no_thread():
    application = Orders()
    adapter = adapter_of(application, threads=1, in_flight=1)
    exchanges = [asking(uuid4()) for _ in range(20)]
    waiting = []
    for exchange in exchanges:
        waiting.append(asyncio.ensure_future(adapter(exchange.scope, exchange.receive, exchange.send)))
        await asyncio.to_thread(application.asked.acquire)
        while adapter._ordinary.admitted:
            await asyncio.sleep(0)

    ordinary = Exchange()
    await adapter(ordinary.scope, ordinary.receive, ordinary.send)

    assert ordinary.status == 200
    for agent in waiting_agents.ids():
        waiting_agents.wake(agent)
    for one in waiting:
        await one
        while adapter._ordinary.admitted:
            await asyncio.sleep(0)
    assert {exchange.status for exchange in exchanges} == {200}


class Gathered:
    """An application that answers all concurrent requests on command."""

    def __init__(self) -> None:
        self.contents: list[Future[Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if (error := environ.get(CAME_TO)) is not None:
            start_response("409 Conflict", [])
            return Whole([str(error).encode()])
        assert environ[WAITS]
        start_response("200 OK", [("Content-Type", "application/json")])
        self.contents.append(Future())
        return LaterAnswer(self.contents[-1])


async def gathered(application: Gathered, number: int) -> tuple[list[Exchange], list[asyncio.Future[None]]]:
    adapter = adapter_of(application, threads=1, in_flight=number)
    exchanges = [Exchange() for _ in range(number)]
    waiting = [asyncio.ensure_future(adapter(one.scope, one.receive, one.send)) for one in exchanges]
    while len(application.contents) < number:
        await asyncio.sleep(0)
    return exchanges, waiting


async def test_an_answer_that_is_worked_out_for_many_takes_no_thread_of_each():
    application = Gathered()
    exchanges, waiting = await gathered(application, 20)

    for number, content in enumerate(application.contents):
        content.set_result([{"number": number}])
    await asyncio.gather(*waiting)

    bodies = sorted(json.loads(exchange.body)[0]["number"] for exchange in exchanges)
    assert bodies == list(range(20))
    assert exchanges[0].headers[b"content-length"] == str(len(exchanges[0].body)).encode()


async def test_an_error_that_comes_later_is_answered_as_any_other():
    application = Gathered()
    exchanges, waiting = await gathered(application, 2)

    application.contents[0].set_result([])
    application.contents[1].set_exception(ValueError("replaced"))
    await asyncio.gather(*waiting)

    assert sorted((exchange.status, exchange.body) for exchange in exchanges) == [(200, b"[]"), (409, b"replaced")]


async def test_answers_to_come_count_as_requests_that_are_worked_on():
    application = Gathered()
    adapter = adapter_of(application, threads=1, in_flight=1)
    first, second = Exchange(), Exchange()
    begun = asyncio.ensure_future(adapter(first.scope, first.receive, first.send))
    while not application.contents:
        await asyncio.sleep(0)

    await adapter(second.scope, second.receive, second.send)

    assert second.status == 503
    application.contents[0].set_result([])
    await begun
    assert first.status == 200


async def asked(adapter: WSGIAdapter, application: Gathered, exchange: Exchange) -> asyncio.Future[None]:
    """Ask, and wait until it was refused or handed on."""
    before = len(application.contents)
    asking = asyncio.ensure_future(adapter(exchange.scope, exchange.receive, exchange.send))
    while not exchange.sent and len(application.contents) == before:
        await asyncio.sleep(0)
    # Mostly it waits for its answer by then.
    await asyncio.sleep(0.05)
    return asking


async def test_answers_to_come_take_no_room_from_requests_of_another_kind():
    application = Gathered()
    adapter = adapter_of(application, threads=1, in_flight=1)
    claim, page = Exchange(path="/api/agents/a/claim"), Exchange(path="/runs")

    waiting = [await asked(adapter, application, one) for one in (claim, page)]
    for content in application.contents:
        content.set_result([])
    await asyncio.gather(*waiting)

    assert (claim.status, page.status) == (200, 200)


async def test_a_pending_answer_counts_until_it_exists_even_if_its_client_has_left():
    application, reported = Gathered(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    adapter = adapter_of(application, threads=1, in_flight=1)
    second, third = Exchange(), Exchange()
    first = await asked(adapter, application, Exchange())
    first.cancel()
    await asyncio.wait({first})

    waiting = [await asked(adapter, application, second)]
    application.contents.pop(0).set_exception(ValueError("replaced"))
    while adapter._ordinary.admitted:
        await asyncio.sleep(0)
    waiting.append(await asked(adapter, application, third))
    for content in application.contents:
        content.set_result([])
    await asyncio.gather(*waiting)
    gc.collect()

    assert (second.status, third.status, reported) == (503, 200, [])
