"""The time from a change of state until pages show it: on one websocket, on many under load, and on the screen.

Times start when the change is sent to the API. Under load, task runs are reported in batches to the same server, while
each websocket shows the list of runs and the run that changes from time to time. `tabs` are pages like those of a
browser, but not drawn: they request the parts that changed, like `static/js/live.js`. `cost` is the cost of open tabs
for the server while nothing changes, and while flow runs do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.batch import items
from benchmarks.http_load import Connection
from benchmarks.measuring import QUICK, ROOT, Processors, empty_home, percentile, report, running_server
from benchmarks.tabs import Socket, Tab
from orionflow.contract.ids import uuid7

SOCKETS = 20 if QUICK else 100
CHANGES = 20 if QUICK else 50
RATES = (0, 300) if QUICK else (0, 300, 1000)
# Real tabs, which all show the changing run.
TABS = (1,) if QUICK else (1, 20)
PAUSE_SECONDS = 0.4
COST_SECONDS = 3 if QUICK else 20
MOVES_PER_SECOND = 10
# A batch has more if the sender is behind, up to the largest one of the SDK's reporter.
BATCH_TASKS, MOST_TASKS, TRANSITIONS_OF_A_TASK = 10, 333, 3
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def runs_of(api: Connection, number: int) -> list[str]:
    _, flow = await api.post("/flows/", {"name": "live"})
    made = [await api.post("/flow_runs/", {"flow_id": flow["id"]}) for _ in range(number)]
    return [run["id"] for _, run in made]


async def change(api: Connection, run: str, turn: int) -> float:
    """Change the run's state. Return the time at which the request was sent."""
    state = {"type": "RUNNING" if turn % 2 == 0 else "PAUSED"}
    began = time.perf_counter()
    status, answer = await api.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
    assert status == 201, answer
    return began


class Load:
    """Transitions of task runs at a fixed rate, sent by a child process until the end of the block."""

    def __init__(self, url: str, rate: int, run: str) -> None:
        self.url, self.rate, self.run = url, rate, run

    def __enter__(self) -> Load:
        command = [sys.executable, "-m", "benchmarks.live", "--load", self.url, str(self.rate), self.run]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        made = self._process.communicate(timeout=30)[0]
        self.per_second = round(int(made) / (time.perf_counter() - self.began))


