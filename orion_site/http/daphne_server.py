"""daphne with additions: it listens on a socket of ours, and shuts down gracefully.

`orion_site.http.connections` limits its connections, `orion_site.http.websockets` its websockets.
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

from deployments.dispatch.waiting_agents import waiting_agents
from orion_site.http.connections import BoundedHTTPFactory, most_waiting, raise_descriptor_limit
from orion_site.http.peers import OWN_USER
from orion_site.http.turns import Turns
from orion_site.http.wsgi_adapter import GRACE_SECONDS
from orion_site.metrics.event_loop import watch
from orion_site.shared_rows import Sheet

# Its type depends on the platform, and Twisted's stubs cover only a part of it.
reactor: Any = installed_reactor
# Seconds after the grace period, for the tickers to stop and for Python to exit.
LAST_RESORT_SECONDS = 15.0
MOST_NOT_ACCEPTED = 1024
LOOK_SECONDS = 0.02


def _no_log(event: Any) -> None:
    """Drop Twisted's log: the server's banner and errors say the same."""


class LoopbackServer(Server):  # type: ignore[misc]  # daphne has no types
    """A server on one socket, until SIGINT or SIGTERM.

    Then `before_end` is called, while requests are still answered.
    """

    before_end: Callable[[], None] | None = None
    grace = GRACE_SECONDS
    # When the requests that were in progress at the signal run out of time.
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
        # daphne's endpoints are strings; an open socket can only be passed directly.
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
        if message["type"] == "websocket.send" or message.get("more_body"):
            await protocol.drained()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end_calmly()))

    async def _drain(self, before_end: Callable[[], None]) -> None:
        """Run `before_end` while requests are still answered; another signal hurries it."""
        if (hurry := self.hurry) is not None:
            # Twisted's own handlers would only log that the reactor is already stopping.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: hurry())
        await asyncio.to_thread(before_end)

    async def _end_calmly(self) -> None:
        """Finish the requests in progress; daphne would cancel them, and fails on idle connections."""
        if self.turns is not None:
            self.turns.leave()
        if self.before_end is not None:
            await self._drain(self.before_end)
        waiting_agents.close()
        self._accept_no_more()
        for protocol in list(self.connections):
            if hasattr(protocol, "go_away"):
                protocol.go_away()
        self.ends_at = time.monotonic() + self.grace
        # A Python thread could not stop a process in which a library holds the interpreter's lock.
        faulthandler.dump_traceback_later(self.grace + LAST_RESORT_SECONDS, exit=True, file=self._nowhere)
        # Check repeatedly: more requests may arrive on existing connections.
        while self._is_busy() and time.monotonic() < self.ends_at:
            await asyncio.sleep(LOOK_SECONDS)

    def _accept_no_more(self) -> None:
        """Accept the connections that the kernel has queued, and close the socket: later ones go to other servers.

        Closing the socket would reset connections in its queue, with their requests.
        """
        if (port := getattr(self, "port", None)) is None:
            return
        port.stopReading()
        port.numberAccepts = MOST_NOT_ACCEPTED
        accept: Any = tcp.Port.doRead
        accept(port)
        # Immediately, not in the next turn of the reactor. `listener` is another handle of the same socket.
        port.connectionLost(main.CONNECTION_DONE)
        self.listener.close()
        self.http_factory.is_ending = True

    def _is_busy(self) -> bool:
        running = [details.get("application_instance") for details in self.connections.values()]
        is_answering = any(task is not None and not task.done() for task in running)
        return self.http_factory.expects_requests() or is_answering or bool(self.http_factory.closing)

    def grace_left(self) -> float:
        """Return the seconds left for the requests that were in progress at the signal."""
        return self.grace if self.ends_at is None else max(0.0, self.ends_at - time.monotonic())

    def is_over(self) -> None:
        """Cancel the forced exit, because everything has ended or was given up."""
        faulthandler.cancel_dump_traceback_later()
        self._nowhere.close()
