"""Cache keys of tasks: what a task is, with all that it encloses, and not only what it is given."""

from __future__ import annotations

import threading
from functools import wraps
from typing import Any

import pytest

from orionflow import flow, task, task_input_hash
from orionflow.testing import logs_of


def test_methods_of_different_objects_do_not_share_a_cached_value():
    class Scaler:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task(cache_key_fn=task_input_hash)
        def scale(self, x: int) -> int:
            return x * self.factor

    @flow
    def outer() -> list[Any]:
        return [Scaler(factor).scale(10, return_state=True) for factor in (2, 3, 2)]

    states = outer()

    assert [state.result() for state in states] == [20, 30, 20]
    assert [state.name for state in states] == ["Completed", "Completed", "Cached"]


def test_variables_that_a_task_encloses_are_part_of_its_key():
    factor = 2

    @task(cache_key_fn=task_input_hash)
    def scale(x: int) -> int:
        return x * factor

    def made(by: int) -> Any:
        @task(cache_key_fn=task_input_hash)
        def times(x: int) -> int:
            return x * by

        return times

    def made_with(table: dict[int, int]) -> Any:
        @task(cache_key_fn=task_input_hash)
        def look_up(x: int) -> int:
            return table[x]

        return look_up

    @flow
    def outer() -> list[int]:
        return [scale(10), made(2)(10), made(3)(10), made_with({1: 2})(1), made_with({1: 3})(1)]

    assert outer() == [20, 20, 30, 2, 3]
    factor = 5
    assert outer() == [50, 20, 30, 2, 3]


def test_lambdas_on_one_line_and_wrapped_functions_are_different_tasks():
    one, two = (task(fn, cache_key_fn=task_input_hash) for fn in (lambda x: x + 1, lambda x: x + 2))

    def base(x: int) -> int:
        return x

    def doubled(fn: Any) -> Any:
        from functools import wraps

        @wraps(fn)
        def inner(x: int) -> int:
            return 2 * fn(x)

        return inner

    def tripled(fn: Any) -> Any:
        from functools import wraps

        @wraps(fn)
        def inner(x: int) -> int:
            return 3 * fn(x)

        return inner

    twice, thrice = (task(fn(base), cache_key_fn=task_input_hash) for fn in (doubled, tripled))

    @flow
    def outer() -> list[int]:
        return [one(1), two(1), twice(1), thrice(1)]

    assert outer() == [2, 3, 2, 3]


def test_defaults_and_versions_are_part_of_the_key():
    def made(default: int, version: str) -> Any:
        @task(cache_key_fn=task_input_hash, version=version)
        def add(x: int, y: int = default) -> tuple[int, str]:
            return x + y, version

        return add

    @flow
    def outer() -> list[Any]:
        return [made(1, "a")(1), made(2, "a")(1), made(1, "b")(1)]

    assert outer() == [(2, "a"), (3, "a"), (2, "b")]


def counting(fn: Any) -> Any:
    """Count the calls, as decorators do: in an attribute that is there before the first call."""

    @wraps(fn)
    def counted(*args: Any) -> Any:
        counted.calls += 1  # type: ignore[attr-defined]
        return fn(*args)

    counted.calls = 0  # type: ignore[attr-defined]
    return counted


def remembering(fn: Any) -> Any:
    @wraps(fn)
    def remembered(x: int) -> Any:
        known = remembered.__dict__.setdefault("known", {})
        return known.setdefault(x, fn(x))

    return remembered


@pytest.mark.parametrize("decorator", [counting, remembering])
def test_counters_of_a_decorator_do_not_change_the_key(decorator: Any):
    @decorator
    def helper(x: int) -> int:
        return x if x == 0 else helper(x - 1) + 1

    @task(cache_key_fn=task_input_hash)
    @decorator
    def work(x: int) -> int:
        return helper(x)

    @flow
    def outer() -> list[str]:
        return [work(3, return_state=True).name for _ in range(2)]

    assert outer() == ["Completed", "Cached"]


def test_variables_that_a_decorated_helper_encloses_are_part_of_the_key():
    factor = 2

    @counting
    def helper(x: int) -> int:
        return x * factor

    @task(cache_key_fn=task_input_hash)
    def work(x: int) -> int:
        return helper(x)

    @flow
    def outer() -> int:
        return work(10)

    assert outer() == 20
    factor = 3
    assert outer() == 30


def test_an_enclosed_object_that_cannot_be_compared_gives_no_key():
    connection = object()

    @task(cache_key_fn=task_input_hash)
    def use() -> str:
        return str(id(connection))

    @flow
    def outer() -> list[Any]:
        return [use(return_state=True).name, use(return_state=True).name]

    state = outer(return_state=True)

    assert state.result() == ["Completed", "Completed"]
    assert sum("not cached" in line.message for line in logs_of(state)) == 2


def test_locks_that_a_task_encloses_do_not_keep_it_from_being_cached():
    lock, ready = threading.Lock(), threading.Event()

    @task(cache_key_fn=task_input_hash)
    def use(x: int) -> int:
        with lock:
            ready.set()
            return x

    @flow
    def outer() -> list[str]:
        return [use(1, return_state=True).name, use(1, return_state=True).name]

    assert outer() == ["Completed", "Cached"]