async def send_load(url: str, rate: int, run: str) -> None:
    """Send until standard input is closed, then print the number."""
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    api = Connection(url)
    await api.open()
    print("ready", flush=True)
    began, made = time.perf_counter(), 0
    while not over.is_set():
        due = began + made / rate if rate else time.perf_counter() + 0.1
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if rate:
            behind = round((time.perf_counter() - began) * rate) - made
            tasks = min(max(BATCH_TASKS, behind // TRANSITIONS_OF_A_TASK), MOST_TASKS)
            body = {"sent_at": datetime.now(UTC).isoformat(), "items": items(uuid.UUID(run), tasks, uuid7)}
            status, _ = await api.post("/task_runs/transitions", body)
            made += len(body["items"]) if status < 300 else 0
    await api.close()
    print(made)


def messages_of_everything(sockets: Sequence[Socket]) -> int:
    return sum(socket.of_everything for socket in sockets)


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
    # Not those by which sockets without a place begin.
    to_begin = messages_of_everything(sockets)
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
        "messages_of_everything": messages_of_everything(sockets) - to_begin,
    }


# Shares of tabs by what they show: the run that changes from time to time, or pages that change all the time.
SHOWN = {"probe": 0.2, "busy": 0.3, "task-runs": 0.3, "runs": 0.2}


def tabs_showing(url: str, number: int, probe: str, busy: str) -> dict[str, list[Tab]]:
    paths = {"probe": f"/runs/{probe}", "busy": f"/runs/{busy}", "task-runs": "/task-runs", "runs": "/runs"}
    return {name: [Tab(url, paths[name]) for _ in range(round(number * share))] for name, share in SHOWN.items()}


async def to_tabs(url: str, rate: int) -> dict[str, Any]:
    """Measure tabs that request their parts, from the change to the answer that contains it."""
    api = Connection(url)
    await api.open()
    probe, busy = await runs_of(api, 2)
    await change(api, busy, 0)
    tabs = tabs_showing(url, SOCKETS, probe, busy) if rate else {"probe": [Tab(url, f"/runs/{probe}")]}
    every = [tab for of_one in tabs.values() for tab in of_one]
    for tab in every:
        await tab.load()
    await asyncio.sleep(1)
    times: list[float] = []
    missed = 0
    to_begin, since = messages_of_everything(every), time.perf_counter()
    with Load(url, rate, busy) as load:
        for turn in range(CHANGES):
            began = await change(api, probe, turn)
            while any(tab.came.get("head", 0) < began for tab in tabs["probe"]):
                if time.perf_counter() > began + 10:
                    missed += 1
                    break
                await asyncio.sleep(0.002)
            times += [max(tab.came.get("head", 0), began) - began for tab in tabs["probe"]]
            await asyncio.sleep(PAUSE_SECONDS)
        seconds = time.perf_counter() - since
    for tab in every:
        await tab.close()
    await api.close()
    return {
        "tabs": len(every),
        "changes_per_second": load.per_second,
        "p50_ms": round(percentile(times, 0.5) * 1000),
        "p95_ms": round(percentile(times, 0.95) * 1000),
        "missed": missed,
        "messages_of_everything": messages_of_everything(every) - to_begin,
        "requests_per_second": round(sum(tab.requests for tab in every) / seconds),
        "unchanged_per_second": round(sum(tab.unchanged for tab in every) / seconds),
    }


async def cost_of_tabs(url: str) -> dict[str, Any]:
    """Measure milliseconds of the server's processor per second, without and with tabs, and what each tab receives."""
    api = Connection(url)
    await api.open()
    probe, busy, *runs = await runs_of(api, 52)
    await change(api, busy, 0)
    figures = {"alone": await cost_of([], api, []), "alone_moving": await cost_of([], api, runs)}
    tabs = [tab for of_one in tabs_showing(url, SOCKETS, probe, busy).values() for tab in of_one]
    for tab in tabs:
        await tab.load()
    await asyncio.sleep(3)
    figures |= {"idle": await cost_of(tabs, api, []), "moving": await cost_of(tabs, api, runs)}
    for tab in tabs:
        await tab.close()
    await api.close()
    return {"tabs": len(tabs), "moves_per_second": MOVES_PER_SECOND, **figures}


async def cost_of(tabs: list[Tab], api: Connection, runs: list[str]) -> dict[str, float]:
    """Measure for some seconds while these runs change one after the other, or nothing does if there are none."""

    def received() -> tuple[int, int, int, int]:
        return (
            sum(tab.messages for tab in tabs),
            sum(tab.bytes for tab in tabs),
            sum(tab.requests for tab in tabs),
            sum(tab.received for tab in tabs),
        )

    processors, before, began = Processors(), received(), time.perf_counter()
    for turn in range(COST_SECONDS * MOVES_PER_SECOND):
        if runs:
            await change(api, runs[turn % len(runs)], turn // len(runs))
        await asyncio.sleep(max(0.0, began + (turn + 1) / MOVES_PER_SECOND - time.perf_counter()))
    seconds = time.perf_counter() - began
    server, _ = processors.since()
    each = [(now - then) / (len(tabs) or 1) / seconds for now, then in zip(received(), before, strict=True)]
    names = ("messages", "socket_bytes", "requests", "answer_bytes")
    return {
        "server_ms": round(server / seconds * 1000, 1),
        **dict(zip(names, (round(one, 2) for one in each), strict=True)),
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
    """Measure tabs of a browser with the run's page, from the change to the frame that shows it, beside other tabs."""
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
        with beside(url, others, probe, busy), Load(url, rate, busy) as load:
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
    """Run `work` in an event loop of another thread; playwright has one in this thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return found[0]


@contextlib.contextmanager
def beside(url: str, number: int, probe: str, busy: str) -> Iterator[None]:
    """Keep `number` other tabs open until the end of the block."""
    over = threading.Event()
    ready = threading.Event()

    async def stay() -> None:
        tabs = [tab for of_one in tabs_showing(url, number, probe, busy).values() for tab in of_one]
        for tab in tabs:
            await tab.load()
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.1)
        for tab in tabs:
            await tab.close()

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
            report("live", to="tabs", database="sqlite", **asyncio.run(to_tabs(url, rate)))
            if not rate:
                report("live", to="cost", database="sqlite", **asyncio.run(cost_of_tabs(url)))
            for tabs in TABS if CHROMIUM else ():
                report("live", to="pixel", database="sqlite", **to_a_pixel(url, rate, tabs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", nargs=3, metavar=("URL", "RATE", "RUN"), help=argparse.SUPPRESS)
    asked, _ = parser.parse_known_args()
    if asked.load:
        asyncio.run(send_load(asked.load[0], int(asked.load[1]), asked.load[2]))
    else:
        main()
