"""Flows and tasks, sync and async, that call each other: whatever the mix, the values come back and nothing hangs."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any

import pytest
from hypothesis import example, given

from orionflow import flow, task
from orionflow.client import OrionClient
from orionflow.context import FlowRunContext
from orionflow.engine.loops import block_on
from orionflow.task_runners import ProcessTaskRunner
from tests.rounds import ROUNDS, examples
from tests.sdk import trees
from tests.sdk.trees import ASYNC_FLOW, ASYNC_TASK, FLOW, TASK, Node

UNFINISHED = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]}}}
FEW = examples(6, 40)
# Only a guard against hanging: a tree takes a fraction of a second.
pytestmark = pytest.mark.timeout(120 + 5 * ROUNDS)


def run(node: Node) -> Any:
    value = trees.rendered(node)()
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def assert_all_ended() -> None:
    with OrionClient() as client:
        assert client.read_flow_runs(flow_runs=UNFINISHED) == []
        assert client.read_task_runs(task_runs=UNFINISHED) == []


def chain(*kinds_and_styles: tuple[str, str]) -> Node:
    node = None
    for kind, style in reversed(kinds_and_styles):
        node = Node(kind, style, "async", (node,) if node else ())
    assert node is not None
    return node


@FEW
@given(trees.nodes())
@example(chain((FLOW, "root"), (ASYNC_FLOW, "call"), (FLOW, "call"), (ASYNC_TASK, "call")))
@example(chain((FLOW, "root"), (ASYNC_FLOW, "call"), (TASK, "call")))
@example(chain((FLOW, "root"), (ASYNC_TASK, "submit"), (FLOW, "call"), (ASYNC_TASK, "submit")))
@example(chain((FLOW, "root"), (ASYNC_TASK, "submit"), (FLOW, "thread in context"), (ASYNC_TASK, "call")))
@example(chain((ASYNC_FLOW, "root"), (FLOW, "thread"), (ASYNC_FLOW, "thread"), (FLOW, "thread"), (ASYNC_TASK, "map")))
def test_every_tree_has_its_value(node: Node):
    assert run(node) == node.value
    assert_all_ended()


@FEW
@given(trees.chains())
def test_functions_nest_to_depth_ten(node: Node):
    assert run(node) == node.value
    assert_all_ended()


def test_sync_task_with_an_async_hook_in_an_async_subflow():
    called: list[str] = []

    async def hook(task: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        called.append(run.name)

    @task(on_completion=[hook])
    def inner() -> int:
        return 1

    @flow(on_completion=[hook])
    async def middle() -> int:
        return inner() + inner.submit().result()

    @flow
    def outer() -> int:
        return middle()

    assert outer() == 2
    assert {"inner-0", "inner-1"} < set(called)
    assert len(called) == 3


@pytest.mark.parametrize("style", ["call", "submit", "to_thread"])
async def test_sync_task_of_an_async_flow_may_run_a_loop_of_its_own(style: str):
    async def number() -> int:
        await asyncio.sleep(0)
        return 3

    @task
    def runs_a_loop() -> int:
        return asyncio.run(number())

    @flow
    async def outer() -> int:
        before = asyncio.current_task()
        match style:
            case "call":
                value = runs_a_loop()
            case "submit":
                value = runs_a_loop.submit().result()
            case _:
                value = await asyncio.to_thread(runs_a_loop)
        assert asyncio.current_task() is before
        await asyncio.sleep(0)
        return value

    assert await outer() == 3


def test_a_loop_of_the_user_in_a_sync_flow_awaits_tasks_and_flows():
    @task
    async def one() -> int:
        return 1

    @flow
    async def two() -> int:
        return await one() + 1

    @flow
    def outer() -> int:
        async def main() -> int:
            return await one() + sum(await asyncio.gather(two(), two()))

        return asyncio.run(main())

    assert outer() == 5


def test_coroutines_of_one_sync_flow_share_a_loop():
    loops: list[Any] = []

    @task
    async def seen() -> None:
        loops.append(asyncio.get_running_loop())

    @flow
    def outer() -> None:
        seen()
        seen.submit().result()
        seen()

    outer()
    outer()

    assert len({id(loop) for loop in loops}) == 1


def test_sync_function_that_returns_a_coroutine_is_awaited():
    async def number() -> int:
        await asyncio.sleep(0)
        return 4

    @task
    def wrapped() -> Any:
        return number()

    @flow
    def outer() -> Any:
        return wrapped()

    async def around() -> Any:
        return outer()

    assert outer() == 4
    assert asyncio.run(around()) == 4


def test_exit_of_a_coroutine_leaves_the_loop_to_the_next():
    @task
    async def leaves() -> None:
        raise SystemExit(3)

    @task
    async def stays() -> int:
        return 1

    @flow
    def outer() -> int:
        try:
            leaves()
        except SystemExit:
            return stays() + stays.submit().result()
        return 0

    assert outer() == 2


async def test_waiting_for_what_runs_on_the_same_loop_is_refused_and_never_hangs():
    from orionflow.errors import UsageError
    from orionflow.futures import as_completed, wait

    @task
    async def later() -> int:
        await asyncio.sleep(0.01)
        return 1

    @flow
    def inner(future: Any) -> int:
        return 1

    @flow
    async def outer() -> int:
        future = later.submit()
        for blocks in (lambda: list(as_completed([future])), lambda: wait([future]), lambda: inner(future)):
            with pytest.raises(UsageError, match="cannot block"):
                blocks()
        return await future.result()

    assert await outer() == 1


@task
async def later_in_a_process(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@task
def parts_in_a_process(number: int) -> Any:
    yield from range(number)


@pytest.mark.parametrize("is_async", [False, True])
def test_coroutines_and_generators_run_in_processes(is_async: bool):
    runner = ProcessTaskRunner(2)
    if is_async:

        @flow(task_runner=runner)
        async def inner() -> Any:
            later = await later_in_a_process.submit(1).result()
            return later, parts_in_a_process.submit(3).result()

    else:

        @flow(task_runner=runner)
        def inner() -> Any:
            return later_in_a_process.submit(1).result(), parts_in_a_process.submit(3).result()

    @flow
    async def middle() -> Any:
        return await inner() if is_async else inner()

    @flow
    def outer() -> Any:
        return middle()

    assert outer() == (2, [0, 1, 2])


async def test_async_generators_with_sync_flows_inside():
    @task
    async def one() -> int:
        return 1

    @flow
    def inner() -> int:
        return one()

    @flow
    async def outer() -> Any:
        yield await one()
        yield inner()
        yield await asyncio.to_thread(inner)

    assert await outer() == [1, 1, 1]


def test_fork_in_a_sync_flow_finds_a_loop_in_the_child():
    @task
    async def one() -> int:
        return 1

    @flow
    def outer() -> int:
        one()
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.write(writing, str(own_loop_works()).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        return int(os.read(reading, 10))

    def own_loop_works() -> int:
        context = FlowRunContext.get()
        assert context is not None

        async def number() -> int:
            return 7

        return block_on(number(), context)

    assert outer() == 7
