"""Pages as clients of a server: their websocket alone, and a tab that requests the parts that changed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import json
import os
import re
import struct
import time
from typing import Any
from urllib.parse import urlsplit

PART = re.compile(r'id="live-([\w-]+)" data-live="([^"]*)" data-live-part="[^"]*" data-live-from="([^"]*)"')
PLACE = re.compile(r'data-live-place="([^"]*)"')


class Socket:
    """The websocket of a page: it shows some topics, and records when a message named each of them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.topics: list[str] = []
        self.named: dict[str, float] = {}
        self.bytes = self.messages = 0
        # Messages that named no topics: refresh everything. Task runs alone must cause none.
        self.of_everything = 0

    async def open(self, topics: list[str]) -> None:
        self.topics = topics
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = f"GET /live HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.writer.write(f"{asked}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer.split(b"\r\n")[0], answer
        content = json.dumps({"topics": topics}).encode()
        # Clients must mask data; a mask of zeros does not change it.
        size = len(content)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
        self.writer.write(head + bytes(4) + content)
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, size = struct.unpack("!BB", await self.reader.readexactly(2))
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                content = await self.reader.readexactly(size)
                self.bytes += size
                if kind & 0x0F == 9:
                    self.writer.write(struct.pack("!BB", 0x8A, 0x80 | size) + bytes(4) + content)
                elif kind & 0x0F == 1:
                    self.receive(json.loads(content))

    def receive(self, message: dict[str, Any]) -> None:
        self.messages += 1
        self.of_everything += bool(message.get("all"))
        named = self.topics if message.get("all") else message["changed"]
        self.named.update(dict.fromkeys(named, time.perf_counter()))

    async def close(self) -> None:
        self.listening.cancel()
        self.writer.close()


class Tab(Socket):
    """An open page that is not drawn: it requests the parts that a message names, and records when each arrives."""

    def __init__(self, url: str, path: str) -> None:
        super().__init__(url)
        self.path = path
        self.place = ""
        self.parts: dict[str, tuple[set[str], str]] = {}
        self.etags: dict[str, str] = {}
        self.came: dict[str, float] = {}
        self.requests = self.unchanged = self.received = 0
        self._dirty: set[str] = set()
        self._woken = asyncio.Event()

    async def load(self) -> None:
        self._ways = await asyncio.open_connection(self.host, self.port)
        _, _, page = await self._get(self.path, {})
        text = page.decode()
        found = PART.findall(text)
        self.parts = {name: (set(topics.split()), html.unescape(query)) for name, topics, query in found}
        self.place = PLACE.findall(text)[0]
        await self.open(sorted({topic for topics, _ in self.parts.values() for topic in topics}))
        self.asking = asyncio.create_task(self._ask())

    def receive(self, message: dict[str, Any]) -> None:
        super().receive(message)
        self.place = message["at"]
        changed = set(message.get("changed", ()))
        self._dirty |= {name for name, (topics, _) in self.parts.items() if message.get("all") or topics & changed}
        if self._dirty:
            self._woken.set()

    async def _ask(self) -> None:
        """Request parts like the script: a quarter of a second apart, or more if answers take long."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            asked, self._dirty = sorted(self._dirty), set()
            began = time.perf_counter()
            query = f"{self.parts[asked[0]][1]}&_f={','.join(asked)}"
            headers = {"Orion-Live": self.place}
            if all(name in self.etags for name in asked):
                headers["If-None-Match"] = 'W/"' + ".".join(self.etags[name] for name in asked) + '"'
            status, lines, _ = await self._get(self.path + query, headers)
            now = time.perf_counter()
            self.requests += 1
            if status == 200:
                etags = re.findall(r'etag: w/"([^"]*)"', lines)[0].split(".")
                self.etags |= dict(zip(asked, etags, strict=True))
                self.came |= dict.fromkeys(asked, now)
            self.unchanged += status == 304
            if status == 503:
                self._dirty |= set(asked)
                self._woken.set()
            await asyncio.sleep(max(0.25, 2 * (now - began)))

    async def _get(self, path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        reader, writer = self._ways
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{lines}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.findall(r"content-length: (\d+)", head)
        self.received += len(head) + int(length[0] if length else 0)
        return int(head.split()[1]), head, await reader.readexactly(int(length[0]) if length else 0)

    async def close(self) -> None:
        self.asking.cancel()
        self._ways[1].close()
        await super().close()
