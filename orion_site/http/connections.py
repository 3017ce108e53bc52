"""Limits for daphne's connections: how many wait, the times for head, body and answer, and how long a body may be.

Connections that are only held open must not keep clients out: if too many wait, the one that has waited longest is
closed.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web import http

from orion_site.accounts.guard import is_loopback
from orion_site.http.peers import is_of_own_user

HTTPChannel: Any = http.HTTPChannel
Wrapped: Any = http._GenericHTTPChannelProtocol

# Seconds in which a client must have sent the head, and the whole body, of a request.
HEAD_SECONDS = 15.0
BODY_SECONDS = 60.0
# Seconds for a client to take a piece of a long answer.
SLOWEST_READER_SECONDS = 120.0
# How often the server looks for clients that were too slow: a timer for each request would cost more.
LOOK_SECONDS = 0.5
# A refused connection is read until nothing has arrived for this long. Closing it with unread data would reset it, and
# the client might not see the reason.
LINGER_SECONDS = 1.0
# For this long, a new connection is expected to send a request; an older one without a request is only kept alive.
FRESH_SECONDS = 2.0
# Descriptors that are kept for requests in progress, websockets, and the files of the database.
DESCRIPTORS_KEPT = 400
FEWEST_WAITING, MOST_WAITING = 32, 4000
# The most connections of another machine. A proxy on this machine has no limit.
MOST_OF_ONE_ADDRESS = 1000
MOST_DESCRIPTORS = 8192


def raise_descriptor_limit() -> int:
    """Raise the limit of open descriptors as far as this user may, up to MOST_DESCRIPTORS. Return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def most_waiting(descriptors: int) -> int:
    return max(FEWEST_WAITING, min(MOST_WAITING, descriptors - DESCRIPTORS_KEPT))


