"""The next attempt of a flow run takes up what was done before with the same inputs, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orionflow import allow_failure, flow, task
from orionflow.testing import logs_of, states_of, task_runs_of
from tests.rounds import examples
from tests.sdk.attempts import Attempts, upper


def test_a_shorter_list_in_the_next_attempt_gets_the_values_of_its_own_items():
    attempts = Attempts(["a", "b", "c", "d"], ["c", "d"])
    work = upper(attempts)

    @flow(retries=1)
    def outer() -> list[Any]:
        values = []
        for x in attempts.next():
            values.append(work(x))
            if x == "b":
                attempts.end()
        return values

    state = outer(return_state=True)

    assert state.result() == [("c", "C"), ("d", "D")]
    assert attempts.done == ["a", "b", "c", "d"]
    assert [states_of(run) for run in task_runs_of(state)] == [["Pending", "Running", "Completed"]] * 4


def test_finished_calls_are_not_repeated_in_another_order():
    attempts = Attempts(["a", "b", "c"], ["c", "b", "a", "b"])
    work = upper(attempts)

    @flow(retries=1)
    def outer() -> list[Any]:
        values = [work(x) for x in attempts.next()]
        attempts.end()
        return values

    assert outer() == [("c", "C"), ("b", "B"), ("a", "A"), ("b", "B")]
    assert attempts.done == ["a", "b", "c", "b"]


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_calls_are_found_again_for_every_way_to_call_the_task(how: str):
    attempts = Attempts([1, 2, 3], [3, 4])
    work = upper(attempts)

    def called(items: list[int]) -> list[Any]:
        match how:
            case "submit":
                return [future.result() for future in [work.submit(x) for x in items]]
            case "map":
                return work.map(items).result()
        return [work(x) for x in items]

    @flow(retries=1)
    def outer() -> list[Any]:
        values = called(attempts.next())
        attempts.end()
        return values

    assert outer() == [(3, "3"), (4, "4")]
    assert sorted(attempts.done) == [1, 2, 3, 4]


def test_subflows_are_found_by_their_parameters():
    attempts = Attempts(["a", "b"], ["b", "c"])

    @flow
    def child(x: str) -> str:
        attempts.done.append(x)
        return x.upper()

    @flow(retries=1)
    def parent() -> list[str]:
        values = [child(x) for x in attempts.next()]
        attempts.end()
        return values

    assert parent() == ["B", "C"]
    assert attempts.done == ["a", "b", "c"]


def test_gathered_tasks_whose_order_depends_on_timing_keep_their_values():
    attempts = Attempts([1, 2, 3, 4], [4, 3, 2, 1])

    @task
    async def fetch(x: int) -> int:
        attempts.done.append(x)
        return x * 10

    async def one(x: int, turn: int) -> int:
        for _ in range(turn):
            await asyncio.sleep(0)
        return await fetch(x)

    @flow(retries=1)
    async def outer() -> dict[int, int]:
        order = attempts.next()
        values = await asyncio.gather(*[one(x, order.index(x) * 3) for x in (1, 2, 3, 4)])
        attempts.end()
        return dict(zip((1, 2, 3, 4), values, strict=True))

    assert asyncio.run(outer()) == {1: 10, 2: 20, 3: 30, 4: 40}
    assert sorted(attempts.done) == [1, 2, 3, 4]


def test_another_branch_runs_what_it_calls():
    attempts = Attempts("left", "right")
    work = upper(attempts)

    @flow(retries=1)
    def outer() -> Any:
        branch = attempts.next()
        value = work({"side": branch, "parts": [branch]})
        attempts.end()
        return value[0]["side"]

    assert outer() == "right"


def test_a_value_from_another_run_is_an_input_like_any_other():
    attempts = Attempts(1, 2)
    work = upper(attempts)

    @task
    def source(x: int) -> int:
        return x

    @flow(retries=1)
    def outer() -> Any:
        number = attempts.next()
        value = work.submit(source.submit(number)).result(), work(source.submit(number))
        attempts.end()
        return value

    assert outer() == ((2, "2"), (2, "2"))
    assert attempts.done == [1, 1, 2, 2]


def test_a_failure_that_was_allowed_is_an_input_too():
    attempts = Attempts("fails", "works")

    @task
    def shaky(how: str) -> str:
        if attempts.begun == 1:
            raise ValueError(how)
        return how

    @task
    def look(x: Any) -> str:
        return type(x).__name__

    @flow(retries=1)
    def outer() -> str:
        attempts.next()
        seen = look(allow_failure(shaky.submit("same")))
        attempts.end()
        return seen

    assert outer() == "str"


def test_methods_of_different_objects_are_different():
    attempts = Attempts(2, 3)

    class Scaler:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task
        def scale(self, x: int) -> int:
            return x * self.factor

    @flow(retries=1)
    def outer() -> int:
        value = Scaler(attempts.next()).scale(10)
        attempts.end()
        return value

    assert outer() == 30


def test_tasks_made_in_the_flow_differ_by_what_they_enclose():
    attempts = Attempts(2, 3)

    @flow(retries=1)
    def outer() -> int:
        factor = attempts.next()

        @task
        def scale(x: int) -> int:
            return x * factor

        value = scale(10)
        attempts.end()
        return value

    assert outer() == 30


def test_a_task_made_in_the_flow_is_found_again_after_changes_of_its_variables():
    attempts, written = Attempts(1, 2), []

    @flow(retries=1)
    def outer() -> int:
        attempts.next()

        @task
        def note(x: int) -> int:
            written.append(x)
            return x

        value = note(5)
        attempts.end()
        return value

    assert outer() == 5
    assert written == [5]


def test_a_task_is_found_again_after_changes_of_a_function_that_it_calls():
    attempts = Attempts(1, 2)

    def helper(x: int) -> int:
        helper.seen += 1  # type: ignore[attr-defined]
        return x

    helper.seen = 0  # type: ignore[attr-defined]

    @flow(retries=1)
    def outer() -> int:
        attempts.next()

        def own(x: int) -> int:
            own.last = helper(x)  # type: ignore[attr-defined]
            return x

        @task
        def note(x: int) -> int:
            attempts.done.append(x)
            return own(x)

        value = note(5)
        attempts.end()
        return value

    assert outer() == 5
    assert attempts.done == [5]


def test_inputs_that_cannot_be_compared_run_again_with_a_line_in_the_log():
    attempts = Attempts(1, 2)

    @task
    def use(lock: Any) -> int:
        attempts.done.append("used")
        return attempts.begun

    @flow(retries=1)
    def outer() -> int:
        attempts.next()
        value = use(threading.Lock())
        attempts.end()
        return value

    state = outer(return_state=True)

    assert state.result() == 2
    assert attempts.done == ["used", "used"]
    messages = [line.message for line in logs_of(state) if "lock=lock" in line.message]
    assert len(messages) == 1
    assert len(task_runs_of(state)) == 2


def test_refreshed_tasks_run_in_each_attempt():
    attempts = Attempts(1, 2, 3)
    work = upper(attempts, refresh_cache=True)

    @flow(retries=2)
    def outer() -> Any:
        attempts.next()
        value = work("x")
        attempts.end()
        return value

    state = outer(return_state=True)

    assert state.result() == ("x", "X")
    assert attempts.done == ["x", "x", "x"]


def test_failed_runs_are_continued_by_the_call_with_the_same_inputs():
    attempts = Attempts(["a", "b", "c"], ["c", "a", "b"])

    @task
    def work(x: str) -> str:
        attempts.done.append(x)
        if x == "b" and attempts.begun == 1:
            raise ValueError(x)
        return x.upper()

    @flow(retries=1)
    def outer() -> list[str]:
        return [work(x) for x in attempts.next()]

    state = outer(return_state=True)

    assert state.result() == ["C", "A", "B"]
    assert attempts.done == ["a", "b", "c", "b"]
    assert sorted(states_of(run)[-2:] for run in task_runs_of(state)) == [
        ["Retrying", "Completed"],
        ["Running", "Completed"],
        ["Running", "Completed"],
    ]


def test_runs_that_store_nothing_are_not_continued_by_calls_with_other_inputs():
    attempts = Attempts(["a", "b"], ["b", "c"])
    work = upper(attempts, persist_result=False)

    @flow(retries=1)
    def outer() -> list[Any]:
        values = [work(x) for x in attempts.next()]
        attempts.end()
        return values

    state = outer(return_state=True)

    assert state.result() == [("b", "B"), ("c", "C")]
    assert attempts.done == ["a", "b", "b", "c"]
    assert sorted(len(states_of(run)) for run in task_runs_of(state)) == [3, 3, 5]


WAYS = ("call", "submit", "future", "map", "subflow")
ARGUMENTS = st.sampled_from([0, 1, True, 1.0, -0.0, "1", b"1", None, [1], (1,), {"a": 1}, {1}, [[1], {"b": (2,)}]])
STEPS = st.tuples(st.sampled_from(WAYS), ARGUMENTS)
PROGRAMS = st.lists(st.lists(STEPS, max_size=5), min_size=2, max_size=3)


def as_text(x: Any) -> str:
    """A text that tells values apart that Python calls equal."""
    return f"{type(x).__name__} {x!r}"


@examples(6, 100)
@given(program=PROGRAMS)
@example(program=[[(way, 1) for way in WAYS], [(way, x) for way in WAYS for x in (True, 1)]])
def test_each_call_of_each_attempt_gets_the_value_of_its_own_arguments(program: list[list[Any]]):
    attempts = Attempts(*program)

    @task
    def work(x: Any) -> str:
        attempts.done.append(("task", as_text(x)))
        return as_text(x)

    @task
    def handed(x: Any) -> Any:
        return x

    @flow(validate_parameters=False)
    def child(x: Any) -> str:
        attempts.done.append(("flow", as_text(x)))
        return as_text(x)

    ways: dict[str, Callable[[Any], Any]] = {
        "call": work,
        "submit": lambda x: work.submit(x).result(),
        "future": lambda x: work.submit(handed.submit(x)).result(),
        "map": lambda x: work.map([x]).result()[0],
        "subflow": child,
    }

    @flow(retries=len(program) - 1)
    def outer() -> list[str]:
        values = [ways[how](x) for how, x in attempts.next()]
        attempts.end()
        return values

    state = outer(return_state=True)

    assert state.result() == [as_text(x) for _, x in program[-1]] if program[-1] else state.is_completed()
    wanted = [Counter(("flow" if how == "subflow" else "task", as_text(x)) for how, x in plan) for plan in program]
    most = {call: max(plan[call] for plan in wanted) for plan in wanted for call in plan}
    assert Counter(attempts.done) == most
