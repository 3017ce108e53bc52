"""The next attempt of a flow run takes up what was done before with the same inputs, and nothing else."""

from __future__ import annotations

import asyncio
import copy
import functools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from orionflow import Flow, OrionClient, allow_failure, flow, resume_flow_run, suspend_flow_run, task
from orionflow.calls import Call
from orionflow.engine.invoke import call_flow_for_run
from orionflow.states import Completed, Pending, State
from orionflow.testing import logs_of, states_of, task_runs_of
from tests.rounds import examples


class Attempts:
    """The differences from attempt to attempt, and the work that was really done."""

    def __init__(self, *plans: Any) -> None:
        self.plans = list(plans)
        self.begun = 0
        self.done: list[Any] = []

    def next(self) -> Any:
        self.begun += 1
        return self.plans[min(self.begun, len(self.plans)) - 1]

    @property
    def is_last(self) -> bool:
        return self.begun >= len(self.plans)

    def end(self) -> None:
        if not self.is_last:
            raise RuntimeError(f"attempt {self.begun} fails")


def upper(attempts: Attempts, **options: Any) -> Any:
    @task(name="upper", **options)
    def upper(x: Any) -> Any:
        attempts.done.append(x)
        return x, str(x).upper()

    return upper


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


def test_what_was_done_before_is_not_done_again_in_another_order():
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
def test_however_the_task_is_called(how: str):
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


def test_a_task_made_in_the_flow_is_found_again_whatever_it_wrote_down():
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


def test_a_task_is_found_again_whatever_was_written_into_a_function_that_it_calls():
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
    told = [line.message for line in logs_of(state) if "lock=lock" in line.message]
    assert len(told) == 1
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


@pytest.mark.parametrize("how", ["call", "submit", "method"])
@pytest.mark.parametrize("persist", [True, None])
def test_a_task_that_changes_its_arguments_changes_them_in_each_attempt(how: str, persist: bool | None):
    attempts = Attempts(1, 2)

    class Steps:
        @task(persist_result=persist)
        def enrich(self, rows: list[Any]) -> None:
            attempts.done.append("enrich")
            rows.append({"enriched": len(rows)})

    @task(persist_result=persist)
    def enrich(rows: list[Any]) -> None:
        attempts.done.append("enrich")
        rows.append({"enriched": len(rows)})

    @task(persist_result=persist)
    def count(rows: list[Any]) -> int:
        attempts.done.append("count")
        return len(rows)

    ways: dict[str, Callable[[list[Any]], Any]] = {
        "call": enrich,
        "submit": lambda rows: enrich.submit(rows).result(),
        "method": Steps().enrich,
    }

    @flow(retries=1)
    def outer() -> list[Any]:
        attempts.next()
        rows: list[Any] = ["a"]
        ways[how](rows)
        counted = count(rows)
        attempts.end()
        return [*rows, counted]

    state = outer(return_state=True)

    assert state.result() == ["a", {"enriched": 1}, 2]
    # What left its arguments alone is not done again.
    assert Counter(attempts.done) == {"enrich": 2, "count": 1}
    assert any("changed its arguments" in line.message for line in logs_of(state))


