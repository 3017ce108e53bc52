"""The end of a flow is the end of what goes on below it: cancelled with it, never left unfinished, never afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.signals import request_started

from orionflow import flow, get_run_context, runtime, task
from orionflow.client import OrionClient
from orionflow.engine.children import abandon_children
from orionflow.engine.interruption import Reason
from orionflow.states import Cancelling
from orionflow.testing import Isolated, flow_run_of, flow_runs, isolated, states_of, task_runs_of


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Any:
    """Real time: a cancelled run is waited for."""
    with isolated() as here:
        yield here


def cancelled(call: Callable[[], Any], name: str, begun: threading.Event) -> Any:
    """Call, and cancel its flow run of this name as soon as its work has begun; return the result of the call."""

    def cancel() -> None:
        assert begun.wait(20)
        with OrionClient() as client:
            client.set_flow_run_state(flow_runs(name)[0].id, Cancelling())

    thread = threading.Thread(target=cancel)
    thread.start()
    value = call()
    thread.join()
    return value


@task
def tick() -> None:
    time.sleep(0.02)


def test_cancel_makes_tasks_and_nested_runs_cancelled_and_no_alarm_of_crashes(orion: Isolated):
    begun, nested_begun = threading.Event(), threading.Event()
    released = threading.Event()

    @task
    def held() -> None:
        nested_begun.wait(20)
        begun.set()
        released.wait(20)

    @task
    async def waits() -> None:
        await asyncio.sleep(60)

    @flow
    async def nested() -> None:
        nested_begun.set()
        await asyncio.sleep(60)

    @task
    def calls() -> None:
        nested()

    @flow
    def endless() -> None:
        held.submit()
        waits.submit()
        calls.submit()
        while True:
            tick()

    state = cancelled(lambda: endless(return_state=True), "endless", begun)
    released.set()

    assert state.is_cancelled()
    assert {run.state_name for run in task_runs_of(state)} == {"Completed", "Cancelled"}
    assert flow_runs("nested")[0].state_name == "Cancelled"


async def test_others_of_a_gather_end_before_the_flow_that_failed(orion: Isolated):
    went_on: list[str] = []

    begun, may_go_on = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    @task
    async def fails() -> None:
        await asyncio.gather(*[one.wait() for one in begun])
        raise ValueError("no")

    @task
    async def survivor() -> None:
        begun[0].set()
        await may_go_on.wait()
        went_on.append("task")

    @flow
    async def nested() -> None:
        begun[1].set()
        await may_go_on.wait()
        went_on.append("flow")

    @flow
    async def outer() -> None:
        await asyncio.gather(fails(), survivor(), nested())

    state = await outer(return_state=True)
    may_go_on.set()
    await asyncio.sleep(0)

    assert state.is_failed()
    assert went_on == []
    runs = {run.name: run.state_name for run in task_runs_of(state)}
    assert runs == {"fails-0": "Failed", "survivor-0": "Cancelled", "nested-0": "Cancelled"}
    inner = flow_runs("nested")[0]
    assert states_of(inner) == ["Pending", "Running", "Cancelled"]
    assert inner.end_time <= flow_run_of(state).end_time


async def test_flow_whose_run_is_just_being_created_ends_before_the_flow_that_failed(orion: Isolated):
    went_on: list[str] = []
    may_go_on = asyncio.Event()

    @task
    async def fails() -> None:
        raise ValueError("no")

    @flow
    async def nested() -> None:
        await may_go_on.wait()
        went_on.append("flow")

    @flow
    async def outer(milliseconds: int) -> None:
        calls = [asyncio.ensure_future(nested()) for _ in range(3)]
        await asyncio.sleep(milliseconds / 1000)
        await asyncio.gather(fails(), *calls)

    for milliseconds in range(0, 45, 3):
        state = await outer(milliseconds, return_state=True)
        ended = flow_run_of(state).end_time

        assert state.is_failed()
        nested_runs = flow_runs("nested")
        assert {run.state_name for run in nested_runs} <= {"Cancelled"}
        assert all(run.state.timestamp <= ended for run in nested_runs)
    may_go_on.set()
    await asyncio.sleep(0)
    assert flow_runs("nested")
    assert went_on == []


async def test_flow_reports_its_end_after_the_ends_of_runs_that_had_not_begun(orion: Isolated):
    outer_id: list[str] = []

    def delay(environ: dict[str, Any], **_: Any) -> None:
        path = environ["PATH_INFO"]
        if path.endswith("/set_state") and outer_id and outer_id[0] not in path:
            time.sleep(0.1)

    @task
    async def fails() -> None:
        raise ValueError("no")

    @flow
    async def nested() -> None:
        await asyncio.sleep(60)

    @flow
    async def outer() -> None:
        outer_id.append(str(runtime.flow_run.id))
        calls = [asyncio.ensure_future(nested()) for _ in range(2)]
        while len(flow_runs("nested")) < 2:
            await asyncio.sleep(0.001)
        await asyncio.gather(fails(), *calls)

    request_started.connect(delay)
    try:
        ended = flow_run_of(await outer(return_state=True)).end_time
    finally:
        request_started.disconnect(delay)

    nested_runs = flow_runs("nested")
    assert [run.state_name for run in nested_runs] == ["Cancelled"] * 2
    assert all(run.end_time <= ended for run in nested_runs)


async def test_flows_that_fail_at_the_same_time_let_each_nested_run_end_by_itself(orion: Isolated):
    # More flows than the engine has threads for coroutines, in which nested runs report their ends.
    flows, begun, hooked = 6, [], []
    all_begun = asyncio.Event()

    @task
    async def fails() -> None:
        await all_begun.wait()
        raise ValueError("no")

    @flow(on_cancellation=[lambda flow, run, state: hooked.append(str(run.id))])
    async def nested() -> None:
        begun.append(str(runtime.flow_run.id))
        if len(begun) == flows:
            all_begun.set()
        await asyncio.sleep(60)

    @flow
    async def outer() -> None:
        await asyncio.gather(fails(), nested())

    states = await asyncio.gather(*[outer(return_state=True) for _ in range(flows)])

    assert [state.name for state in states] == ["Failed"] * flows
    # The hooks of a run that is ended by others are not called.
    assert sorted(hooked) == sorted(begun)


async def test_unawaited_coroutines_end_with_their_flow_which_completes(orion: Isolated):
    tasks = []

    @task
    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(0.01)

    @flow
    async def outer() -> None:
        tasks.append(asyncio.create_task(heartbeat()))
        await asyncio.sleep(0.05)

    state = await outer(return_state=True)

    assert state.is_completed()
    assert [run.state_name for run in task_runs_of(state)] == ["Cancelled"]
    assert tasks[0].cancelled()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_task_that_is_called_and_never_awaited_leaves_no_run(orion: Isolated):
    @task
    async def forgotten() -> None: ...

    @task
    async def awaited() -> int:
        return 1

    @flow
    async def outer() -> int:
        forgotten()
        return await awaited()

    state = await outer(return_state=True)

    assert state.is_completed()
    assert [run.name for run in task_runs_of(state)] == ["awaited-0"]


def test_coroutine_where_a_value_is_at_hand_is_explained(orion: Isolated):
    @task
    async def number() -> int:
        return 1

    @flow
    def outer() -> None:
        asyncio.run(number())

    with pytest.raises((ValueError, TypeError)) as caught:
        outer()

    assert "call it without asyncio.run" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("kind", ["flow", "task", "submitted task"])
def test_run_that_is_given_up_while_its_hook_goes_on_keeps_the_end_that_it_reported(orion: Isolated, kind: str):
    around: list[Any] = []

    def give_up(*_: Any) -> None:
        abandon_children(around[0], Reason("It was given up.", is_cancel=True))

    @flow(on_completion=[give_up])
    def nested() -> None: ...

    @task(on_completion=[give_up])
    def step() -> None: ...

    @flow
    def outer() -> None:
        around.append(get_run_context())
        if kind == "submitted task":
            around.append(step.submit().wait())
        else:
            (nested if kind == "flow" else step)()

    outer_state = outer(return_state=True)

    runs = flow_runs("nested") if kind == "flow" else task_runs_of(outer_state)
    assert [states_of(run) for run in runs] == [["Pending", "Running", "Completed"]]
    assert all(state.is_completed() for state in around[1:])


def at_its_next_request(run_ids: list[str], act: Callable[[], Any]) -> Callable[..., None]:
    """Call a function when the next state of the run with this id is on its way to the API."""

    def receive(environ: dict[str, Any], **_: Any) -> None:
        path = environ["PATH_INFO"]
        if run_ids and run_ids[0] in path and path.endswith("/set_state"):
            run_ids.clear()
            act()

    request_started.connect(receive)
    return receive


def test_run_that_is_given_up_while_it_reports_its_end_ends_once(orion: Isolated):
    around: list[Any] = []
    nested_ids: list[str] = []

    @flow
    def nested() -> None:
        nested_ids.append(str(runtime.flow_run.id))

    @flow
    def outer() -> None:
        around.append(get_run_context())
        nested()

    receive = at_its_next_request(nested_ids, lambda: abandon_children(around[0], Reason("It was given up.")))
    try:
        outer(return_state=True)
    finally:
        request_started.disconnect(receive)

    assert states_of(flow_runs("nested")[0]) == ["Pending", "Running", "Completed"]


async def test_run_that_is_cancelled_while_it_reports_its_end_has_completed(orion: Isolated):
    nested_ids: list[str] = []
    nested_tasks: list[Any] = []
    may_fail, loop = asyncio.Event(), asyncio.get_running_loop()

    def fail_meanwhile() -> None:
        loop.call_soon_threadsafe(may_fail.set)
        until = time.monotonic() + 10
        while not nested_tasks[0].cancelling() and time.monotonic() < until:
            time.sleep(0.002)

    @task
    async def fails() -> None:
        await may_fail.wait()
        raise ValueError("no")

    @flow
    async def nested() -> None:
        nested_tasks.append(asyncio.current_task())
        nested_ids.append(str(runtime.flow_run.id))

    @flow
    async def outer() -> None:
        await asyncio.gather(fails(), nested())

    receive = at_its_next_request(nested_ids, fail_meanwhile)
    try:
        state = await outer(return_state=True)
    finally:
        request_started.disconnect(receive)

    assert state.is_failed()
    assert states_of(flow_runs("nested")[0]) == ["Pending", "Running", "Completed"]
