"""Laws of retries from tasks over generated flows: what was said comes, and the value is that of a fresh run."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orionflow import Flow, OrionClient, flow, task
from orionflow.caching import task_input_hash
from orionflow.calls.flow_runs import read_flow_run
from orionflow.calls.retries import preview_retry, read_retries, retry_flow_run
from orionflow.contract.ids import uuid7
from orionflow.engine.invoke import call_flow_for_run
from orionflow.errors import InvalidRequest
from orionflow.futures import Future
from orionflow.states import State
from tests.rounds import examples

HERE = "test|1|2|3|4|5"


@dataclass(frozen=True)
class Step:
    """One call of a generated flow: its inputs are values of earlier steps; `inner` is the body of a nested flow."""

    kind: str
    of: str
    number: int
    inputs: tuple[int, ...] = ()
    wait_for: int | None = None
    fails: bool = False
    inner: tuple[Step, ...] = ()


# Functions are compared with what they enclose: the program and its records are outside of them.
PROGRAM: list[tuple[Step, ...]] = [()]
FAILING = [True]
DONE: list[str] = []


class Odd:
    """A value that cannot be compared."""

    def __repr__(self) -> str:
        return "odd"

    def __reduce__(self) -> Any:
        raise TypeError("never")


def _work(name: str, number: int, fails: bool, inputs: tuple[Any, ...]) -> str:
    DONE.append(name)
    if fails and FAILING[0]:
        raise RuntimeError("fails")
    return f"{name}{number}({','.join(map(str, inputs))})"


@task(persist_result=True)
def kept(number: int, fails: bool, *inputs: Any) -> str:
    return _work("kept", number, fails, inputs)


@task(persist_result=True)
def kept_too(number: int, fails: bool, *inputs: Any) -> str:
    return _work("kept_too", number, fails, inputs)


@task(persist_result=False)
def dropped(number: int, fails: bool, *inputs: Any) -> str:
    return _work("dropped", number, fails, inputs)


@task(persist_result=True)
def odd(number: int, fails: bool, *inputs: Any) -> str:
    return _work("odd", number, fails, inputs)


@task(cache_key_fn=task_input_hash)
def cached(number: int, fails: bool, *inputs: Any) -> str:
    return _work("cached", number, fails, inputs)


@task(persist_result=True)
def part(x: int, number: int) -> str:
    return _work("part", number, False, (x,))


@task(persist_result=True)
async def later(number: int, fails: bool, *inputs: Any) -> str:
    await asyncio.sleep(0)
    return _work("later", number, fails, inputs)


TASKS = {"kept": kept, "kept_too": kept_too, "dropped": dropped, "odd": odd, "cached": cached, "later": later}


@flow(persist_result=True)
def nested(path: list[int], *inputs: Any) -> str:
    DONE.append("nested")
    return str(run_steps(steps_at(path), path))


@flow
def generated() -> str:
    return str(run_steps(PROGRAM[0], []))


@flow
async def generated_async() -> str:
    return str(await run_steps_async(PROGRAM[0], []))


def steps_at(path: list[int]) -> tuple[Step, ...]:
    steps = PROGRAM[0]
    for number in path:
        steps = steps[number].inner
    return steps


def _arguments(step: Step, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    args = [step.number, step.fails, *(values[one] for one in step.inputs)]
    if step.of == "odd":
        args.append(Odd())
    options = {} if step.wait_for is None else {"wait_for": [values[step.wait_for]]}
    return args, options


def run_steps(steps: tuple[Step, ...], path: list[int]) -> list[Any]:
    values: list[Any] = []
    for place, step in enumerate(steps):
        args, options = _arguments(step, values)
        match step.kind:
            case "call":
                values.append(TASKS[step.of](*args, **options))
            case "submit":
                values.append(TASKS[step.of].submit(*args, **options))
            case "map":
                values.append(part.map([1, 2, step.number], step.number, **options).result())
            case "nested":
                values.append(nested([*path, place], *args[2:]))
    return [value.result() if hasattr(value, "result") else value for value in values]


async def run_steps_async(steps: tuple[Step, ...], path: list[int]) -> list[Any]:
    values: list[Any] = []
    for place, step in enumerate(steps):
        if step.kind != "submit":
            # What blocks cannot wait for what runs on this loop.
            values = [await value.result() if isinstance(value, Future) else value for value in values]
        args, options = _arguments(step, values)
        match step.kind:
            case "map":
                values.append([future.result() for future in part.map([1, 2, step.number], step.number, **options)])
            case "nested":
                values.append(nested([*path, place], *args[2:]))
            case "submit":
                values.append(later.submit(*args, **options))
            case "call":
                value = TASKS[step.of](*args, **options)
                values.append(await value if inspect.isawaitable(value) else value)
    return [await value.result() if isinstance(value, Future) else value for value in values]


@st.composite
def programs(draw: st.DrawFn, depth: int = 2) -> tuple[Step, ...]:
    steps: list[Step] = []
    for place in range(draw(st.integers(1, 5 if depth == 2 else 3))):
        kinds = ["call", "call", "submit", "map", *(["nested"] if depth else [])]
        kind = draw(st.sampled_from(kinds))
        earlier = st.integers(0, place - 1) if place else st.nothing()
        inputs = tuple(draw(st.lists(earlier, max_size=2))) if place else ()
        steps.append(
            Step(
                kind,
                draw(st.sampled_from(["kept", "kept", "kept_too", "dropped", "odd", "cached"])),
                draw(st.integers(0, 1)),
                inputs,
                draw(earlier) if place and kind == "submit" and draw(st.booleans()) else None,
                draw(st.sampled_from([False] * 9 + [True])),
                draw(programs(depth - 1)) if kind == "nested" else (),
            )
        )
    return tuple(steps)


# The tasks to retry a run from, of which the first one that can be chosen is; and whether as a new run.
Retry = tuple[list[str], bool]
FROM = ["kept", "kept_too", "dropped", "odd", "cached", "later", "part", "nested", "@failed"]
retries = st.tuples(st.permutations(FROM), st.booleans())

EVERY_KIND = (
    Step("call", "kept", 0),
    Step("submit", "dropped", 0, (0,)),
    Step("map", "kept", 1),
    Step("nested", "kept", 0, (0,), inner=(Step("call", "odd", 1), Step("submit", "kept_too", 0, (0,), wait_for=0))),
    Step("call", "odd", 0, (1, 3)),
)
WITH_A_CACHE = (
    Step("call", "cached", 0),
    Step("nested", "kept", 0, (0,), inner=(Step("submit", "cached", 1), Step("call", "kept", 0, (0,), fails=True))),
)


def called(fn: Flow[Any, Any]) -> State[Any]:
    outcome = fn(return_state=True)
    return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome


def check_retry(fn: Flow[Any, Any], run_id: UUID, retry: Retry, expected: str) -> UUID:
    order, new_run = retry
    DONE.clear()
    with OrionClient() as client:
        run = client.send(read_flow_run(run_id))
        for one in order:
            asked = preview_retry(run_id, from_tasks=[one], new_run=new_run, process=HERE)
            try:
                preview = client.send(asked)
            except InvalidRequest:
                # The last attempt called no such task.
                continue
            if not preview.refusals:
                break
        else:
            return run_id
        result = client.send(retry_flow_run(run_id, from_tasks=[one], id=uuid7(), new_run=new_run, process=HERE))
    assert result.retry is not None, result
    state = call_flow_for_run(fn, result.retry.flow_run_id, run.parameters)
    with OrionClient() as client:
        outcome = client.send(read_retries(result.retry.flow_run_id))[0].outcome
    assert outcome is not None
    assert state.result() == expected
    assert (outcome["reused"], outcome["again"]) == (preview.reused, preview.again), (one, preview, outcome)
    if run.state_type == "COMPLETED":
        assert outcome["new"] == 0
    # Of one with a cache the result may be known by another call.
    assert len(DONE) <= outcome["again"] + outcome["new"]
    if not _uses_cache(PROGRAM[0]):
        assert len(DONE) == outcome["again"] + outcome["new"]
    return result.retry.flow_run_id


def _uses_cache(steps: tuple[Step, ...]) -> bool:
    return any(step.of == "cached" or _uses_cache(step.inner) for step in steps)


@pytest.mark.parametrize("fn", [generated, generated_async], ids=["sync", "async"])
@given(program=programs(), first=retries, second=retries)
@example(program=EVERY_KIND, first=(["nested"], False), second=(["dropped", "later"], True))
@example(program=WITH_A_CACHE, first=(["@failed"], True), second=(["cached", "later"], False))
@examples(3, 150)
def test_the_preview_matches_the_retry_and_the_value_that_of_a_fresh_run(
    fn: Flow[Any, Any], program: tuple[Step, ...], first: Retry, second: Retry
):
    PROGRAM[0] = program
    FAILING[0] = False
    expected = called(fn).result()
    FAILING[0] = True
    run_id = called(fn).state_details.flow_run_id
    FAILING[0] = False
    assert run_id is not None

    for retry in (first, second):
        run_id = check_retry(fn, run_id, retry, expected)


@pytest.mark.parametrize("of", ["kept", "odd"])
@pytest.mark.parametrize("fn", [generated, generated_async], ids=["sync", "async"])
def test_a_call_whose_input_failed_runs_for_the_first_time(fn: Flow[Any, Any], of: str):
    PROGRAM[0] = (Step("call", "kept", 0), Step("submit", of, 1, fails=True), Step("submit", of, 0, (1,)))
    FAILING[0] = True
    first = called(fn)
    FAILING[0] = False
    run_id = first.state_details.flow_run_id
    assert run_id is not None

    with OrionClient() as client:
        preview = client.send(preview_retry(run_id, from_tasks=["@failed"], new_run=False, process=HERE))
        client.send(retry_flow_run(run_id, from_tasks=["@failed"], id=uuid7(), new_run=False, process=HERE))
    call_flow_for_run(fn, run_id, {})

    with OrionClient() as client:
        (retry,) = client.send(read_retries(run_id))
    assert (preview.reused, preview.again) == (1, 1)
    assert retry.outcome == {"attempt": 2, "reused": 1, "again": 1, "new": 1}