class Clerk:
    """Counts what it does, in itself."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, x: int) -> int:
        self.numbers.append(x)
        return len(self.numbers)

    count = task(__call__, name="count")
    count_below = flow(__call__, name="count-below")


def _partial_of_a_clerk(clerk: Clerk) -> Any:
    return task(functools.partial(lambda numbers, x: numbers.append(x) or len(numbers), clerk.numbers), name="partial")


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(lambda clerk: clerk.count, id="method"),
        pytest.param(lambda clerk: lambda x: clerk.count.submit(x).result(), id="submitted method"),
        pytest.param(lambda clerk: clerk.count_below, id="method that is a flow"),
        pytest.param(lambda clerk: task(clerk, name="clerk"), id="callable object"),
        pytest.param(lambda clerk: flow(clerk, name="clerk"), id="callable object as a flow"),
        pytest.param(_partial_of_a_clerk, id="partial"),
    ],
)
def test_a_call_that_changes_its_object_changes_it_in_each_attempt(way: Callable[[Clerk], Callable[[int], int]]):
    attempts = Attempts(1, 2)

    @flow(retries=1)
    def outer() -> list[int]:
        attempts.next()
        clerk = Clerk()
        work = way(clerk)
        counted = [work(1), work(1), work(2)]
        attempts.end()
        return [*counted, len(clerk.numbers)]

    assert outer() == [1, 2, 3, 3]


def test_a_nested_flow_that_changes_its_arguments_changes_them_in_each_attempt():
    attempts = Attempts(1, 2)

    @flow
    def enrich(rows: Any) -> None:
        attempts.done.append("enrich")
        rows.append("b")

    @flow
    def count(rows: Any) -> int:
        attempts.done.append("count")
        return len(rows)

    @flow
    def checked(rows: list[str]) -> int:
        attempts.done.append("checked")
        rows.append("c")
        return len(rows)

    @flow(retries=1)
    def outer() -> list[Any]:
        attempts.next()
        rows = ["a"]
        enrich(rows)
        # A parameter that is checked by its annotation is a copy.
        result = [*rows, count(rows), checked(rows)]
        attempts.end()
        return result

    assert outer() == ["a", "b", 2, 3]
    assert Counter(attempts.done) == {"enrich": 2, "count": 1, "checked": 1}


class Pair(NamedTuple):
    left: Any
    right: Any


class OpenPair(Pair):
    """Its parts are fixed, and others may be written beside them."""


@dataclass(frozen=True)
class Frozen:
    """Counts how often somebody looks into it."""

    inside: Any
    seen: ClassVar[list[int]] = []

    def __reduce__(self) -> Any:
        self.seen.append(1)
        return Frozen, (self.inside,)


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    inside: Frozen


@dataclass(frozen=True)
class FrozenList(list[Any]):
    name: str = "frozen"


@pytest.mark.parametrize(
    ("value", "looks"),
    [
        pytest.param(Frozen(5), 1, id="frozen"),
        pytest.param((Frozen(5), 1), 1, id="tuple"),
        pytest.param(Pair(Frozen(5), "x"), 1, id="named tuple"),
        pytest.param(frozenset({Frozen(5)}), 1, id="frozen set"),
        pytest.param(FrozenModel(inside=Frozen(5)), 1, id="frozen model"),
        pytest.param(Frozen([5]), 2, id="frozen around a list"),
        pytest.param([Frozen(5)], 2, id="list"),
    ],
)
def test_arguments_that_nobody_can_change_are_compared_once(value: Any, looks: int):
    @task
    def use(value: Any) -> int:
        return 1

    @flow(retries=1)
    def outer() -> int:
        return use(value)

    Frozen.seen.clear()
    outer()

    assert len(Frozen.seen) == looks


@pytest.mark.parametrize("make", [lambda: Frozen([]), lambda: Pair([], 1), FrozenList], ids=["field", "part", "itself"])
def test_what_is_frozen_around_a_list_does_not_hide_that_it_changes(make: Callable[[], Any]):
    attempts = Attempts(1, 2)

    @task
    def add(value: Any) -> None:
        attempts.done.append("added")
        (value if isinstance(value, list) else value.inside if isinstance(value, Frozen) else value[0]).append(1)

    @flow(retries=1)
    def outer() -> None:
        attempts.next()
        add(make())
        attempts.end()

    outer()

    assert attempts.done == ["added", "added"]


def test_what_a_task_writes_into_a_named_tuple_of_another_class_is_written_in_each_attempt():
    attempts = Attempts(1, 2)

    @task
    def note(pair: Any) -> None:
        pair.note = "seen"

    @flow(retries=1)
    def outer() -> dict[str, Any]:
        attempts.next()
        pair = OpenPair(1, 2)
        note(pair)
        attempts.end()
        return vars(pair)

    assert outer() == {"note": "seen"}


@pytest.mark.parametrize("value", [bytearray(b"a"), (bytearray(b"a"),), [bytearray(b"a")]], ids=str)
def test_a_task_that_changes_bytes_changes_them_in_each_attempt(value: Any):
    attempts = Attempts(1, 2)

    @task(persist_result=True)
    def lengthen(given: Any) -> None:
        (given if isinstance(given, bytearray) else given[0]).extend(b"b")

    @flow(retries=1)
    def outer() -> Any:
        attempts.next()
        given = copy.deepcopy(value)
        lengthen(given)
        attempts.end()
        return given

    given = outer()

    assert given == bytearray(b"ab") or given[0] == bytearray(b"ab")


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


def send(path: str, body: dict[str, Any]) -> Any:
    with OrionClient() as client:
        return client.send(Call("POST", path, body, read=dict[str, Any]))


def run_of_a_deployment(fn: Flow[Any, Any]) -> UUID:
    stored = send("/flows/", {"name": fn.name})
    deployment = send("/deployments/", {"name": "here", "flow_id": stored["id"]})
    return UUID(send(f"/deployments/{deployment['id']}/create_flow_run", {})["id"])


def attempt(fn: Flow[Any, Any], run: UUID) -> State[Any]:
    """Execute a run as a process of an agent does."""
    with OrionClient() as client:
        client.set_flow_run_state(run, Pending())
    return call_flow_for_run(fn, run, {})


def test_a_resumed_run_goes_on_with_other_items():
    attempts = Attempts(["a", "b"], ["b", "c"])
    work = upper(attempts, persist_result=True)

    @flow
    def suspending() -> list[Any]:
        values = [work(x) for x in attempts.next()]
        suspend_flow_run()
        return values

    run = run_of_a_deployment(suspending)
    first = attempt(suspending, run)
    resume_flow_run(run)
    second = attempt(suspending, run)

    assert (first.name, second.result()) == ("Suspended", [("b", "B"), ("c", "C")])
    assert attempts.done == ["a", "b", "c"]


def test_a_stored_run_is_not_repeated_though_what_it_waited_for_is():
    charged: list[int] = []

    @task
    def load() -> list[int]:
        return [1, 2]

    @task(persist_result=True)
    def charge(rows: list[int]) -> str:
        charged.append(sum(rows))
        return "charged"

    @flow
    def suspending() -> str:
        answer = charge.submit(load.submit()).result()
        suspend_flow_run()
        return answer

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == "charged"
    assert charged == [3]


def test_a_subflow_whose_result_was_not_stored_runs_in_the_next_attempt():
    attempts = Attempts(1, 2)

    @flow
    def child() -> int:
        attempts.done.append("child")
        return 7

    @flow
    def suspending() -> int:
        value = child()
        suspend_flow_run()
        return value

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == 7
    assert attempts.done == ["child", "child"]


def test_a_state_that_the_program_made_stands_for_no_other_call():
    attempts = Attempts(1, 2)

    @task
    def made(x: int) -> Any:
        return Completed(data={"type": "literal", "value": True}) if x == 1 else x

    @flow
    def suspending() -> Any:
        value = made(attempts.next())
        suspend_flow_run()
        return value

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == 2


WAYS = ("call", "submit", "future", "map", "subflow")
ARGUMENTS = st.sampled_from([0, 1, True, 1.0, -0.0, "1", b"1", None, [1], (1,), {"a": 1}, {1}, [[1], {"b": (2,)}]])
STEPS = st.tuples(st.sampled_from(WAYS), ARGUMENTS)
PROGRAMS = st.lists(st.lists(STEPS, max_size=5), min_size=2, max_size=3)


def spelt(x: Any) -> str:
    """A text that tells values apart that Python calls equal."""
    return f"{type(x).__name__} {x!r}"


@examples(6, 100)
@given(program=PROGRAMS)
@example(program=[[(way, 1) for way in WAYS], [(way, x) for way in WAYS for x in (True, 1)]])
def test_whatever_the_attempts_call_each_call_gets_the_value_of_its_own_arguments(program: list[list[Any]]):
    attempts = Attempts(*program)

    @task
    def work(x: Any) -> str:
        attempts.done.append(("task", spelt(x)))
        return spelt(x)

    @task
    def handed(x: Any) -> Any:
        return x

    @flow(validate_parameters=False)
    def child(x: Any) -> str:
        attempts.done.append(("flow", spelt(x)))
        return spelt(x)

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

    assert state.result() == [spelt(x) for _, x in program[-1]] if program[-1] else state.is_completed()
    wanted = [Counter(("flow" if how == "subflow" else "task", spelt(x)) for how, x in plan) for plan in program]
    most = {call: max(plan[call] for plan in wanted) for plan in wanted for call in plan}
    assert Counter(attempts.done) == most
