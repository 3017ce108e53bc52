"""Django's WSGI application as an ASGI application, with daphne's event loop and bounded pools of threads.

Django's own ASGI handler uses a new thread, and so a new database connection, for each request. Here the loop reads the
body, a thread of a pool runs the whole WSGI call, and the loop sends the answer. If the client disconnects, the view
still runs to its end, so that a transition is never interrupted. Long answers, such as files, have threads of their
own, which produce them as fast as their clients take them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from io import BytesIO
from itertools import chain
from typing import Any
from urllib.parse import unquote_to_bytes

from django.db import close_old_connections, connections

from orchestration.api.later import CAME_TO, WAITS, LaterAnswer
from orion_site.accounts.guard import is_loopback
from orion_site.http.long_polls import is_woken, seconds_to_wait, waiting_request
from orion_site.http.peers import OWN_USER
from orion_site.http.shared_answers import Answer, SharedAnswers
from orion_site.http.thread_pools import BoundedPool

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
# The status and the headers for which an application has called `start_response`, once it has.
Started = list[tuple[str, list[tuple[str, str]]]]

# Last parts of paths that must be served while the dashboard is busy: reports of running work. Creations end with a
# slash.
RESERVED = frozenset({b"", b"set_state", b"transitions", b"heartbeat", b"ended", b"claim"})


# Seconds for requests in progress when the server is asked to stop.
GRACE_SECONDS = 10.0
# Long answers at a time: each has a thread for as long as its client takes.
MOST_LONG_ANSWERS = 8
# Answers in pieces that are together at most so long, such as small static files, are sent at once.
LONGEST_AT_ONCE = 2 * 1024 * 1024
# The client must take so much in `SLOWEST_READER_SECONDS`.
PIECE = 256 * 1024


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class BodyTooLarge(Exception):
    """The request's body is longer than the server reads."""


