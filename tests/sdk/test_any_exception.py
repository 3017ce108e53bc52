"""Whatever a function raises, its run has a final state when the call has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

import pytest

from orionflow import flow, tags, task
from orionflow.clock import SystemClock, use_clock
from orionflow.futures import Future
from orionflow.states import State
from orionflow.task_runners import ConcurrentTaskRunner, SequentialTaskRunner, TaskRunner
from orionflow.testing import flow_runs, task_runs_of
from tests.rounds import places_of, share


class OwnExit(BaseException):
    """One that no `except Exception` catches."""


RAISED: list[type[BaseException]] = [
    StopIteration,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    asyncio.CancelledError,
    OwnExit,
]
ENDED = {"Completed", "Failed", "Crashed", "Cancelled"}
KINDS = ["sync", "async", "generator", "async generator"]
RUNNERS = [ConcurrentTaskRunner(max_workers=1), SequentialTaskRunner()]


def raiser(error: type[BaseException], kind: str) -> Callable[..., Any]:
    """A function of that kind that raises."""

    def sync(*_: Any) -> NoReturn:
        raise error("on purpose")

    async def coroutine(*_: Any) -> NoReturn:
        await asyncio.sleep(0)
        raise error("on purpose")

    def generator(*_: Any) -> Iterator[int]:
        yield 1
        raise error("on purpose")

    async def async_generator(*_: Any) -> AsyncIterator[int]:
        yield 1
        raise error("on purpose")

    return dict(zip(KINDS, [sync, coroutine, generator, async_generator], strict=True))[kind]


@pytest.fixture
def some(request: pytest.FixtureRequest) -> Sequence[type[BaseException]]:
    """Every second exception in a brief round, and the others for the neighbours: each value of each list meets all."""
    return share(RAISED, sum(places_of(request.node)), 2)


def every_run_has_ended(
    make: Callable[[type[BaseException]], Callable[[], Any]], raised: Sequence[type[BaseException]] = RAISED
) -> bool:
    """Call the program that is made for each exception; whether all of their runs have a final state after that."""
    for error in raised:
        program = make(error)
        try:
            outcome = program()
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
        except (*RAISED, Exception):
            continue
    runs = flow_runs()
    assert len(runs) >= len(raised)
    left = [f"{run.name}: {run.state_name}" for run in runs if run.state_name not in ENDED]
    left += [one.name for run in runs for one in task_runs_of(run) if one.state_name not in ENDED]
    assert left == []
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_ends_with_any_exception(kind: str):
    assert every_run_has_ended(lambda error: flow(raiser(error, kind)))

    assert len(flow_runs()) == len(RAISED)


@pytest.mark.turns
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
@pytest.mark.parametrize("way", ["call", "state", "submit", "map"])
def test_a_task_and_its_flow_end_with_any_exception(
    kind: str, runner: TaskRunner, way: str, some: Sequence[type[BaseException]]
):
    def program(error: type[BaseException]) -> Callable[[], Any]:
        raising = task(raiser(error, kind))

        @flow(task_runner=runner)
        def around() -> list[State[Any]]:
            match way:
                case "call":
                    return [raising(0)]
                case "state":
                    return [raising(0, return_state=True)]
                case "submit":
                    futures: list[Future[Any]] = [raising.submit(0), raising.submit(1)]
                case _:
                    futures = list(raising.map([0, 1]))
            return [future.wait() for future in futures]

        return around

    assert every_run_has_ended(program, some)


@pytest.mark.parametrize("way", ["call", "submit", "gather"])
def test_an_async_task_and_its_flow_end_with_any_exception(way: str):
    def program(error: type[BaseException]) -> Callable[[], Any]:
        raising = task(raiser(error, "async"))

        @flow
        async def around() -> None:
            if way == "call":
                await raising()
            elif way == "submit":
                await raising.submit().wait()
            else:
                await asyncio.gather(raising(), raising(), return_exceptions=True)

        return around

    assert every_run_has_ended(program)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("outer", ["sync", "async"])
def test_a_nested_flow_and_its_caller_end_with_any_exception(
    kind: str, outer: str, some: Sequence[type[BaseException]]
):
    def program(error: type[BaseException]) -> Callable[[], Any]:
        nested = flow(raiser(error, kind))

        @flow
        def around() -> None:
            nested()

        @flow
        async def coroutine_around() -> None:
            outcome = nested()
            if kind == "async":
                await outcome

        return around if outer == "sync" else coroutine_around

    assert every_run_has_ended(program, some)


@pytest.mark.turns
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["call", "submit"])
@pytest.mark.parametrize("when", ["on_completion", "on_failure", "on_running", "on_crashed"])
def test_runs_end_with_any_exception_of_a_hook(kind: str, way: str, when: str, some: Sequence[type[BaseException]]):
    def program(error: type[BaseException]) -> Callable[[], Any]:
        hook = raiser(error, kind)

        def failing() -> None:
            if when == "on_failure":
                raise ValueError("on purpose")

        inner = task(failing, **({when: [hook]} if when in ("on_completion", "on_failure") else {}))

        def around() -> None:
            inner() if way == "call" else inner.submit().wait()
            if when == "on_crashed":
                raise OwnExit

        return flow(around, **{when: [hook]})

    assert every_run_has_ended(program, some)


@pytest.mark.parametrize("option", ["cache_key_fn", "task_run_name", "retry_condition_fn", "flow_run_name"])
def test_runs_end_with_any_exception_of_a_function_in_an_option(option: str):
    def program(error: type[BaseException]) -> Callable[[], Any]:
        def naming() -> NoReturn:
            raise error("on purpose")

        asked = naming if option.endswith("name") else raiser(error, "sync")
        retries = {"retries": 1} if option == "retry_condition_fn" else {}

        def failing() -> None:
            raise ValueError("on purpose")

        inner = task(failing, **({} if option == "flow_run_name" else {option: asked, **retries}))

        def around() -> None:
            inner()

        return flow(around, **({option: asked} if option == "flow_run_name" else {}))

    assert every_run_has_ended(program)


def test_a_flow_that_raises_generator_exit_names_it():
    leaving = flow(raiser(GeneratorExit, "sync"), name="leaving")

    with pytest.raises(GeneratorExit, match="on purpose"):
        leaving()

    run = flow_runs("leaving")[0]
    assert (run.state_name, run.state.message) == ("Crashed", "The run broke: GeneratorExit: on purpose")


async def test_closed_coroutine_ends_its_runs():
    begun = asyncio.Event()

    @task
    async def waiting() -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow
    async def closed() -> None:
        await waiting()

    coroutine = closed()
    while not begun.is_set():
        step = coroutine.send(None)
        while not begun.is_set() and step is not None and not step.done():
            await asyncio.sleep(0)
    coroutine.close()

    run = flow_runs("closed")[0]
    message = "The coroutine of the run was closed before it ended."
    assert (run.state_name, run.state.message) == ("Crashed", message)
    assert [one.state_name for one in task_runs_of(run)] == ["Crashed"]


CLOSED = "The coroutine of the run was closed before it ended."


@pytest.mark.parametrize("where", ["task", "block with tags", "time limit"])
def test_coroutine_closed_outside_of_its_context_ends_its_runs(where: str):
    begun = asyncio.Event()

    @task(timeout_seconds=60 if where == "time limit" else None)
    async def waiting() -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow
    async def closed() -> None:
        with tags("closed") if where == "block with tags" else nullcontext():
            await waiting()

    loop = asyncio.new_event_loop()
    running: Any = loop.create_task(closed())
    loop.run_until_complete(begun.wait())
    loop.close()
    running.get_coro().close()
    # The loop would complain about a task that has not ended.
    running._log_destroy_pending = False

    run = flow_runs("closed")[0]
    assert (run.state_name, run.state.message) == ("Crashed", CLOSED)
    assert [one.state_name for one in task_runs_of(run)] == ["Crashed"]


def test_coroutine_closed_while_it_waits_for_a_retry_ends_its_run():
    @flow(retries=1, retry_delay_seconds=60)
    async def closed() -> None:
        raise ValueError("on purpose")

    waits = asyncio.Event()

    class Standstill(SystemClock):
        async def sleep_async(self, seconds: float) -> None:
            waits.set()
            await asyncio.Event().wait()

    with use_clock(Standstill()):
        loop = asyncio.new_event_loop()
        running: Any = loop.create_task(closed())
        loop.run_until_complete(waits.wait())
        loop.close()
    running.get_coro().close()
    running._log_destroy_pending = False

    run = flow_runs("closed")[0]
    assert (run.state_name, run.state.message) == ("Crashed", CLOSED)


def test_coroutine_closed_while_its_run_is_created_ends_it():
    @flow
    async def closed() -> None:
        raise AssertionError("It must not begin.")

    async def until_it_exists() -> None:
        while not flow_runs("closed"):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    running: Any = loop.create_task(closed())
    loop.run_until_complete(until_it_exists())
    loop.close()
    running.get_coro().close()
    running._log_destroy_pending = False

    run = flow_runs("closed")[0]
    assert (run.state_name, run.state.message) == ("Crashed", CLOSED)
