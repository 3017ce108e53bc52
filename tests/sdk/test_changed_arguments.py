"""A call that changes its arguments, or its object, is made again in each attempt of the flow run."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from orionflow import flow, task
from orionflow.testing import logs_of
from tests.sdk.attempts import Attempts


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
def test_immutable_arguments_are_compared_once(value: Any, looks: int):
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
def test_a_list_in_a_frozen_object_is_still_seen_to_change(make: Callable[[], Any]):
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


def test_changes_of_a_named_tuple_of_another_class_are_repeated_in_each_attempt():
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
