"""Runs under a limit of their tags: who ends makes room for the next one at once, and a long line does not ask much."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.client import OrionClient
from orionflow.engine.waiting_lines import WaitingLines
from orionflow.testing import Isolated, isolated
from tests.sdk.programs import Program

# The API answers 30 s, which is too long for a test.
pytestmark = pytest.mark.timeout(25)


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Any:
    """Real time: a clock that jumps would not wait at all."""
    with isolated() as here:
        yield here


def limit(tag: str, slots: int) -> None:
    with OrionClient() as client:
        answer = client.session().post(
            f"{client.api_url}/concurrency_limits/", json={"tag": tag, "concurrency_limit": slots}
        )
    assert answer.ok


class Counted:
    """How many are in it at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: Any) -> None:
        with self.lock:
            self.now -= 1


def test_next_run_begins_when_the_one_before_ends(orion: Isolated):
    limit("one", 1)
    inside = Counted()

    @task(tags=["one"])
    def work(number: int) -> int:
        with inside:
            threading.Event().wait(0.05)
        return number

    @flow
    def outer() -> Any:
        return work.map(range(8)).result()

    assert outer() == list(range(8))
    assert inside.most == 1


async def test_coroutines_stand_in_line_too(orion: Isolated):
    limit("two", 2)
    inside = Counted()

    @task(tags=["two"])
    async def work(number: int) -> int:
        with inside:
            await asyncio.sleep(0.05)
        return number

    @flow
    async def outer() -> Any:
        return await asyncio.gather(*[work(number) for number in range(10)])

    assert await outer() == list(range(10))
    assert inside.most <= 2


def test_failed_runs_make_room_too(orion: Isolated):
    limit("one", 1)

    @task(tags=["one"])
    def fails(number: int) -> None:
        raise ValueError(number)

    @flow
    def outer() -> Any:
        return [state.name for state in fails.map(range(4)).wait()]

    assert outer() == ["Failed"] * 4


def test_room_made_by_another_process_is_found(orion: Isolated, tmp_path: Path):
    limit("one", 1)
    program = Program(
        tmp_path,
        """
        import time
        from orionflow import flow, task

        @task(tags=["one"])
        def holds():
            print("ready")
            time.sleep(1)

        @flow
        def outer():
            holds()

        outer()
        """,
    )
    program.home = orion.home

    @task(tags=["one"])
    def waits() -> str:
        return "went in"

    @flow
    def outer() -> str:
        return waits()

    with program.start() as process:
        program.wait_for_output("ready")
        value = outer()
        process.wait(30)

    assert value == "went in"


def test_runs_of_a_flow_that_queues_follow_each_other_at_once(orion: Isolated):
    inside = Counted()

    @flow(overlap="queue")
    def one_at_a_time() -> None:
        with inside:
            threading.Event().wait(0.05)

    threads = [threading.Thread(target=one_at_a_time) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert inside.most == 1


def test_only_the_first_of_a_line_is_woken():
    lines = WaitingLines()
    turns = [lines.join(frozenset({"a", "b"})) for _ in range(1000)]
    other = lines.join(frozenset({"c"}))

    lines.make_room({"b", "x"})

    assert [turn._woken.done() for turn in turns] == [True] + [False] * 999
    assert not other._woken.done()


def test_a_run_that_leaves_the_line_wakes_the_next():
    lines = WaitingLines()
    first, second, third = (lines.join(frozenset({"a"})) for _ in range(3))

    lines.leave(first)

    assert (second._woken.done(), third._woken.done()) == (True, False)


def test_the_first_waiting_run_asks_less_and_less_often_and_the_others_at_the_interval_of_the_api():
    lines = WaitingLines()
    first, second = lines.join(frozenset({"a"})), lines.join(frozenset({"a"}))

    pauses = [first.wait(30).seconds for _ in range(8)]

    assert pauses[0] <= 0.1
    assert sum(pauses) > 6
    assert max(pauses) <= 2
    assert second.wait(30).seconds >= 24


def test_a_run_whose_coroutine_is_collected_while_another_joins_leaves_its_line():
    lines = WaitingLines()
    waiting = [lines.join(frozenset({"disk"}))]

    class Key(frozenset[str]):
        """A key at which the garbage collector closes the coroutine of another run that waits."""

        def __hash__(self) -> int:
            if waiting:
                lines.leave(waiting.pop())
            return super().__hash__()

    joining = threading.Thread(target=lines.join, args=(Key({"gpu"}),), daemon=True)
    joining.start()
    joining.join(5)

    assert not joining.is_alive()
