"""daphne, with what we need beside it: a socket of ours, bodies bounded while they are read, and a calm end.

Its websockets are bounded too, in `orion_site.websockets`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from twisted.internet import defer
from twisted.internet import reactor as installed_reactor
from twisted.logger import globalLogBeginner

from orion_site.bridge import WSGIBridge

# Its type depends on the platform, and Twisted's stubs know only the least of it.
reactor: Any = installed_reactor
# Requests that run when the server is told to stop may take this long to end.
GRACE_SECONDS = 10
# A body is read on up to this many times the limit, so that its client can read the refusal, and then cut off.
PATIENCE = 8


class BoundedRequest(WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request whose body is not kept once it is longer than the server reads, nor parsed here on the loop."""

    _received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Newer versions of Twisted would parse forms for nobody; Django does that on its own thread.
        self._parsePOSTFormSubmission = False

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        limit = self.channel.factory.server.max_body
        self._received += len(data)
        if self._received > limit * PATIENCE:
            self.channel.loseConnection()
        elif self._received <= limit + len(data):
            # One piece more than the limit is kept: the bridge sees that the body is too long, and says so.
            super().handleContentChunk(data)


class BoundedHTTPFactory(HTTPFactory):  # type: ignore[misc]  # daphne has no types
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's name)
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol

    def log(self, request: Any) -> None:
        """No line for each request: Twisted would format it and then throw it away."""


def _no_log(event: Any) -> None:
    """What Twisted has to say is said by our own banner and errors."""


class LoopbackServer(Server):  # type: ignore[misc]  # daphne has no types
    """One listening socket, until SIGINT or SIGTERM. `before_end` is called then, while requests are still answered."""

    before_end: Callable[[], None] | None = None

    def __init__(self, application: WSGIBridge, listener: socket.socket, *, ready_callable: Callable[[], None]) -> None:
        self.listener = listener
        self.max_body = application.max_body
        super().__init__(
            application,
            endpoints=["the socket of ours"],
            ready_callable=ready_callable,
            request_buffer_size=1024 * 1024,
            server_name="",
        )

    def run(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = BoundedHTTPFactory(self)
        self._prepare_websockets()
        globalLogBeginner.beginLoggingTo([cast(Any, _no_log)], redirectStandardIO=False, discardBuffer=True)
        # daphne's endpoints are strings for plug-ins; a bound socket can be handed over as it is.
        reactor.callWhenRunning(self._listen)
        reactor.callLater(1, self.application_checker)
        asyncio.set_event_loop(reactor._asyncioEventloop)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        reactor.run(installSignalHandlers=True)

    def _listen(self) -> None:
        self.listener.setblocking(False)
        self.listener.listen(1024)
        reactor.adoptStreamPort(self.listener.fileno(), self.listener.family, self.http_factory)
        self.ready_callable()

    def _prepare_websockets(self) -> None:
        from orion_site.websockets import BoundedWebSocketFactory

        self.ws_factory = BoundedWebSocketFactory(self, handshake_timeout=self.websocket_handshake_timeout)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message["type"] == "websocket.send":
            await protocol.drained()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end_calmly()))

    async def _end_calmly(self) -> None:
        """Let what is being answered be answered; daphne would cancel it, and trips over idle connections."""
        if self.before_end is not None:
            await asyncio.to_thread(self.before_end)
        for protocol in list(self.connections):
            if hasattr(protocol, "go_away"):
                protocol.go_away()
        running = [details.get("application_instance") for details in self.connections.values()]
        unfinished = [task for task in running if task is not None and not task.done()]
        if unfinished:
            await asyncio.wait(unfinished, timeout=GRACE_SECONDS)
