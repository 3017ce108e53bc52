"""The engine's memory of a run is bounded by bytes, not only by number."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orionflow import flow, task
from orionflow.contract.ids import uuid7
from orionflow.engine.lineage import STRONG_BYTES, Lineage
from orionflow.engine.state_counts import KEPT, StateCounts
from orionflow.errors import FailedRun
from orionflow.states import Failed, State
from orionflow.values.weights import weight_of, weight_of_frames

PROGRAM = Path(__file__).with_name("memory_program.py")
MEGABYTE = 1024 * 1024


@pytest.mark.turns
@pytest.mark.parametrize(
    "arguments",
    [
        ["text", "400"],
        pytest.param(["text", "300", "submit"], marks=pytest.mark.long),
        pytest.param(["rows", "100"], marks=pytest.mark.long),
        pytest.param(["table", "100"], marks=pytest.mark.long),
        pytest.param(["many", "100"], marks=pytest.mark.long),
        ["stored", "80"],
        ["failing", "150"],
    ],
    ids=" ".join,
)
def test_a_program_that_drops_its_results_stays_small(arguments: list[str]):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}

    ran = subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=300, env=environment
    )

    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout.split()[-1]) < 250


def kept_alive(make: Any, count: int) -> int:
    """The bytes that a table of links keeps of so many results that nobody else holds."""
    links = Lineage()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            links.add(make(number), uuid7())
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.turns
@pytest.mark.parametrize(
    "make",
    [
        lambda number: "x" * (MEGABYTE + number),
        lambda number: [["x" * MEGABYTE], [number]],
        lambda number: {"deep": {"deeper": [("x" * MEGABYTE, number)]}},
        lambda number: [str(number) * 20 + str(part) for part in range(900)],
        lambda number: [[str(number) * 20 + str(part)] for part in range(3_000)],
        lambda number: {part: str(number) * 30 + str(part) for part in range(2_000)},
        lambda number: (number, bytes(MEGABYTE)),
    ],
)
def test_links_keep_alive_no_more_than_they_may(make: Any):
    assert kept_alive(make, 100) < 1.5 * STRONG_BYTES


def test_the_newest_results_are_linked_and_one_too_large_is_not():
    links = Lineage()
    old, new, huge = ["x" * (10 * MEGABYTE)], ["y" * (10 * MEGABYTE)], ["z" * (20 * MEGABYTE)]

    assert links.add(old, UUID(int=1))
    assert links.add(new, UUID(int=2))
    assert not links.add(huge, UUID(int=3))

    assert links.source_of(new) == links.source_of(new[0]) == UUID(int=2)
    assert links.source_of(old) is links.source_of(old[0]) is links.source_of(huge) is None


def test_a_result_that_holds_a_value_twice_is_forgotten_once():
    links, part = Lineage(), "p" * 100

    links.add([part, part], UUID(int=1))
    for number in range(3):
        links.add("x" * (10 * MEGABYTE + number), UUID(int=2))

    assert links.source_of(part) is None


def failure(number: int) -> State[Any]:
    def works(size: int) -> None:
        work = bytearray(size)
        raise ValueError(f"{number} of {len(work)}")

    try:
        works(MEGABYTE)
    except ValueError as error:
        return Failed(message=f"The task raised ValueError: {number}", value=error)
    raise AssertionError


def test_a_tally_keeps_the_exceptions_of_many_failures_without_all_their_frames():
    tally = StateCounts()
    tracemalloc.start()
    try:
        for number in range(KEPT):
            tally.add(failure(number))
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert used < 1.5 * STRONG_BYTES
    assert len(tally.not_completed) == KEPT
    assert isinstance(tally.not_completed[0].result(raise_on_failure=False), ValueError)
    last = tally.not_completed[-1].result(raise_on_failure=False)
    assert isinstance(last, FailedRun)
    assert "ValueError: 99" in str(last)


def test_small_failures_keep_their_exceptions():
    @task
    def bad(number: int) -> None:
        raise ValueError(number)

    @flow
    def outer() -> None:
        for number in range(20):
            bad(number, return_state=True)

    states = outer(return_state=True).value

    assert [state.result(raise_on_failure=False).args for state in states] == [(number,) for number in range(20)]


def test_values_of_unknown_size_count_as_too_large():
    class Odd:
        def __sizeof__(self) -> int:
            raise RuntimeError("no")

    assert weight_of([Odd()]) > STRONG_BYTES
    assert not Lineage().add([Odd()], UUID(int=1))


def test_frames_of_causes_are_weighed():
    error = RuntimeError("because of another")
    error.__cause__ = failure(1).value

    assert weight_of_frames(error) > MEGABYTE