class WSGIAdapter:
    """An ASGI application for HTTP that runs a WSGI application on pools of threads."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        *,
        base_path: str,
        max_body: int,
        threads: int,
        in_flight: int,
        shared: SharedAnswers | None = None,
    ) -> None:
        self._application = application
        self._base_path = base_path.rstrip("/")
        self.max_body = max_body
        self._reserved = BoundedPool("reports", threads=threads, in_flight=in_flight)
        self._ordinary = BoundedPool("requests", threads=threads, in_flight=in_flight)
        self._long = BoundedPool("files", threads=MOST_LONG_ANSWERS, in_flight=MOST_LONG_ANSWERS)
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, self.max_body)
        except ClientGone:
            return
        except BodyTooLarge:
            await refuse(send, 413, f"The body is longer than {self.max_body} bytes.")
            return

        def ask(scope: Scope) -> Awaitable[Answer]:
            return self._answer(scope, body, receive, send)

        parts = self._shared.parts_request(scope) if self._shared else None
        answer = await (self._shared.answer(parts, ask) if self._shared and parts else ask(scope))
        if answer.body is not None:
            await send_whole(send, answer)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> Answer:
        pool, who = self._pool(scope), sender_of(scope)
        loop = asyncio.get_running_loop()

        def run(environ: dict[str, Any]) -> Answer | Future[Answer]:
            answer = self._run(environ, who, loop, receive, send)
            if isinstance(answer, Answer) and answer.to_come is not None:
                # Before the thread is released, and even if the client disconnects: the content is produced anyway.
                pool.keep(who, answer.to_come.content_to_come)
            return answer

        async def asked(**more: Any) -> Answer | None:
            if not pool.admit(who):
                return None
            answer = await pool.start(who, run, {**wsgi_environ(scope, body, self._base_path), WAITS: True, **more})
            if isinstance(answer, Future):
                return await asyncio.wrap_future(answer)
            if answer.to_come is None:
                return answer
            error = await _error_of(answer.to_come)
            return answer.with_content() if error is None else await asked(**{CAME_TO: error})

        with waiting_request(scope) as request:
            answer = await asked()
            if (
                answer is not None
                and request is not None
                and (seconds := seconds_to_wait(answer.headers))
                and await is_woken(request, seconds, receive)
            ):
                answer = await asked() or answer
        return answer or busy()

    def close(self, within: float = GRACE_SECONDS) -> bool:
        """Wait for requests in progress at most `within` seconds. Return whether all have ended."""
        until = time.monotonic() + within
        # A list, because each pool must be closed, even after one that did not end.
        pools = (self._reserved, self._ordinary, self._long)
        ended = [pool.close(max(0.0, until - time.monotonic())) for pool in pools]
        return all(ended)

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Support other ASGI servers, which announce start and stop; Orion's own server calls `close`."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    def _pool(self, scope: Scope) -> BoundedPool:
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if scope["method"] == "POST" and b"/api/" in path and path.rpartition(b"/")[2] in RESERVED:
            return self._reserved
        return self._ordinary

    def _run(
        self, environ: dict[str, Any], who: bytes, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send
    ) -> Answer | Future[Answer]:
        """Call the WSGI application, on a thread of a pool. Another thread sends a long answer."""
        started: Started = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            started[:] = [(status, headers)]

        chunks = self._application(environ, start_response)
        is_handed_on = False
        try:
            if isinstance(chunks, LaterAnswer):
                return Answer(*encoded(*started[0], None), None, chunks)
            if not _is_long(chunks, started):
                whole = b"".join(chunks)
                return Answer(*encoded(*started[0], whole), whole)
            if not self._long.admit(who):
                return busy()
            is_head = environ["REQUEST_METHOD"] == "HEAD"
            sent = self._long.submit(who, stream, chunks, started, loop, receive, send, is_head=is_head)
            is_handed_on = True
            return sent
        finally:
            if is_handed_on:
                # Django closes connections at the end of the answer, which is on the other thread.
                close_old_connections()
            else:
                _close(chunks)


def _is_long(chunks: Iterable[bytes], started: Started) -> bool:
    """Whether an answer comes in pieces. Django's responses say so; other applications' answers may."""
    if not getattr(chunks, "streaming", True):
        return False
    headers = started[0][1] if started else []
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
    return length is None or length > LONGEST_AT_ONCE


def _close(chunks: Iterable[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


async def _error_of(answer: LaterAnswer) -> BaseException | None:
    """Wait for content that is produced elsewhere. Return its error, if there was one."""
    content = asyncio.wrap_future(answer.content_to_come)
    # Retrieve the exception even if the client disconnects; otherwise asyncio would log it.
    content.add_done_callback(asyncio.Future.exception)
    await asyncio.wait({content})
    return content.exception()


def stream(
    chunks: Iterable[bytes],
    started: Started,
    loop: asyncio.AbstractEventLoop,
    receive: Receive,
    send: Send,
    *,
    is_head: bool = False,
) -> Answer:
    """Send `chunks` from this thread as the client takes them, and stop once it has disconnected."""

    def send_message(message: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(_send(send, message), loop).result()

    try:
        # The first chunk comes first: a generator calls start_response only then.
        rest = iter(chunks)
        first = next(rest, b"")
        answer = Answer(*encoded(*started[0], None), None)
        gone = asyncio.run_coroutine_threadsafe(_receive(receive), loop)
        try:
            send_message({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            pieces: Iterable[bytes] = () if is_head else _pieces(chain([first], rest))
            for piece in pieces:
                if gone.done():
                    return answer
                if piece:
                    send_message({"type": "http.response.body", "body": piece, "more_body": True})
            send_message({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
        return answer
    finally:
        _close(chunks)
        # Few answers are long, and a connection to SQLite has a cache of 20 MB.
        connections.close_all()


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        # The client may take minutes for it, in which others can use this thread's connection to the database.
        close_old_connections()
        for start in range(0, len(chunk) or 1, PIECE):
            yield chunk[start : start + PIECE]


async def _send(send: Send, message: dict[str, Any]) -> None:
    await send(message)


async def _receive(receive: Receive) -> dict[str, Any]:
    return await receive()


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the whole body of a request, of at most `limit` bytes. Raises ClientGone and BodyTooLarge."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise BodyTooLarge
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def encoded(status: str, headers: list[tuple[str, str]], whole: bytes | None) -> tuple[int, list[tuple[bytes, bytes]]]:
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if whole is not None and not any(name == b"content-length" for name, _ in lines):
        lines.append((b"content-length", str(len(whole)).encode()))
    return int(status[:3]), lines


def wsgi_environ(scope: Scope, body: bytes, base_path: str) -> dict[str, Any]:
    """Return the environment of PEP 3333 for one request.

    The base path comes from the configuration: daphne takes one from a header that any client may send.
    """
    path = unquote_to_bytes(scope.get("raw_path") or scope["path"]).decode("latin-1")
    # A proxy may or may not have removed the base path.
    if base_path and (path == base_path or path.startswith(base_path + "/")):
        path = path[len(base_path) :]
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ = {
        # The handshake of a websocket is a GET, but its scope has no method.
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": base_path,
        "PATH_INFO": path or "/",
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": client[0],
        "REMOTE_HOST": client[0],
        "REMOTE_PORT": str(client[1]),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        OWN_USER: scope.get(OWN_USER, False),
    }
    add_headers(environ, scope["headers"])
    return environ


def add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        match name:
            case "content-type":
                environ["CONTENT_TYPE"] = value
            case "content-length" | "transfer-encoding":
                # The body has been read, and its real length is set above.
                pass
            case _:
                key = "HTTP_" + name.upper().replace("-", "_")
                separator = "; " if name == "cookie" else ","
                environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value


def sender_of(scope: Scope) -> bytes:
    """Return the credentials of a request, or the client's address without any; empty for this machine."""
    for name, value in scope["headers"]:
        if name in {b"authorization", b"cookie"}:
            return bytes(value)
    address = (scope.get("client") or ("",))[0]
    return b"" if is_loopback(address) else address.encode()


async def refuse(send: Send, status: int, detail: str) -> None:
    await send_whole(send, refusal(status, detail))


def busy() -> Answer:
    return refusal(503, "The server is busy; ask again in a second.", (b"retry-after", b"1"))


def refusal(status: int, detail: str, *headers: tuple[bytes, bytes]) -> Answer:
    body = json.dumps({"detail": detail}).encode()
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    return Answer(status, lines, body)


async def send_whole(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
