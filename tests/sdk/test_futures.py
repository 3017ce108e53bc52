"""Submitted tasks: futures, what can be asked of them, and where they may stand among arguments."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import pickle
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any
from uuid import uuid4

import pydantic
import pytest

from orionflow import as_completed, flow, get_run_context, quote, task, wait
from orionflow.errors import UsageError
from orionflow.futures import Future, FutureList
from orionflow.states import Completed
from orionflow.testing import task_runs_of

Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Order:
    item: Any
    number: int = 1


class Basket(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    content: Any


@task
def one() -> int:
    return 1


@task
def echo(x: Any) -> Any:
    return x


@task
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
def bad() -> None:
    raise ValueError("bad")


def held_task() -> tuple[Any, threading.Event]:
    """A task that ends when the event is set."""
    released = threading.Event()

    @task
    def held() -> str:
        released.wait(60)
        return "held"

    return held, released


@task
async def later(x: Any, seconds: float = 0.0) -> Any:
    await asyncio.sleep(seconds)
    return x


def in_flow(body: Any, **options: Any) -> Any:
    return flow(**options)(body)()


def test_future_has_result_state_and_name():
    def body() -> Any:
        future = one.submit()
        state = future.wait()
        return future.result(), state.result(), future.get_state().name, future.name, str(future.task_run_id)

    result, of_state, name, run_name, id = in_flow(body)

    assert (result, of_state, name, run_name) == (1, 1, "Completed", "one-0")
    assert len(id) == 36


def test_submitted_tasks_overlap():
    barrier = threading.Barrier(3)

    @task
    def meet() -> int:
        barrier.wait(60)
        return 1

    assert in_flow(lambda: sum(future.result() for future in [meet.submit() for _ in range(3)])) == 3


def test_result_raises_or_returns_the_exception():
    def body() -> Any:
        future = bad.submit()
        with pytest.raises(ValueError, match="bad"):
            future.result()
        return type(future.result(raise_on_failure=False)).__name__

    assert in_flow(body) == "ValueError"


def test_result_that_takes_too_long_is_a_timeout():
    held, released = held_task()

    def body() -> Any:
        future = held.submit()
        with pytest.raises(TimeoutError, match="held-0"):
            future.result(timeout=0.01)
        waited, name = future.wait(timeout=0.01), future.state.name
        released.set()
        return waited, name, future.result()

    assert in_flow(body) == (None, "Pending", "held")


def test_submit_returns_the_state_when_asked():
    assert in_flow(lambda: one.submit(return_state=True).result()) == 1


@pytest.mark.parametrize(
    ("wrapped", "expected"),
    [
        (lambda future: [future, 2], [1, 2]),
        (lambda future: (future,), (1,)),
        (lambda future: {future}, {1}),
        (lambda future: {"a": {"b": [future]}}, {"a": {"b": [1]}}),
        (lambda future: {future: "key"}, {1: "key"}),
        (lambda future: Point(future, 2), Point(1, 2)),
        (lambda future: Order(future, 3), Order(1, 3)),
        (lambda future: Basket(content=[future]), Basket(content=[1])),
        (lambda future: future.wait(), 1),
        (lambda future: [Completed(data="by hand"), future], ["by hand", 1]),
    ],
)
def test_futures_anywhere_in_arguments_become_values(wrapped: Any, expected: Any):
    assert in_flow(lambda: echo(wrapped(one.submit()))) == expected
    assert in_flow(lambda: echo.submit(wrapped(one.submit())).result()) == expected


def test_arguments_without_futures_are_not_copied():
    thing = {"list": [1, [2]], "order": Order(object()), "basket": Basket(content=[1])}

    assert in_flow(lambda: echo(thing)) is thing


def test_argument_that_holds_itself_is_taken_as_it_is():
    ring: list[Any] = [1]
    ring.append(ring)

    assert in_flow(lambda: echo(ring)) is ring


def test_quoted_arguments_are_not_searched():
    def body() -> Any:
        future = one.submit()
        return echo(quote([future])) == [future]

    assert in_flow(body) is True


def test_flow_takes_futures_as_parameters():
    @flow
    def child(x: int) -> int:
        return x + 1

    assert in_flow(lambda: child(one.submit())) == 2


def test_tasks_start_when_their_inputs_are_available():
    def body() -> Any:
        first = nap.submit(0.1)
        return echo.submit(echo.submit(first)).result()

    assert in_flow(body) == 0.1


def test_waiting_inputs_take_no_threads():
    from orionflow.task_runners import ConcurrentTaskRunner

    released = threading.Event()

    @task
    def held() -> None:
        released.wait(60)

    @task
    def release() -> None:
        released.set()

    def body() -> Any:
        first = held.submit()
        behind = [echo.submit(first) for _ in range(5)]
        release.submit().result(timeout=60)
        return [future.result() for future in behind]

    assert in_flow(body, task_runner=ConcurrentTaskRunner(max_workers=2)) == [None] * 5


def test_wait_for_orders_runs_that_share_nothing():
    order: list[str] = []

    @task
    def note(what: str, seconds: float = 0.0) -> None:
        time.sleep(seconds)
        order.append(what)

    def body() -> Any:
        first = note.submit("first", 0.1)
        note.submit("second", wait_for=[first])
        note("third", wait_for=[first])

    in_flow(body)

    assert order[0] == "first"
    assert sorted(order) == ["first", "second", "third"]


def test_as_completed_gives_the_quick_ones_first():
    held, released = held_task()

    def body() -> Any:
        found = []
        for future in as_completed([held.submit(), one.submit()], timeout=60):
            found.append(future.result())
            released.set()
        return found

    assert in_flow(body) == [1, "held"]


def test_wait_parts_the_done_from_the_others():
    held, released = held_task()

    def body() -> Any:
        quick, slow = one.submit(), held.submit()
        quick.wait()
        done, not_done = wait([quick, slow], timeout=0.01)
        released.set()
        return done == {quick}, not_done == {slow}, wait([slow]).not_done

    assert in_flow(body) == (True, True, set())


def test_future_does_not_travel():
    future: Future[Any] = Future(uuid4(), "x")

    with pytest.raises(UsageError, match="hand over its result"):
        pickle.dumps(future)


async def test_futures_of_async_tasks_are_awaited():
    @flow
    async def outer() -> Any:
        future = later.submit(1)
        again = await later.submit(2)
        return await future.result(), (await again.wait()).result(), future.state.name

    assert await outer() == (1, 2, "Completed")


async def test_async_flow_submits_sync_tasks_to_threads():
    @flow
    async def outer() -> Any:
        return one.submit().result() + await later(one.submit())

    assert await outer() == 2


def test_sync_flow_submits_async_tasks():
    def body() -> Any:
        futures = [later.submit(n, 0.05) for n in range(3)]
        return [future.result() for future in futures]

    assert in_flow(body) == [0, 1, 2]


async def test_submitted_coroutines_share_the_loop_of_their_flow():
    loops: set[Any] = set()

    @task
    async def look() -> None:
        loops.add(asyncio.get_running_loop())

    @flow
    async def outer() -> None:
        await look()
        await look.submit().wait()

    await outer()

    assert loops == {asyncio.get_running_loop()}


async def test_blocking_for_a_coroutine_of_the_same_loop_is_reported():
    @flow
    async def outer() -> Any:
        future = later.submit(1, 0.1)
        with pytest.raises(UsageError, match="await its result first"):
            echo(future)
        with pytest.raises(UsageError, match="await its result first"):
            wait([future])
        return await future.result()

    assert await outer() == 1


async def test_as_completed_of_coroutines():
    released = asyncio.Event()

    @task
    async def held() -> str:
        await released.wait()
        return "held"

    @flow
    async def outer() -> Any:
        found = []
        async for future in as_completed([held.submit(), later.submit("quick")]):
            found.append(await future.result())
            released.set()
        return found

    assert await outer() == ["quick", "held"]


def test_plain_calls_are_submitted_in_flows_with_submit_calls():
    def body() -> Any:
        futures = [nap(0.0), one()]
        assert all(isinstance(future, Future) for future in futures)
        return [future.wait().result() for future in futures], one(return_state=True).name

    assert in_flow(body, submit_calls=True) == ([0.0, 1], "Completed")


async def test_plain_calls_of_coroutines_are_submitted_too():
    @flow(submit_calls=True)
    async def outer() -> Any:
        futures = await asyncio.gather(*[later(n) for n in range(3)])
        return [await future.result() for future in futures]

    assert await outer() == [0, 1, 2]


def test_subflows_have_their_own_way_of_calling():
    @flow
    def child() -> int:
        return one()

    assert in_flow(lambda: child(), submit_calls=True) == 1


def test_map_gives_a_list_of_futures():
    def body() -> Any:
        futures = echo.map([1, 2, 3])
        assert isinstance(futures, FutureList)
        return futures.result(), [state.name for state in futures.wait()], len(futures)

    assert in_flow(body) == ([1, 2, 3], ["Completed"] * 3, 3)


def test_unresolved_future_left_behind_still_ends_with_its_flow():
    @flow
    def outer() -> str:
        nap.submit(0.1)
        return "done"

    state = outer(return_state=True)

    assert [run.state_name for run in task_runs_of(state)] == ["Completed"]


@pytest.mark.parametrize(
    "use",
    [
        lambda future: future + 1,
        lambda future: 1 + future,
        lambda future: [1] + future,
        lambda future: future * 2,
        lambda future: 2**future,
        lambda future: -future,
        lambda future: round(future, 2),
        lambda future: future < 3,
        lambda future: sorted([future, 3]),
        lambda future: sum([future, future]),
        lambda future: future["key"],
        lambda future: future[0],
        lambda future: list(future),
        lambda future: [*future],
        lambda future: 1 in future,
        lambda future: f"{future:.2f}",
    ],
)
def test_a_future_used_as_its_value_raises_an_error_that_names_result(use: Callable[[Any], Any]):
    @task
    def one() -> int:
        return 1

    @flow
    def outer() -> None:
        use(one.submit())

    with pytest.raises(TypeError, match=r"The future of task run 'one-0' is not the value .* `future.result\(\)`"):
        outer()


def test_a_future_is_not_an_iterable_and_counts_as_true():
    @task
    def one() -> int:
        return 1

    @flow
    def outer() -> tuple[Any, ...]:
        future = one.submit()
        kinds = (Iterable, Iterator, Sized, Callable, Mapping, Sequence)
        known = {future: "known"}
        return bool(future), future == future, known[future], f"{future}" == str(future), isinstance(future, kinds)

    assert outer() == (True, True, "known", True, False)


def test_a_future_that_completed_refers_to_nothing_that_the_garbage_collector_visits():
    """A flow may keep the futures of a hundred thousand runs; what they refer to would be visited again and again."""

    @flow
    def outer() -> list[list[Any]]:
        futures = [echo.submit(1000 + number) for number in range(100)]
        wait(futures)
        gc.collect()
        referents = [gc.get_referents(future) for future in futures]
        return [one for found in referents for one in found if gc.is_tracked(one) and not isinstance(one, type)]

    assert outer() == []


def test_the_state_of_a_completed_future_is_always_the_same():
    @flow
    def outer() -> tuple[Any, ...]:
        future = echo.submit(8)
        return future.wait(), future.state, future.final_state, future.task_run_id, get_run_context().id

    waited, state, final, task_run_id, flow_run_id = outer()

    assert waited == state == final
    assert waited.value == waited.result() == 8
    assert (waited.state_details.task_run_id, waited.state_details.flow_run_id) == (task_run_id, flow_run_id)
    (run,) = task_runs_of(flow_run_id)
    assert (run.id, run.state_id, run.state.name) == (task_run_id, waited.id, "Completed")


async def _wait_async(future: Future[Any]) -> None:
    future.is_async = True
    await future.wait(timeout=0.001)


async def _iterate_async(future: Future[Any]) -> None:
    with pytest.raises(TimeoutError):
        async for _ in as_completed([future], timeout=0):
            pass
    # Python calls the callbacks of what was cancelled in the next rounds of the loop.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


WAITS: dict[str, Callable[[Future[Any]], object]] = {
    "wait": lambda future: future.wait(timeout=0),
    "wait for several": lambda future: wait([future], timeout=0),
    "awaited wait": _wait_async,
    "async for": _iterate_async,
}


@pytest.mark.parametrize("way", WAITS)
async def test_waits_that_end_at_their_timeout_leave_nothing_behind(way: str):
    future: Future[Any] = Future(uuid4(), "endless")

    async def wait_once() -> None:
        waiting = WAITS[way](future)
        if asyncio.iscoroutine(waiting):
            await waiting

    await wait_once()
    gc.collect()
    references, objects = sys.getrefcount(future), len(gc.get_objects())
    for _ in range(50):
        await wait_once()
    gc.collect()
    more = len(gc.get_objects()) - objects

    assert more < 50
    assert sys.getrefcount(future) == references


def test_a_wait_is_told_of_the_end_after_many_that_timed_out():
    @task
    def held() -> int:
        released.wait(10)
        return 1

    @flow
    def outer() -> int:
        future = held.submit()
        for _ in range(3):
            assert wait([future], timeout=0.01).not_done == {future}
        released.set()
        return len(wait([future], timeout=10).done)

    released = threading.Event()

    assert outer() == 1
