"""Open pages without a browser: each has the socket of a page and asks for its parts, as `static/js/live.js` does."""

from __future__ import annotations

import contextlib
import html
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from orion_site.live.pages import PASSING, PLACE_HEADER
from tests.sockets.wire import Refused, Wire

PART = re.compile(r'<\w+ id="live-[^"]*" data-live="([^"]*)" data-live-part="([^"]*)" data-live-from="([^"]*)"([^>]*)>')
PLACE = re.compile(r'data-live-place="([^"]*)"')
AGAIN_SECONDS = 0.2
# Drawn along a time that passes: no two of them are the same.
PASSING_PARTS = {"plot"}


class Tab:
    """One open page: the parts that follow topics, and how each of them was last shown."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.requests = self.restarts = 0
        page, place = self._page()
        self.place = place
        # A log grows at its end, and is requested line by line.
        self.parts = [
            (set(html.unescape(topics).split()), name, html.unescape(query))
            for topics, name, query, more in PART.findall(page)
            if "data-live-append" not in more and name not in PASSING_PARTS
        ]
        self.shown: dict[str, str] = {}
        self._etags: dict[str, str] = {}
        self._is_over = False
        self._wire: Wire | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _page(self) -> tuple[str, str]:
        status, _, page = self._get(self.path)
        assert status == 200, (self.path, status)
        place = PLACE.search(page)
        assert place, self.path
        return page, place[1]

    def _get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()

    # --- what it shows ---

    def differs_from_a_fresh_page(self) -> list[str]:
        """The names of the parts that are shown otherwise than a page shows them that is opened now."""
        page = settled(self._page()[0])
        return [f"{self.path}: {name}" for name, shown in self.shown.items() if shown not in page]

    # --- the socket ---

    def open(self) -> None:
        for _, name, query in self.parts:
            self._ask(name, query)
        self._thread.start()

    def close(self) -> None:
        self._is_over = True
        if self._wire is not None:
            with contextlib.suppress(OSError):
                self._wire.connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(90)

    def _follow(self) -> None:
        while not self._is_over:
            # The server may be unreachable for a while.
            with contextlib.suppress(OSError, EOFError, Refused, ValueError, http.client.HTTPException):
                self._listen()
            self.restarts += 1
            time.sleep(AGAIN_SECONDS)

    def _listen(self) -> None:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection,
            contextlib.closing(Wire(connection)) as self._wire,
        ):
            self._wire.handshake("/live", self.port, {})
            topics = sorted(set().union(*(topics for topics, *_ in self.parts)))
            self._wire.send_json({"topics": topics, "since": self.place})
            while not self._is_over:
                message = self._wire.next_json()
                changed = set(message.get("changed", ()))
                for topics, name, query in self.parts:
                    if message.get("all") or changed & topics:
                        self._ask(name, query, message["at"])
                # Only now: if the connection is lost before, what changed is asked for again.
                self.place = message.get("since", message["at"])

    def _ask(self, name: str, query: str, place: str = "") -> None:
        headers = {PLACE_HEADER: place} if place else {}
        if name in self._etags:
            headers["If-None-Match"] = self._etags[name]
        path = f"{self.path.partition('?')[0]}{query}&{urlencode({'_f': name})}"
        status, found, text = self._get(path, **headers)
        self.requests += 1
        if status == 200:
            self.shown[name], self._etags[name] = settled(text), found["etag"]
        elif status != 304:
            raise http.client.HTTPException(status)


def settled(page: str) -> str:
    """The page without what differs on each request: times that scripts update, and tokens of forms."""
    return PASSING.sub(b"", page.encode()).decode()


@contextlib.contextmanager
def open_tabs(port: int, paths: list[str]) -> Iterator[list[Tab]]:
    tabs = [Tab(port, path) for path in paths]
    try:
        for tab in tabs:
            tab.open()
        yield tabs
    finally:
        for tab in tabs:
            tab.close()


def wait_until_all_are_true(tabs: list[Tab], patience: float) -> None:
    """Until each tab shows what a fresh page of its address shows."""
    deadline = time.monotonic() + patience
    while differing := [one for tab in tabs for one in tab.differs_from_a_fresh_page()]:
        assert time.monotonic() < deadline, differing[:10]
        time.sleep(0.5)
