"""Runs that ask for input with the one client are answered with the other, and values pass between them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow import OrionClient, flow, pause_flow_run, receive_input, resume_flow_run, send_input
from orionflow.errors import OrchestrationRefused
from orionflow.input import RunInput
from orionflow.reporting import close_reporters
from tests.compat.client import PYTHON, needs_client
from tests.site.running import RunningServer

PROGRAM = Path(__file__).with_name("input_program.py")
PATIENCE_SECONDS = 60

pytestmark = [pytest.mark.slow, needs_client]


class Order(RunInput):
    pieces: int
    colour: str = "red"


@pytest.fixture(autouse=True)
def orion(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both clients speak to the same server."""
    for name, value in (("API_URL", f"http://127.0.0.1:{server.port}/api"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(f"ORION_{name}", value)
        monkeypatch.setenv(f"PREFECT_{name}", value)
    yield
    close_reporters()


def theirs(word: str, *arguments: str) -> Any:
    """Run the other client's program; return the JSON that it printed."""
    ended = subprocess.run(
        [str(PYTHON), str(PROGRAM), word, *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


class Beside:
    """Work in a thread, and its result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.came: Any = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        self.came = work()

    def outcome(self) -> Any:
        self._thread.join(PATIENCE_SECONDS)
        return self.came


def run_of(name: str, state: str) -> str:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with OrionClient() as client:
            found = client.read_flow_runs(
                flows={"name": {"any_": [name]}}, flow_runs={"state": {"type": {"any_": [state]}}}
            )
        if found:
            return str(found[0].id)
        time.sleep(0.1)
    raise AssertionError(f"no run of {name} is {state}")


def test_their_client_answers_our_pause():
    @flow
    def ours_asking() -> tuple[int, str]:
        model = Order.with_initial_data("How many?", colour="green")
        order = pause_flow_run(wait_for_input=model, timeout=60, poll_interval=0.2)
        return order.pieces, order.colour

    answering = Beside(lambda: theirs("resume", run_of("ours-asking", "PAUSED"), '{"pieces": 4}'))

    assert ours_asking() == (4, "green")
    assert answering.outcome() == "resumed"


def answer(run: Any, value: dict[str, Any]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return resume_flow_run(run, run_input=value)
        except OrchestrationRefused as error:
            if "which input it waits for" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_we_answer_their_pause():
    asking = Beside(lambda: theirs("asking"))

    # Prefect's client pauses first, and sends what it asks for a moment later.
    answer(run_of("asking", "PAUSED"), {"pieces": 3})

    assert asking.outcome() == {"pieces": 3, "colour": "green"}


def test_their_values_reach_us_and_are_answered():
    @flow
    def ours_receiving() -> list[int]:
        from orionflow.runtime import flow_run

        sending.append(Beside(lambda run=flow_run.id: theirs("sending", run)))
        number = receive_input(int, timeout=30, poll_interval=0.2, with_metadata=True).next()
        order = Order.receive(timeout=30, poll_interval=0.2).next()
        order.respond(order.pieces + number.value)
        return [number.value, order.pieces]

    sending: list[Beside] = []

    assert ours_receiving() == [5, 6]
    assert sending[0].outcome() == 11


def test_our_values_reach_them():
    receiving = Beside(lambda: theirs("receiving"))
    run = run_of("receiving", "RUNNING")

    send_input(1, run)
    Order(pieces=2).send_to(run)

    assert receiving.outcome() == [1, 2]
