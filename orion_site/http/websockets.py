"""daphne's websockets with limits in both directions: daphne itself buffers all incoming and outgoing data.

If a client sends faster than its messages are handled, reading pauses. If it does not read, sending waits, and then the
websocket is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from orchestration.api.sockets import GOING_AWAY, NORMAL, TRY_AGAIN_LATER

LONGEST_MESSAGE = 1024 * 1024
MOST_UNREAD_MESSAGES = 256
MOST_UNREAD_BYTES = 1024 * 1024
READ_AGAIN_SECONDS = 0.02
# Seconds after which a client that reads nothing is disconnected, because others wait for the data, too.
SLOWEST_READER_SECONDS = 30.0
# Seconds between pings, and for the answer to one.
ASK_EVERY_SECONDS, CLIENT_IS_GONE_SECONDS = 20, 30


class BoundedWebSocket(WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """One websocket. It is also the producer that the transport pauses while the outgoing buffer is full."""

    def onOpen(self) -> None:  # noqa: N802 (Twisted's name)
        super().onOpen()
        self._unread: deque[int] = deque()
        self._is_paused = False
        self._drained = asyncio.Event()
        self._drained.set()
        # The HTTP connection before the upgrade is still registered as the producer.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    # --- incoming messages ---

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 (Twisted's names)
        super().onMessage(payload, isBinary)
        self._count(len(payload))

    def onPing(self, payload: bytes) -> None:  # noqa: N802 (Twisted's name)
        # The application answers it, in order with other messages.
        self.application_queue.put_nowait({"type": "websocket.ping", "payload": payload})
        self._count(len(payload))

    def _count(self, size: int) -> None:
        self._unread.append(size)
        if not self._is_paused and self._is_behind():
            self._is_paused = True
            self.transport.pauseProducing()
            asyncio.get_running_loop().call_later(READ_AGAIN_SECONDS, self._read_again)

    def _is_behind(self) -> bool:
        while len(self._unread) > self.application_queue.qsize():
            self._unread.popleft()
        return len(self._unread) > MOST_UNREAD_MESSAGES or sum(self._unread) > MOST_UNREAD_BYTES

    def _read_again(self) -> None:
        if self._is_behind():
            asyncio.get_running_loop().call_later(READ_AGAIN_SECONDS, self._read_again)
        else:
            self._is_paused = False
            self.transport.resumeProducing()

    # --- outgoing messages ---

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained.clear()

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained.set()

    def stopProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._drained.set()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if self.state in {self.STATE_CLOSING, self.STATE_CLOSED}:
            # The client no longer reads; the application learns it from the disconnect message.
            return
        match message["type"]:
            case "websocket.pong":
                self.sendPong(message["payload"])
            case "websocket.close" if self.state == self.STATE_OPEN:
                self._close(message.get("code", NORMAL), message.get("reason"))
            case _:
                super().handle_reply(message)

    async def drained(self) -> None:
        """Wait until the client has read most of the data that was sent."""
        if not hasattr(self, "_drained") or self._drained.is_set():
            return
        try:
            await asyncio.wait_for(self._drained.wait(), SLOWEST_READER_SECONDS)
        except TimeoutError:
            # The client will not read the reason, but it shows in a network capture.
            self._close(TRY_AGAIN_LATER, "Nothing was read for too long")
            self._drained.set()

    def go_away(self) -> None:
        """Close the websocket because the server stops; clients reconnect later."""
        if self.state == self.STATE_OPEN:
            self._close(GOING_AWAY, "The server is stopping")

    def _close(self, code: int, reason: str | None = None) -> None:
        # `sendClose` would refuse codes that only servers send.
        self.sendCloseFrame(code=code, reasonUtf8=_short(reason), isReply=False)


def _short(reason: str | None) -> bytes | None:
    """Cut a reason to the size of a close frame."""
    return reason.encode()[:120].decode(errors="ignore").encode() if reason else None


class BoundedWebSocketFactory(WebSocketFactory):  # type: ignore[misc]  # daphne has no types
    """Creates websockets with limits on the time of a handshake, the size of a message, and silence."""

    protocol = BoundedWebSocket

    def __init__(self, server: Any, *, handshake_timeout: float) -> None:
        super().__init__(server, server=server.server_name)
        self.setProtocolOptions(
            openHandshakeTimeout=handshake_timeout,
            autoPingInterval=ASK_EVERY_SECONDS,
            autoPingTimeout=CLIENT_IS_GONE_SECONDS,
            failByDrop=False,
            maxFramePayloadSize=LONGEST_MESSAGE,
            maxMessagePayloadSize=LONGEST_MESSAGE,
        )
