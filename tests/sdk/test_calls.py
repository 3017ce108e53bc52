"""Flows and tasks are called like functions, sync and async, and everything that happens is recorded."""

from __future__ import annotations

import asyncio
import gc
import threading
from functools import partial
from typing import Any

import pytest

from orionflow import flow, flows, get_run_logger, task
from orionflow.errors import MissingContext, ParameterError, UsageError
from orionflow.testing import assert_completed, flow_runs, states_of, task_runs_of


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
async def add_later(x: int, y: int = 1) -> int:
    await asyncio.sleep(0)
    return x + y


def test_flow_returns_what_its_function_returns():
    @flow
    def three() -> int:
        return add(add(1))

    value = three()

    assert value == 3


def test_every_state_of_a_flow_and_its_tasks_is_recorded():
    @flow
    def three() -> int:
        return add(add(1))

    state = three(return_state=True)

    assert_completed(state)
    runs = task_runs_of(state)
    assert [run.name for run in runs] == ["add-0", "add-1"]
    assert [run.dynamic_key for run in runs] == ["0", "1"]
    assert states_of(state) == states_of(runs[0]) == states_of(runs[1]) == ["Pending", "Running", "Completed"]


def test_task_returns_its_state_when_asked():
    @flow
    def outer() -> Any:
        state = add(1, return_state=True)
        return state.type, state.name, state.result()

    assert outer() == ("COMPLETED", "Completed", 2)


async def test_async_flow_awaits_async_tasks_and_calls_sync_ones():
    @flow
    async def mixed() -> int:
        return await add_later(add(1))

    assert await mixed() == 3


async def test_async_tasks_of_a_gather_overlap():
    both_are_here = asyncio.Barrier(2)

    @task
    async def meet() -> int:
        await both_are_here.wait()
        return 1

    @flow
    async def meeting() -> int:
        return sum(await asyncio.gather(meet(), meet()))

    assert await meeting() == 2


def test_sync_flow_calls_async_tasks_like_functions():
    @flow
    def caller() -> int:
        return add_later(add_later(1))

    assert caller() == 3


def test_async_flow_runs_by_asyncio():
    @flow
    async def three() -> int:
        return await add_later(2)

    assert asyncio.run(three()) == 3


async def test_sync_flow_can_be_called_where_a_loop_runs():
    @flow
    def three() -> int:
        return add_later(2)

    assert three() == 3


def test_sync_flow_calls_an_async_subflow_like_a_function():
    @flow
    async def inner() -> int:
        return await add_later(1)

    @flow
    def outer() -> int:
        return inner() + 1

    assert outer() == 3


def test_task_outside_of_a_flow_gets_a_hint():
    with pytest.raises(MissingContext, match=r"outside of a flow.*@flow.*add\.fn"):
        add(1)


def test_task_inside_of_a_task_gets_a_hint():
    @task
    def outer() -> int:
        return add(1)

    @flow
    def nested() -> int:
        return outer()

    with pytest.raises(MissingContext, match=r"'add' was called inside of task 'outer'"):
        nested()


def test_function_of_a_task_runs_anywhere():
    assert add.fn(1, y=2) == 3


def test_wrong_arguments_are_reported_before_anything_is_recorded():
    @flow
    def nobody(x: int) -> int:
        return x

    with pytest.raises(
        ParameterError, match=r"'nobody' cannot be called like this \(missing a required argument: 'x'\)"
    ):
        nobody()

    assert flow_runs() == []


def test_wrong_arguments_of_a_task_fail_its_flow():
    @flow
    def wrong() -> int:
        return add(1, 2, 3)

    with pytest.raises(ParameterError, match="too many positional arguments"):
        wrong()


@pytest.mark.parametrize("name", ["wait_for", "return_state"])
def test_parameters_that_calls_use_themselves_are_refused(name: str):
    function = eval(f"lambda {name}: None")

    with pytest.raises(UsageError, match="rename it"):
        task(function)


def test_generators_become_lists_within_their_run():
    @task
    def count():
        yield from range(3)

    @flow
    def counting():
        yield sum(count())
        yield "end"

    assert counting() == [3, "end"]


async def test_async_generators_become_lists_within_their_run():
    @task
    async def count():
        for n in range(3):
            yield n

    @flow
    async def counting():
        return await count()

    assert await counting() == [0, 1, 2]


