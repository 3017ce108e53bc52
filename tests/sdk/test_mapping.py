"""Mapping: one run for each element, with whole arguments, marks and edges."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count, cycle, product, repeat
from typing import Any

import pytest

from orionflow import allow_failure, flow, quote, task, unmapped
from orionflow.errors import ParameterError
from orionflow.testing import task_runs_of


@task
def add(x: int, y: int = 10) -> int:
    return x + y


@task
def echo(x: Any, y: Any = None) -> Any:
    return x, y


@task
def numbers() -> list[int]:
    return [1, 2, 3]


def in_flow(body: Any) -> Any:
    return flow(body)()


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (([1, 2],), {}, [11, 12]),
        (([1, 2], [3, 4]), {}, [4, 6]),
        (([1, 2], 5), {}, [6, 7]),
        ((), {"x": (1, 2), "y": 5}, [6, 7]),
        ((range(3),), {}, [10, 11, 12]),
        (((n for n in [1, 2]),), {}, [11, 12]),
        (([],), {}, []),
    ],
)
def test_each_element_gets_a_run(args: Any, kwargs: Any, expected: Any):
    assert in_flow(lambda: add.map(*args, **kwargs).result()) == expected


def test_texts_and_unmapped_lists_go_to_every_run_whole():
    assert in_flow(lambda: echo.map([1, 2], "ab").result()) == [(1, "ab"), (2, "ab")]
    assert in_flow(lambda: echo.map([1, 2], unmapped([7, 8])).result()) == [(1, [7, 8]), (2, [7, 8])]


def test_collecting_parameters_are_mapped_by_name():
    @task
    def collect(**values: int) -> dict[str, int]:
        return values

    assert in_flow(lambda: collect.map(a=[1, 2], b=unmapped(3)).result()) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]


def test_future_of_a_list_is_mapped_and_draws_edges():
    @flow
    def outer() -> Any:
        return add.map(numbers.submit()).result()

    state = outer(return_state=True)

    assert state.result() == [11, 12, 13]
    source, *mapped = task_runs_of(state)
    assert all(run.task_inputs["x"][0]["id"] == str(source.id) for run in mapped)


def test_list_that_a_task_returned_draws_edges_too():
    @flow
    def outer() -> Any:
        return add.map(numbers()).result()

    state = outer(return_state=True)

    source, *mapped = task_runs_of(state)
    assert all(run.task_inputs["x"][0]["id"] == str(source.id) for run in mapped)


def test_each_mapped_run_names_only_the_run_that_its_own_element_came_from():
    @flow
    def outer() -> Any:
        return add.map(add.map([1, 2, 3])).result()

    *sources, first, second, third = task_runs_of(outer(return_state=True))

    assert [[one["id"] for one in run.task_inputs["x"]] for run in (first, second, third)] == [
        [str(source.id)] for source in sources
    ]


def test_list_of_futures_is_mapped_one_by_one():
    def body() -> Any:
        return add.map(add.map([1, 2])).result()

    assert in_flow(body) == [21, 22]


def test_failed_futures_stop_only_their_own_run():
    @task
    def odd(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(f"{x} is even")
        return x

    @task
    def shown(x: Any) -> str:
        return str(x)

    def body() -> Any:
        futures = odd.map([1, 2])
        strict = [state.name for state in shown.map(futures, return_state=True)]
        return strict, shown.map(allow_failure(futures)).result()

    assert in_flow(body) == (["Completed", "NotReady"], ["1", "2 is even"])


def test_quoted_elements_are_not_searched():
    assert in_flow(lambda: echo.map(quote([[1], [2]])).result()) == [([1], None), ([2], None)]


def test_nothing_to_iterate_over_is_reported():
    with pytest.raises(ParameterError, match=r"nothing to iterate over \(x\).*submit"):
        in_flow(lambda: add.map(1))


def test_lengths_that_differ_are_reported():
    with pytest.raises(ParameterError, match=r"x: 2, y: 3"):
        in_flow(lambda: add.map([1, 2], [1, 2, 3]))


async def test_async_tasks_are_mapped_on_the_loop():
    @task
    async def later(x: int) -> int:
        await asyncio.sleep(0.01)
        return x

    @flow
    async def outer() -> Any:
        futures = later.map([1, 2, 3])
        again = await later.map(await later.submit([4, 5]).result())
        states = await later.map([6], return_state=True)
        return await futures.result() + await again.result() + [state.result() for state in states]

    assert await outer() == [1, 2, 3, 4, 5, 6]


async def test_pending_future_of_the_same_loop_is_awaited_before_mapping():
    @task
    async def later(x: Any) -> Any:
        await asyncio.sleep(0.01)
        return x

    @flow
    async def outer() -> Any:
        return await (await later.map(later.submit([1, 2]))).result()

    assert await outer() == [1, 2]


@pytest.mark.parametrize(
    "given",
    [
        lambda: ([1, 2], count()),
        lambda: (count(), iter([1, 2])),
        lambda: (repeat(0), repeat(0, 5)),
        lambda: ((n for n in range(3)), cycle("ab")),
    ],
)
def test_iterator_without_an_end_has_another_length(given: Callable[[], Any]):
    with pytest.raises(ParameterError, match=r"different lengths .*use unmapped\(\)"):
        in_flow(lambda: echo.map(*given()))


def test_length_of_an_iterator_is_shown_as_far_as_it_is_known():
    with pytest.raises(ParameterError, match=r"\(x: 2, y: more than 2\)"):
        in_flow(lambda: echo.map([1, 2], count()))
    with pytest.raises(ParameterError, match=r"\(x: 3, y: 2\)"):
        in_flow(lambda: echo.map([1, 2, 3], iter("ab")))


def test_one_iterator_cannot_be_two_arguments():
    numbers = iter([1, 2, 3, 4])

    with pytest.raises(ParameterError, match="one iterator as x and as y"):
        in_flow(lambda: add.map(numbers, numbers))
    assert [*numbers] == [1, 2, 3, 4]


KINDS: list[Callable[[list[int]], Any]] = [list, iter, deque, lambda numbers: (number for number in numbers)]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_iterables_of_one_length_are_read_whole(length: int):
    columns = list(range(length)), list(range(length, 2 * length))
    pairs = list(product(KINDS, repeat=2))

    rows = in_flow(lambda: [echo.map(first(columns[0]), second(columns[1])).result() for first, second in pairs])

    assert rows == [list(zip(*columns, strict=True))] * len(pairs)
