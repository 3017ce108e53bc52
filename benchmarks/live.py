"""From a change of a state to the pages that show it: to a socket, to many sockets under load, and to a pixel.

Times run from the moment at which the change is sent to the API. Under load, task runs are reported in batches to the
same server, while each of the sockets shows the list of runs and the run that is changed now and then.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import shutil
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from benchmarks.batch import items
from benchmarks.http_load import Connection
from benchmarks.measuring import QUICK, empty_home, percentile, report, running_server

SOCKETS = 20 if QUICK else 100
CHANGES = 20 if QUICK else 50
RATES = (0, 300) if QUICK else (0, 300, 1000)
# Real tabs, all of which show the run that is changed.
TABS = (1,) if QUICK else (1, 20)
PAUSE_SECONDS = 0.4
BATCH_TASKS = 10
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Socket:
    """One page's socket: it shows some topics, and notes when each of them was named."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.topics: list[str] = []
        self.named: dict[str, float] = {}
        self.bytes = 0

    async def open(self, topics: list[str]) -> None:
        self.topics = topics
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = f"GET /live HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.writer.write(f"{asked}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer.split(b"\r\n")[0], answer
        content = json.dumps({"topics": topics}).encode()
        # Clients must mask; a mask of zeros changes nothing.
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
                    message = json.loads(content)
                    named = self.topics if message.get("all") else message["changed"]
                    self.named.update(dict.fromkeys(named, time.perf_counter()))

    async def close(self) -> None:
        self.listening.cancel()
        self.writer.close()


async def runs_of(api: Connection, number: int) -> list[str]:
    _, flow = await api.post("/flows/", {"name": "live"})
    made = [await api.post("/flow_runs/", {"flow_id": flow["id"]}) for _ in range(number)]
    return [run["id"] for _, run in made]


async def change(api: Connection, run: str, turn: int) -> float:
    """Change the run's state; the moment at which that was sent."""
    state = {"type": "RUNNING" if turn % 2 == 0 else "PAUSED"}
    began = time.perf_counter()
    status, answer = await api.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
    assert status == 201, answer
    return began


class Load:
    """Transitions of task runs, so many a second, from a thread of its own until the end of the block."""

    def __init__(self, url: str, rate: int, run: str) -> None:
        self.url, self.rate, self.run = url, rate, run
        self.made = 0
        self._over = threading.Event()

    def __enter__(self) -> Load:
        self.began = time.perf_counter()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.per_second = round(self.made / (time.perf_counter() - self.began))

    async def _send(self) -> None:
        if not self.rate:
            return
        api = Connection(self.url)
        await api.open()
        while not self._over.is_set():
            due = self.began + self.made / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = {"sent_at": datetime.now(UTC).isoformat(), "items": items(uuid.UUID(self.run), BATCH_TASKS)}
            status, _ = await api.post("/task_runs/transitions", body)
            self.made += len(body["items"]) if status < 300 else 0
        await api.close()


async def to_sockets(url: str, rate: int) -> dict[str, Any]:
    api = Connection(url)
    await api.open()
    probe, busy = await runs_of(api, 2)
    await change(api, busy, 0)
    topic = f"run:{probe}"
    sockets = [Socket(url) for _ in range(SOCKETS if rate else 1)]
    for socket in sockets:
        await socket.open([topic, "runs", "limits"])
    await asyncio.sleep(1)
    times: list[float] = []
    before, since = sum(socket.bytes for socket in sockets), time.perf_counter()
    with Load(url, rate, busy) as load:
        for turn in range(CHANGES):
            began = await change(api, probe, turn)
            while any(socket.named.get(topic, 0) < began for socket in sockets):
                assert time.perf_counter() < began + 30, "a socket was not told"
                await asyncio.sleep(0.002)
            times += [socket.named[topic] - began for socket in sockets]
            await asyncio.sleep(PAUSE_SECONDS)
        seconds = time.perf_counter() - since
    per_tab = (sum(socket.bytes for socket in sockets) - before) / len(sockets) / seconds
    for socket in sockets:
        await socket.close()
    await api.close()
    return {
        "sockets": len(sockets),
        "changes_per_second": load.per_second,
        "p50_ms": round(percentile(times, 0.5) * 1000),
        "p95_ms": round(percentile(times, 0.95) * 1000),
        "bytes_per_second_of_a_tab": round(per_tab),
    }


WATCH = """() => {
  window.shown = [];
  const word = () => document.querySelector("#live-head .state-word").textContent;
  let last = word();
  new MutationObserver(() => requestAnimationFrame(() => {
    if (word() !== last) window.shown.push([last = word(), Date.now()]);
  })).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


def to_a_pixel(url: str, rate: int, tabs: int) -> dict[str, Any]:
    """Tabs of a browser with the run's page, from the change to the frame that shows it; other sockets beside them."""
    from playwright.sync_api import sync_playwright

    async def prepared() -> tuple[str, str]:
        api = Connection(url)
        await api.open()
        probe, busy = await runs_of(api, 2)
        await change(api, busy, 0)
        await api.close()
        return probe, busy

    async def one_change(turn: int) -> None:
        api = Connection(url)
        await api.open()
        await change(api, probe, turn)
        await api.close()

    probe, busy = run_apart(prepared())
    times = []
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    others = SOCKETS - tabs if rate else 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        pages = [browser.new_page() for _ in range(tabs)]
        for page in pages:
            page.goto(f"{url.removesuffix('/api')}/runs/{probe}")
            page.wait_for_selector("#live-control[data-state=live]")
            page.evaluate(WATCH)
        with beside(url, others, ["runs", f"run:{probe}"]), Load(url, rate, busy) as load:
            for turn in range(CHANGES):
                began = time.time()
                run_apart(one_change(turn))
                for page in pages:
                    page.wait_for_function("count => window.shown.length >= count", arg=turn + 1)
                times += [page.evaluate("window.shown.at(-1)[1]") / 1000 - began for page in pages]
                time.sleep(PAUSE_SECONDS)
        browser.close()
    return {
        "tabs": tabs,
        "sockets": tabs + others,
        "changes_per_second": load.per_second,
        "p50_ms": round(percentile(times, 0.5) * 1000),
        "p95_ms": round(percentile(times, 0.95) * 1000),
    }


def run_apart(work: Any) -> Any:
    """Run it on a loop of its own: playwright keeps one in this thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return found[0]


@contextlib.contextmanager
def beside(url: str, number: int, topics: list[str]) -> Iterator[None]:
    """So many more sockets, until the end of the block."""
    over = threading.Event()
    ready = threading.Event()

    async def stay() -> None:
        sockets = [Socket(url) for _ in range(number)]
        for socket in sockets:
            await socket.open(topics)
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.1)
        for socket in sockets:
            await socket.close()

    thread = threading.Thread(target=lambda: asyncio.run(stay()))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    for rate in RATES:
        with empty_home() as home, running_server(home) as (url, _):
            report("live", to="socket", database="sqlite", **asyncio.run(to_sockets(url, rate)))
            for tabs in TABS if CHROMIUM else ():
                report("live", to="pixel", database="sqlite", **to_a_pixel(url, rate, tabs))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    main()
