"""The smallest websocket client: what goes over the wire is visible, and nothing is read that is not asked for."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class Wire:
    """One open connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._read = connection.makefile("rb")

    def close(self) -> None:
        self._read.close()

    def handshake(self, path: str, port: int, headers: dict[str, str]) -> None:
        asked = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
        self.connection.sendall("\r\n".join(lines).encode())
        status = int(self._read.readline().split()[1])
        while self._read.readline().strip():
            pass
        if status != 101:
            raise Refused(status)

    def send(self, content: bytes, kind: int = TEXT) -> None:
        """A whole frame. Clients must mask; a mask of zeros changes nothing."""
        size = len(content)
        if size < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
        self.connection.sendall(head + bytes(4) + content)

    def send_json(self, content: Any) -> None:
        self.send(json.dumps(content).encode())

    def next_message(self) -> tuple[int, bytes]:
        """The kind and the content of the next frame."""
        kind, size = struct.unpack("!BB", self._exactly(2))
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        return kind & 0x0F, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        content = self._read.read(size)
        if len(content) < size:
            raise EOFError
        return content

    def next_json(self) -> Any:
        kind, content = self.next_message()
        while kind == PING:
            self.send(content, PONG)
            kind, content = self.next_message()
        assert kind == TEXT, (kind, content)
        return json.loads(content)

    def close_code(self) -> int:
        """Read on until the server closes."""
        while True:
            kind, content = self.next_message()
            if kind == CLOSE:
                (code,) = struct.unpack("!H", content[:2])
                return int(code)

    def ping(self) -> None:
        payload = os.urandom(4)
        self.send(payload, PING)
        assert self.next_message() == (PONG, payload)

    def introduce(self, request: dict[str, Any]) -> None:
        self.send_json({"type": "auth", "token": None})
        assert self.next_json() == {"type": "auth_success"}
        self.send_json(request)


@contextmanager
def connected(port: int, path: str, *, buffer: int | None = None, **headers: str) -> Iterator[Wire]:
    """An accepted websocket. Raises Refused. `buffer` bounds what the system reads ahead."""
    with socket.socket() as connection:
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        with closing(Wire(connection)) as wire:
            wire.handshake(path, port, headers)
            yield wire
