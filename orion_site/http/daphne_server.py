"""daphne, with what we need beside it: a socket of ours, and a calm end.

Its connections are bounded in `orion_site.http.connections`, its websockets in `orion_site.http.websockets`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from daphne.server import Server
from twisted.internet import defer, main, tcp
from twisted.internet import reactor as installed_reactor
from twisted.logger import globalLogBeginner

from deployments.dispatch.waiting_agents import room
from orion_site.http.connections import BoundedHTTPFactory, most_waiting, raise_descriptor_limit
from orion_site.http.peers import OWN_USER
from orion_site.http.turns import Turns
from orion_site.http.wsgi_adapter import GRACE_SECONDS
from orion_site.metrics.event_loop import watch
from orion_site.shared_rows import Sheet

# Its type depends on the platform, and Twisted's stubs know only the least of it.
reactor: Any = installed_reactor
# Beyond the grace, for the tickers to end and for Python to leave.
LAST_RESORT_SECONDS = 15.0
MOST_NOT_ACCEPTED = 1024
LOOK_SECONDS = 0.02


def _no_log(event: Any) -> None:
    """Drop Twisted's log: our own banner and errors say as much."""


class LoopbackServer(Server):  # type: ignore[misc]  # daphne has no types
    """One listening socket, until SIGINT or SIGTERM. `before_end` is called then, while requests are still answered."""

    before_end: Callable[[], None] | None = None
    grace = GRACE_SECONDS
    # When the requests that were running at the signal have had their time.
    ends_at: float | None = None
    hurry: Callable[[], None] | None = None

    def __init__(
        self,
        application: Callable[..., Awaitable[None]],
        listener: socket.socket,
        *,
        max_body: int,
        ready_callable: Callable[[], None],
        turns: tuple[Sheet, int] | None = None,
    ) -> None:
        self.listener = listener
        self.turns = Turns(*turns, reactor) if turns else None
        self.max_body = max_body
        self._nowhere = open(os.devnull, "w")  # noqa: SIM115 (it must outlive everything here)
        super().__init__(
            application,
            endpoints=["the socket of ours"],
            ready_callable=ready_callable,
            request_buffer_size=1024 * 1024,
            server_name="",
        )

    def run(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = BoundedHTTPFactory(self, most_waiting=most_waiting(raise_descriptor_limit()))
        self._prepare_websockets()
        globalLogBeginner.beginLoggingTo([cast(Any, _no_log)], redirectStandardIO=False, discardBuffer=True)
        # daphne's endpoints are strings for plug-ins; a bound socket can be handed over as it is.
        reactor.callWhenRunning(self._listen)
        reactor.callLater(1, self.application_checker)
        asyncio.set_event_loop(reactor._asyncioEventloop)
        watch(reactor._asyncioEventloop)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        reactor.run(installSignalHandlers=True)

    def _listen(self) -> None:
        self.listener.setblocking(False)
        self.listener.listen(MOST_NOT_ACCEPTED)
        self.port = reactor.adoptStreamPort(self.listener.fileno(), self.listener.family, self.http_factory)
        if self.turns is not None:
            self.turns.take_part(self.port)
        self.ready_callable()

    def _prepare_websockets(self) -> None:
        from orion_site.http.websockets import BoundedWebSocketFactory

        self.ws_factory = BoundedWebSocketFactory(self, handshake_timeout=self.websocket_handshake_timeout)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        is_of_own_user = getattr(protocol.transport, "is_of_own_user", False)
        return super().create_application(protocol, {**scope, OWN_USER: is_of_own_user})

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message["type"] == "websocket.send":
            await protocol.drained()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end_calmly()))

    async def _drain(self, before_end: Callable[[], None]) -> None:
        """Do what has to be done while requests are still answered; one more signal hurries it."""
        if (hurry := self.hurry) is not None:
            # Twisted's own handlers would only say that the reactor is stopping already.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: hurry())
        await asyncio.to_thread(before_end)

    async def _end_calmly(self) -> None:
        """Let what is being answered be answered; daphne would cancel it, and trips over idle connections."""
        if self.turns is not None:
            self.turns.leave()
        if self.before_end is not None:
            await self._drain(self.before_end)
        room.close()
        self._accept_no_more()
        for protocol in list(self.connections):
            if hasattr(protocol, "go_away"):
                protocol.go_away()
        self.ends_at = time.monotonic() + self.grace
        # Python's own threads cannot end a process in which a library holds the interpreter's lock.
        faulthandler.dump_traceback_later(self.grace + LAST_RESORT_SECONDS, exit=True, file=self._nowhere)
        # Asked again and again: meanwhile further requests come on connections that were made before.
        while self._is_busy() and time.monotonic() < self.ends_at:
            await asyncio.sleep(LOOK_SECONDS)

    def _accept_no_more(self) -> None:
        """Take the connections that the kernel has made, and have it refuse the next ones, which then go elsewhere.

        Whatever is in its queue when the socket is closed would be reset, with its request.
        """
        if (port := getattr(self, "port", None)) is None:
            return
        port.stopReading()
        port.numberAccepts = MOST_NOT_ACCEPTED
        accept: Any = tcp.Port.doRead
        accept(port)
        # At once, and not in the next turn of the reactor; ours is another name of the same socket.
        port.connectionLost(main.CONNECTION_DONE)
        self.listener.close()
        self.http_factory.is_ending = True

    def _is_busy(self) -> bool:
        running = [details.get("application_instance") for details in self.connections.values()]
        is_answering = any(task is not None and not task.done() for task in running)
        return self.http_factory.expects_requests() or is_answering or bool(self.http_factory.closing)

    def grace_left(self) -> float:
        """Return the seconds that are left to the requests that ran at the signal."""
        return self.grace if self.ends_at is None else max(0.0, self.ends_at - time.monotonic())

    def is_over(self) -> None:
        """Everything has ended, or was given up: the last resort is not needed."""
        faulthandler.cancel_dump_traceback_later()
        self._nowhere.close()