class Shop:
    def __init__(self, price: int) -> None:
        self.price = price

    @task
    def cost(self, number: int) -> int:
        return self.price * number

    @flow
    def bill(self, number: int) -> int:
        return self.cost(number) + self.cost.submit(1).result()

    @flow
    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @classmethod
    @task
    def named(cls, prefix: str) -> str:
        return prefix + cls.__name__

    @task
    @staticmethod
    def plain(x: int) -> int:
        return x

    @staticmethod
    @flow
    def plain_flow(x: int) -> int:
        return Shop.plain(x)

    @flow
    def all_kinds(self) -> list[Any]:
        return [self.named("a "), Shop.named("the "), self.plain(1), Shop.plain(2)]


def test_methods_are_flows_and_tasks():
    assert Shop(5).bill(2) == 15


def test_class_methods_and_static_methods_are_flows_and_tasks():
    assert Shop.of_class() == "Shop"
    assert Shop(1).of_class() == "Shop"
    assert Shop.plain_flow(7) == 7
    assert Shop(1).all_kinds() == ["a Shop", "the Shop", 1, 2]


def test_two_objects_do_not_share_their_methods():
    one, two = Shop(1), Shop(2)

    @flow
    def both() -> list[int]:
        first, second = one.cost, two.cost
        return [first(10), second(10)]

    assert both() == [10, 20]


def test_callable_objects_and_partials_can_be_tasks():
    class Doubler:
        """Doubles."""

        def __call__(self, x: int) -> int:
            return 2 * x

    double = task(Doubler())
    add_ten = task(partial(add.fn, 10), name="add ten")

    @flow
    def both() -> list[int]:
        return [double(2), add_ten(1)]

    assert both() == [4, 11]
    assert (double.name, add_ten.name) == ("Doubler", "add ten")


def test_tasks_keep_name_doc_and_signature_of_the_function():
    assert add.__name__ == "add"
    assert add.name == "add"
    assert repr(add) == "Task('add')"


def test_options_change_in_a_copy_only():
    slow = add.with_options(name="slow add", retries=3)

    assert (slow.name, slow.retries) == ("slow add", 3)
    assert (add.name, add.retries) == ("add", 0)
    with pytest.raises(UsageError, match="no option retrys"):
        add.with_options(retrys=1)


def test_decorating_anything_but_a_function_is_refused():
    with pytest.raises(UsageError, match="@task decorates a function"):
        task("load")
    with pytest.raises(UsageError, match="@flow decorates a function"):
        flow(3)


@pytest.mark.parametrize("decorator", [flow, task])
def test_a_subclass_of_flow_or_task_names_the_decorator_in_its_errors(decorator):
    class Mine(type(decorator(len))):
        pass

    word = decorator.__name__
    with pytest.raises(UsageError, match=f"@{word} decorates a function"):
        Mine(3)
    with pytest.raises(UsageError, match=f"{word.title()}s have no option retrys"):
        Mine(len, retrys=1)


@pytest.mark.parametrize("decorator", [flow, task])
def test_a_method_of_an_object_can_be_a_method_of_another_class(decorator):
    class Giver:
        @decorator
        def names(self, other: Any) -> list[str]:
            return [type(self).__name__, type(other).__name__]

    class Taker:
        names = Giver().names

    @flow
    def call() -> list[str]:
        return Taker().names()

    assert call() == ["Giver", "Taker"]


def test_logger_outside_of_runs_gets_a_hint():
    with pytest.raises(MissingContext, match="@flow or @task"):
        get_run_logger()


def test_flows_run_in_any_thread():
    values: list[int] = []

    @flow
    def three() -> int:
        return add(2)

    threads = [threading.Thread(target=lambda: values.append(three())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values == [3, 3, 3]


def test_recursion_of_flows_nests_their_runs():
    @flow
    def countdown(n: int) -> int:
        return 0 if n == 0 else 1 + countdown(n - 1)

    assert countdown(5) == 5
    assert len(flow_runs("countdown")) == 6


def test_forgotten_await_is_reported_by_name(recwarn: pytest.WarningsRecorder):
    @flow
    async def forgetful() -> int:
        add_later(1)
        return 2

    asyncio.run(forgetful())
    gc.collect()

    assert [str(one.message) for one in recwarn] == ["coroutine 'task add_later' was never awaited"]


def test_collector_stays_on_if_another_thread_makes_its_first_call_at_the_same_time(monkeypatch: pytest.MonkeyPatch):
    @flow
    def first() -> int:
        return 1

    flows._engine.cache_clear()
    with monkeypatch.context() as meanwhile:
        # When this thread asks, the other one has it off, and switches it on a moment later.
        meanwhile.setattr("gc.isenabled", lambda: bool(gc.enable()))
        first()

    is_on = gc.isenabled()
    gc.enable()
    assert is_on
