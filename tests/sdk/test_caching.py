"""Cached tasks return the stored value of an equal run; keys are made so that equal inputs are equal everywhere."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task, task_input_hash
from orionflow.caching import code_of, hash_of
from orionflow.errors import UnserializableError, UsageError
from orionflow.testing import Isolated, logs_of, states_of, task_runs_of
from tests import warm
from tests.sdk.programs import Program


def counted(calls: list[Any], **options: Any) -> Any:
    @task(**options)
    def compute(x: Any) -> Any:
        calls.append(x)
        return {"of": x}

    return compute


def test_equal_key_takes_the_value_of_the_first_run():
    calls: list[Any] = []
    compute = counted(calls, cache_key_fn=lambda context, parameters: str(parameters["x"]))

    @flow
    def outer() -> list[Any]:
        return [compute(1, return_state=True).name, compute(1, return_state=True).name, compute(2), compute(1)]

    state = outer(return_state=True)

    assert state.result() == ["Completed", "Cached", {"of": 2}, {"of": 1}]
    assert calls == [1, 2]
    cached = task_runs_of(state)[1]
    assert (cached.run_count, states_of(cached)) == (0, ["Pending", "Cached"])


def test_cache_outlives_the_flow_run():
    calls: list[Any] = []
    compute = counted(calls, cache_key_fn=task_input_hash)

    @flow
    def outer() -> Any:
        return compute(3)

    assert outer() == outer() == {"of": 3}
    assert calls == [3]


def test_cache_expires(orion: Isolated):
    calls: list[Any] = []
    compute = counted(calls, cache_key_fn=lambda *_: "key", cache_expiration=timedelta(minutes=10))

    @flow
    def outer() -> None:
        compute(1)
        compute(1)
        orion.clock.advance(601)
        compute(1)

    outer()

    assert calls == [1, 1]


def test_refresh_runs_and_renews():
    calls: list[Any] = []
    compute = counted(calls, cache_key_fn=lambda *_: "key")

    @flow
    def outer() -> list[Any]:
        return [compute(1), compute.with_options(refresh_cache=True)(2), compute(3)]

    assert outer() == [{"of": 1}, {"of": 2}, {"of": 2}]
    assert calls == [1, 2]


def test_key_function_sees_the_run_and_its_resolved_arguments():
    seen: list[Any] = []

    def key(context: Any, parameters: dict[str, Any]) -> str:
        seen.append((context.task_run.name, context.task.name, parameters))
        return "key"

    @task
    def one() -> int:
        return 1

    @task(cache_key_fn=key)
    def use(x: int, y: int = 2) -> int:
        return x + y

    @flow
    def outer() -> int:
        return use.submit(one.submit()).result()

    assert outer() == 3
    assert seen == [("use-0", "use", {"x": 1, "y": 2})]


def test_no_key_means_no_cache():
    calls: list[Any] = []
    compute = counted(calls, cache_key_fn=lambda *_: None)

    @flow
    def outer() -> None:
        compute(1)
        compute(1)

    outer()

    assert calls == [1, 1]


def test_arguments_that_cannot_be_compared_warn_and_run():
    @task(cache_key_fn=task_input_hash)
    def use(lock: Any) -> str:
        return "ran"

    @flow
    def outer() -> list[str]:
        return [use(threading.Lock()), use(threading.Lock())]

    state = outer(return_state=True)

    assert state.result() == ["ran", "ran"]
    messages = [line.message for line in logs_of(state) if "not cached" in line.message]
    assert len(messages) == 2
    assert "lock=lock" in messages[0]


def test_value_that_cannot_be_stored_is_not_cached_and_reports_it():
    @task(cache_key_fn=lambda *_: "key")
    def make() -> Any:
        return threading.Lock()

    @flow
    def outer() -> Any:
        return [make(return_state=True), make(return_state=True)]

    state = outer(return_state=True)

    assert [run.state_name for run in task_runs_of(state)] == ["Completed", "Completed"]
    assert "cannot be pickled" in task_runs_of(state)[0].state.message


def test_caching_without_storing_is_refused():
    with pytest.raises(UsageError, match="drop persist_result=False"):
        task(cache_key_fn=task_input_hash, persist_result=False)(lambda: None)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0, None), ("1", 1), ([1], (1,)), ({1: 2}, {"1": 2}), ([[1], 2], [[1, 2]]), (b"a", "a")],
)
def test_arguments_of_different_types_have_different_keys(one: Any, other: Any):
    assert hash_of(one) != hash_of(other)


def test_order_of_sets_and_dicts_does_not_matter():
    assert hash_of({"a": 1, "b": {3, 1, 2}}) == hash_of({"b": {2, 3, 1}, "a": 1})


def test_keys_are_the_same_in_another_process():
    value = {"b": {"x", "y", "z"}, "a": [1, 2.5, None, ("t",)]}
    program = f"from orionflow.caching import hash_of; print(hash_of({value!r}))"

    there = warm.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert there.stdout.strip() == hash_of(value)


def test_values_that_cannot_be_pickled_have_no_key():
    with pytest.raises(UnserializableError):
        hash_of(threading.Lock())


def test_functions_without_a_source_differ_by_their_constants():
    names: dict[str, Any] = {}
    exec("def one(): return 1\ndef two(): return 2", names)

    assert code_of(names["one"]) != code_of(names["two"])
    assert code_of(names["one"]) == code_of(names["one"])


SCRIPT = """
import sys
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from pydantic import BaseModel

from orionflow import flow, task, task_input_hash


class Kind(Enum):
    GOOD = "good"


@dataclass
class Order:
    id: int
    kind: Kind
    labels: set[str] = field(default_factory=lambda: {"one", "two", "three"})


class Model(BaseModel):
    names: set[str]


def rounded(digits, value):
    return round(value, digits)


@task(cache_key_fn=task_input_hash)
def use(order, model, by, seen=frozenset({"x", "y", "z"})):
    return [order.id]


@flow
def main():
    return use(Order(1, Kind.GOOD), Model(names={"a", "b", "c"}), partial(rounded, 2), return_state=True).name


if __name__ == "__main__":
    print("the run is", main())
"""


def test_objects_of_the_main_script_have_the_same_key_in_the_next_process(tmp_path: Path):
    program = Program(tmp_path, SCRIPT)

    found = [program.run(PYTHONHASHSEED=seed) for seed in ("1", "2", "3")]

    assert [one.stdout.split()[-1] for one in found] == ["Completed", "Cached", "Cached"], found[0].stderr


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_key_function_may_be_async(kind: str):
    async def by_number(context: Any, arguments: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return f"{context.task.name} {arguments['number'] % 10}"

    @task(cache_key_fn=by_number)
    def double(number: int) -> int:
        return 2 * number

    @task(cache_key_fn=by_number)
    async def triple(number: int) -> int:
        return 3 * number

    @flow
    def in_turn() -> list[int]:
        return [double(1), double(11), double(2)]

    @flow
    async def awaited() -> list[int]:
        return [await triple(1), await triple(11), await triple(2)]

    values = asyncio.run(awaited()) if kind == "async" else in_turn()

    assert values == ([3, 3, 6] if kind == "async" else [2, 2, 4])
