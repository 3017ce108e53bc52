"""Open tabs after an interruption: frozen, cut off from the server, or with a clock that jumped, they catch up."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import post
from tests.browser.test_convergence import make_runs, pages_of, storm
from tests.browser.test_live import HIDE
from tests.site.running import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.everywhere, pytest.mark.timeout(300)]

PATIENCE = 60_000
# Shorter than the minute after which a page looks again whether anything changed, so that it must have noticed.
CAUGHT_UP_SECONDS = 30
HOUR = 3_600_000
# What a page shows, but for what changes with the time alone.
SHOWN = """() => [...document.querySelectorAll("[data-live]")].map((part) => {
  const copy = part.cloneNode(true);
  const passing = "time, svg, .when, .number, [data-seconds], input, progress, figure";
  for (const one of copy.querySelectorAll(passing)) one.remove();
  return [part.id, copy.textContent.replace(/\\s+/g, " ").trim()];
})"""
CLOCK = """{
  const now = Date.now;
  let ahead = 0;
  Date.now = () => now.call(Date) + ahead;
  window.jump = (by) => { ahead += by; };
}"""
# The longest time in ms for which the page did nothing.
BEATS = """{
  let last = performance.now();
  window.longest = 0;
  setInterval(() => {
    window.longest = Math.max(window.longest, performance.now() - last);
    last = performance.now();
  }, 20);
}"""


class Cable:
    """A port that leads to the server, and can be cut."""

    def __init__(self, server: RunningServer) -> None:
        self._target = ("127.0.0.1", server.port)
        self._ends: list[socket.socket] = []
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=work, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def cut(self) -> None:
        self._is_cut = True
        self._drop()

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()
        for thread in self._threads:
            thread.join(10)

    def _drop(self) -> None:
        ends, self._ends = self._ends, []
        for one in ends:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    self._start(self._carry, source, sink)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as server:
        yield server


@contextmanager
def opened(context: BrowserContext, paths: list[str]) -> Iterator[list[Page]]:
    with ExitStack() as stack:
        tabs = [stack.enter_context(context.new_page()) for _ in paths]
        for tab, path in zip(tabs, paths, strict=True):
            tab.goto(path)
            expect(tab.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
        yield tabs


def shown(page: Page) -> object:
    new = page.get_by_role("button", name=re.compile("new .*: show"))
    if new.count():
        new.first.click()
    return page.evaluate(SHOWN)


def wait_until_fresh(context: BrowserContext, tabs: list[Page]) -> None:
    """Until each tab shows what a page shows that is opened now."""
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    with context.new_page() as fresh:
        for tab in tabs:
            while True:
                fresh.goto(tab.url)
                expected, found = fresh.evaluate(SHOWN), shown(tab)
                if found == expected:
                    break
                assert time.monotonic() < deadline, f"{tab.url}:\n{json.dumps(found)}\n{json.dumps(expected)}"
                tab.wait_for_timeout(300)


@contextmanager
def frozen(tab: Page) -> Iterator[None]:
    """No script runs, as in a machine that sleeps; `Page.setWebLifecycleState` does nothing without a window."""
    session = tab.context.new_cdp_session(tab)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    try:
        yield
    finally:
        session.send("Debugger.disable")
        session.detach()


def paths_of(runs: list[str], flow: str) -> list[str]:
    wanted = ("/runs", f"/flows/{flow}", f"/runs/{runs[0]}?tab=tasks", f"/runs/{runs[1]}?tab=history")
    return [one for one in pages_of(runs, flow) if one in wanted]


@pytest.mark.parametrize("is_hidden", [False, True], ids=["asleep", "in the background"])
def test_a_tab_that_was_frozen_in_a_storm_equals_a_fresh_page(
    chromium: Browser, server: RunningServer, is_hidden: bool
):
    runs, flow = make_runs(server, 6)
    with chromium.new_context(base_url=f"http://127.0.0.1:{server.port}") as context:
        context.add_init_script(BEATS)
        with opened(context, paths_of(runs, flow)) as tabs:
            for tab in tabs:
                tab.evaluate(HIDE, is_hidden)
            with ExitStack() as stack:
                for tab in tabs:
                    stack.enter_context(frozen(tab))
                began = time.monotonic()
                storm(server, runs, 4)
                took = time.monotonic() - began
            for tab in tabs:
                tab.evaluate(HIDE, False)

            wait_until_fresh(context, tabs)

            # They were still all through the storm.
            assert min(tab.evaluate("window.longest") for tab in tabs) >= 900 * took


def test_a_tab_that_was_cut_off_in_a_storm_equals_a_fresh_page(chromium: Browser, server: RunningServer):
    runs, flow = make_runs(server, 6)
    with (
        closing(Cable(server)) as cable,
        chromium.new_context(base_url=f"http://127.0.0.1:{cable.port}") as context,
        opened(context, paths_of(runs, flow)) as tabs,
    ):
        storm(server, runs, 1)
        cable.cut()
        storm(server, runs, 4)
        for tab in tabs:
            expect(tab.locator("#live-control")).not_to_have_attribute("data-state", "live", timeout=PATIENCE)
        cable.mend()

        wait_until_fresh(context, tabs)

        for tab in tabs:
            expect(tab.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_tab_whose_clock_jumped_in_a_storm_equals_a_fresh_page(chromium: Browser, server: RunningServer, hours: int):
    runs, flow = make_runs(server, 6)
    with chromium.new_context(base_url=f"http://127.0.0.1:{server.port}") as context:
        context.add_init_script(CLOCK)
        with opened(context, paths_of(runs, flow)) as tabs:
            storm(server, runs, 1)
            for tab in tabs:
                tab.evaluate("(by) => window.jump(by)", hours * HOUR)
            storm(server, runs, 4)

            wait_until_fresh(context, tabs)

            post(server, f"/flow_runs/{runs[0]}/set_state", state={"type": "FAILED"}, force=True)
            wait_until_fresh(context, tabs)
            for tab in tabs:
                expect(tab.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