_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class BoundedRequest(WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request that is refused when its body exceeds the limit, and not parsed in the event loop."""

    _received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Newer versions of Twisted would parse forms here, in vain; Django parses them in its own thread.
        self._parsePOSTFormSubmission = False

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:  # noqa: N802 (Twisted's name)
        # Twisted has no reason phrases for 422, 423 and others, and would send "Unknown Status".
        super().setResponseCode(code, message or _PHRASES.get(code))

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        self._received += len(data)
        if self._received <= self.channel.most_of_body:
            super().handleContentChunk(data)
        else:
            self.channel.refuse_body()

    async def drained(self) -> None:
        """Wait until the client has taken what was sent of a long answer."""
        # daphne and Twisted drop the channel when the connection or the answer ends.
        channel = getattr(self, "channel", None)
        if channel is not None:
            await channel.drained()

    def handle_exception(self, exception: Exception) -> None:
        if not self._response_started:
            super().handle_exception(exception)
        elif (channel := getattr(self, "channel", None)) is not None:
            # Broken off, so that the client does not wait for the rest, or take the beginning for everything.
            channel.transport.abortConnection()


class BoundedChannel(HTTPChannel):  # type: ignore[misc]  # Twisted's types know the least of it
    """A connection with timeouts for receiving requests. They do not run while the server answers.

    It is also the producer that the transport pauses while the outgoing buffer is full.
    """

    # By when the rest of a request must have arrived; None while the server answers, or waits for another request.
    _due: float | None = None
    # Ends a connection whose request was refused.
    _clock: Any = None
    # Whether there was a request before, and whether part of the next one has arrived.
    _is_used = _has_begun = False
    # Until when more is read, once a request was refused here.
    _read_until: float | None = None
    persistent: Any

    @property
    def most_of_body(self) -> int:
        limit: int = self.factory.server.max_body
        return limit

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained = asyncio.Event()
        self._drained.set()
        super().connectionMade()
        if not self.factory.has_room_for(self.transport):
            self.transport.abortConnection()
            return
        # Determined once, for all requests of this connection and for the websocket that it may become.
        self.transport.is_of_own_user = is_of_own_user(self.transport.getHandle())
        self._made = time.monotonic()
        self._due = self._made + HEAD_SECONDS
        self.factory.waits(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        # Data of the next request on a kept-alive connection, for which so far only Twisted's idle timeout was running.
        if self._due is None and not self._handlingRequest:
            self._due = time.monotonic() + HEAD_SECONDS
        self._has_begun = True
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:  # noqa: N802 (Twisted's name)
        # Twisted ignores `identity`, even next to `chunked`; a proxy might then see another end of the body.
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self._respondToBadRequestAndDisconnect()
            return False
        received: bool = super().headerReceived(line)
        return received

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 (Twisted's name)
        # Twisted would close the connection without a word, which clients take for an outage.
        if self.requests:
            self._refuse(431, f"A header of the request is longer than {self.MAX_LENGTH} bytes.")
        else:
            self._command = line.partition(b" ")[0]
            self._refuse(414, f"The address of the request is longer than {self.MAX_LENGTH} bytes.")

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 (Twisted's name)
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._refuse(431, f"The headers of the request are longer than {self.totalHeadersSize} bytes together.")
        elif self._receivedHeaderCount > self.maxHeaders:
            self._refuse(431, f"The request has more than {self.maxHeaders} headers.")
        else:
            self._refuse(400, "The request is not valid HTTP.")

    def refuse_body(self) -> None:
        """Refuse a body that is too long as soon as that is known: clients such as curl then send no more of it."""
        if self._read_until is None:
            self._refuse(413, f"The body is longer than {self.most_of_body} bytes.", BODY_SECONDS)

    def _refuse(self, status: int, detail: str, patience: float = LINGER_SECONDS) -> None:
        """Answer and end a connection whose next request is not read to its end.

        For the given seconds at most, the client may send what it has begun to send.
        """
        body = json.dumps({"detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        )
        # Set from the first line of a request to its end. An answer to HEAD has no body.
        if getattr(self, "_command", b"") == b"HEAD":
            body = b""
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        # What still arrives is dropped, also the lines that were read with this one.
        self.line_mode, self.rawDataReceived = False, self._drop
        self._read_until = time.monotonic() + patience
        self._linger()

    def _drop(self, data: bytes) -> None:
        if self._read_until is not None and time.monotonic() < self._read_until:
            self._linger()

    def _linger(self) -> None:
        self._stop()
        self._clock = self.callLater(LINGER_SECONDS, self.loseConnection)

    def allHeadersReceived(self) -> None:  # noqa: N802 (Twisted's name)
        # Before Twisted asks a client for the body that is announced.
        if (self.length or 0) > self.most_of_body:
            self.refuse_body()
            return
        self._due = time.monotonic() + BODY_SECONDS
        super().allHeadersReceived()

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802 (Twisted's name)
        if not self.factory.is_ending:
            return bool(super().checkPersistence(request, version))
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def allContentReceived(self) -> None:  # noqa: N802 (Twisted's name)
        if self._read_until is not None:
            # The last chunks of a body that was refused.
            return
        self._due = None
        self._is_used, self._has_begun = True, False
        self.factory.waits_no_more(self)
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:  # noqa: N802 (Twisted's name)
        self.factory.waits(self)
        # The request may have arrived before the server began to stop.
        self.persistent = self.persistent and not self.factory.is_ending
        super().requestDone(request)

    def loseConnection(self) -> None:  # noqa: N802 (Twisted's name)
        self.factory.closing.add(self)
        super().loseConnection()

    def expects_request(self) -> bool:
        """Whether a request is arriving or likely to; not on a connection that is only kept alive."""
        return self._has_begun or (not self._is_used and time.monotonic() < self._made + FRESH_SECONDS)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 (Twisted's name)
        self._stop()
        self._drained.set()
        self.factory.waits_no_more(self)
        self.factory.closing.discard(self)
        self.factory.has_ended(self.transport)
        super().connectionLost(reason)

    def give_way(self) -> None:
        self._stop()
        self.transport.abortConnection()
        # Close it at once: if a hundred are accepted in one turn, there would be no descriptors for the last ones.
        self.transport.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]

    # --- outgoing data ---

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained.clear()
        super().pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained.set()
        super().resumeProducing()

    async def drained(self) -> None:
        """Wait until the client has taken what was sent. If that takes too long, it is disconnected."""
        if self._drained.is_set():
            return
        try:
            await asyncio.wait_for(self._drained.wait(), SLOWEST_READER_SECONDS)
        except TimeoutError:
            self.transport.abortConnection()

    def _stop(self) -> None:
        self._due = None
        if self._clock is not None and self._clock.active():
            self._clock.cancel()
        self._clock = None

    def refuse_if_slow(self, now: float) -> None:
        if self._due is not None and now >= self._due:
            self._refuse(408, "The request did not arrive in time.")


class BoundedHTTPFactory(HTTPFactory):  # type: ignore[misc]  # daphne has no types
    """Creates the connections, and keeps those that wait for a request or the rest of one, oldest first."""

    def __init__(self, server: Any, *, most_waiting: int) -> None:
        super().__init__(server)
        self.most_waiting = most_waiting
        # When true, each connection is closed after its request.
        self.is_ending = False
        # Connections whose last data has not been sent yet.
        self.closing: set[BoundedChannel] = set()
        self._waiting: dict[BoundedChannel, None] = {}
        self._of: defaultdict[str, set[Any]] = defaultdict(set)
        self._looks = False

    def protocol(self) -> Any:
        return Wrapped(BoundedChannel())

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's name)
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol

    def expects_requests(self) -> bool:
        """Whether requests are still arriving; close connections that are only kept alive."""
        expecting = False
        for channel in list(self._waiting):
            if channel.expects_request():
                expecting = True
            elif channel not in self.closing:
                channel.loseConnection()
        return expecting

    def has_room_for(self, transport: Any) -> bool:
        """Whether the client's machine may have another connection; if so, count it until it is closed."""
        address = getattr(transport.getPeer(), "host", "")
        if is_loopback(address):
            return True
        of_one = self._of[address]
        if len(of_one) >= MOST_OF_ONE_ADDRESS:
            # A connection that became a websocket does not report its end.
            of_one -= {one for one in of_one if not one.connected}
        if len(of_one) >= MOST_OF_ONE_ADDRESS:
            return False
        of_one.add(transport)
        return True

    def has_ended(self, transport: Any) -> None:
        address = getattr(transport.getPeer(), "host", "")
        if address in self._of:
            self._of[address].discard(transport)
            if not self._of[address]:
                del self._of[address]

    def waits(self, channel: BoundedChannel) -> None:
        self._waiting[channel] = None
        if not self._looks:
            self._looks = True
            channel.callLater(LOOK_SECONDS, self._look, channel.callLater)
        if len(self._waiting) > self.most_waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.give_way()

    def _look(self, call_later: Callable[..., Any]) -> None:
        """Refuse requests that arrive too slowly, and look again while any connection waits."""
        self._looks = bool(self._waiting)
        if self._looks:
            call_later(LOOK_SECONDS, self._look, call_later)
        now = time.monotonic()
        for channel in list(self._waiting):
            channel.refuse_if_slow(now)

    def waits_no_more(self, channel: BoundedChannel) -> None:
        self._waiting.pop(channel, None)

    def log(self, request: Any) -> None:
        """Do not log requests: Twisted would format the line and then drop it."""
