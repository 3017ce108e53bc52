"""A pause asks for input and goes on with the answer; values reach flow runs while they go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, field_validator

from orionflow import (
    OrionClient,
    flow,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    send_input,
    task,
)
from orionflow.calls.flow_runs import update_flow_run
from orionflow.contract.masking import known
from orionflow.errors import MissingContext, OrchestrationRefused, ParameterError, UsageError
from orionflow.input import RunInput
from orionflow.testing import Isolated, isolated
from tests.sdk.test_pausing import in_thread, paused_run


@pytest.fixture
def orion(server_here: None) -> Iterator[Isolated]:
    """Real time: people answer when they do."""
    with isolated() as here:
        yield here


class Approval(BaseModel):
    approved: bool
    until: date = date(2030, 1, 1)


class Order(RunInput):
    pieces: int = Field(gt=0)
    colour: str = "red"


@dataclass
class Address:
    street: str
    number: int


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in another thread meanwhile."""
    thread = in_thread(work)
    yield
    thread.join()


@flow
def asking(kind: Any = None, key: str | None = None) -> Any:
    return pause_flow_run(wait_for_input=kind, timeout=20, poll_interval=0.05, key=key)


@pytest.mark.parametrize(
    ("kind", "given", "answer"),
    [
        (Approval, {"approved": True, "until": "2026-05-01"}, Approval(approved=True, until=date(2026, 5, 1))),
        (Approval, Approval(approved=False), Approval(approved=False)),
        (Order, {"pieces": 3}, {"pieces": 3, "colour": "red"}),
        (int, {"value": 5}, 5),
        (int, 5, 5),
        (list[date], [date(2026, 1, 2)], [date(2026, 1, 2)]),
        (str | None, {"value": None}, None),
        (Address, Address("Row", 7), Address("Row", 7)),
    ],
)
def test_a_paused_flow_continues_with_the_answer(orion: Isolated, kind: Any, given: Any, answer: Any):
    with beside(lambda: resume_flow_run(paused_run("asking").id, run_input=given)):
        state = asking.with_options(validate_parameters=False)(kind, return_state=True)

    found = state.result()
    assert (found.model_dump() if kind is Order else found) == answer


def test_an_answer_that_does_not_fit_is_refused_and_another_one_taken(orion: Isolated):
    refusals = []

    def answer() -> None:
        run = paused_run("asking")
        for wrong in (None, {"pieces": "many"}, {"pieces": 1, "size": 2}):
            with pytest.raises(OrchestrationRefused) as refused:
                resume_flow_run(run.id, run_input=wrong)
            refusals.append(str(refused.value))
        resume_flow_run(run.id, run_input={"pieces": 2, "colour": "blue"})

    with beside(answer):
        order = asking.with_options(validate_parameters=False)(Order)

    assert (order.pieces, order.colour) == (2, "blue")
    assert order.metadata.key == "paused-1-response"
    assert all(word in text for word, text in zip(("pieces", "many", "size"), refusals, strict=True))


def test_the_question_lies_where_other_clients_look_for_it(orion: Isolated):
    asked: dict[str, Any] = {}

    def look() -> None:
        run = paused_run("asking")
        with OrionClient() as client:
            for part, key in run.state.state_details.run_input_keyset.items():
                asked[key] = None if part == "response" else json.loads(client.read_flow_run_input(run.id, key))
        resume_flow_run(run.id, run_input={"pieces": 1})

    with beside(look):
        order = asking.with_options(validate_parameters=False)(
            Order.with_initial_data("How many?", colour="green"), key="shop"
        )

    assert order.colour == "green"
    assert list(asked) == ["paused-shop-description", "paused-shop-response", "paused-shop-schema"]
    assert asked["paused-shop-description"] == "How many?"
    schema = asked["paused-shop-schema"]
    assert schema["properties"]["colour"]["default"] == "green"
    assert (schema["required"], schema["additionalProperties"]) == (["pieces"], False)


def test_a_retried_flow_asks_again(orion: Isolated):
    answers = iter([{"value": 1}, {"value": 2}])
    taken = []

    @task
    def break_once() -> None:
        if len(taken) == 1:
            raise ValueError("once")

    # Going on after a pause counts as a run as well.
    @flow(retries=2)
    def trying() -> None:
        taken.append(pause_flow_run(wait_for_input=int, timeout=20, poll_interval=0.05))
        break_once()

    def answer() -> None:
        for given in answers:
            resume_flow_run(paused_run("trying").id, run_input=given)

    with beside(answer):
        trying()

    assert taken == [1, 2]


def test_a_run_stays_paused_when_a_models_own_check_refuses_the_answer(orion: Isolated):
    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def _is_even(cls, number: int) -> int:
            assert number % 2 == 0, "it is odd"
            return number

    def answer() -> None:
        resume_flow_run(paused_run("asking").id, run_input={"number": 3})
        again = paused_run("asking", "it is odd")
        resume_flow_run(again.id, run_input={"number": 4})

    with beside(answer):
        assert asking.with_options(validate_parameters=False)(Even).number == 4


@pytest.mark.parametrize(("kind", "key", "words"), [(object(), None, "cannot be asked for"), (int, "a b", "'a b'")])
def test_a_question_that_cannot_be_asked_is_reported_before_the_pause(kind: Any, key: str | None, words: str):
    with pytest.raises(UsageError, match=words):
        asking.with_options(validate_parameters=False)(kind, key)


async def test_an_async_flow_awaits_its_answer(orion: Isolated):
    @flow
    async def asking_later() -> bool:
        return (await pause_flow_run(wait_for_input=Approval, timeout=20, poll_interval=0.05)).approved

    async def answer() -> None:
        run = await asyncio.to_thread(paused_run, "asking-later")
        await resume_flow_run(run.id, run_input={"approved": True})

    approved, _ = await asyncio.gather(asking_later(), answer())

    assert approved is True


def test_values_are_sent_to_a_run_and_taken_in_one_after_another():
    @flow
    def sender(receiver: str) -> None:
        for number in (1, 2):
            send_input(number, receiver)
        send_input("last", receiver, key_prefix="words")
        Order(pieces=4).send_to(receiver)

    @flow
    def receiver() -> list[Any]:
        from orionflow.runtime import flow_run

        sender(flow_run.id)
        numbers = list(receive_input(int, timeout=0.2, poll_interval=0.1))
        word = receive_input(str, key_prefix="words").next()
        return [*numbers, word, Order.receive().next().pieces]

    assert receiver() == [1, 2, "last", 4]


def test_senders_are_known_and_can_be_answered():
    @flow
    def squaring(number: int, to: str) -> int:
        Order(pieces=number).send_to(to)
        return number

    @flow
    def outer() -> list[Any]:
        from orionflow.runtime import flow_run

        child = squaring(3, flow_run.id, return_state=True)
        order = Order.receive(timeout=60).next()
        order.respond(order.pieces**2)
        send_input(1, flow_run.id)
        answered = receive_input(int, flow_run_id=child.state_details.flow_run_id, with_metadata=True).next()
        return [answered.value, answered.metadata.sender == f"prefect.flow-run.{flow_run.id}"]

    assert outer() == [9, True]


def test_programs_outside_of_flows_send_and_receive(orion: Isolated):
    run = asked_run()

    send_input([1, 2], run, sender="me")
    received = receive_input(list[int], flow_run_id=run, with_metadata=True).next()

    assert (received.value, received.metadata.sender) == ([1, 2], "me")
    with pytest.raises(UsageError, match="not sent by a flow run"):
        received.respond(1)


async def test_coroutines_await_what_comes(orion: Isolated):
    run = await asyncio.to_thread(asked_run)

    await send_input(Order(pieces=1), run)
    await send_input(Order(pieces=2), run)
    first = await Order.receive(flow_run_id=run).next()
    rest = [one async for one in Order.receive(0.1, 0.05, exclude_keys={first.metadata.key}, flow_run_id=run)]

    assert [first.pieces, *[one.pieces for one in rest]] == [1, 2]


def test_nothing_came_in_time():
    run = asked_run()

    with pytest.raises(TimeoutError, match="'intautomaticruninput-auto' came within 0.2 s"):
        receive_input(int, timeout=0.2, poll_interval=0.1, flow_run_id=run).next()
    with pytest.raises(TimeoutError):
        list(receive_input(int, timeout=0.2, poll_interval=0.1, raise_timeout_error=True, flow_run_id=run))


def test_a_value_of_another_shape_is_named_and_passed():
    run = asked_run()
    send_input("many", run, key_prefix="numbers")
    send_input(3, run, key_prefix="numbers")
    numbers = receive_input(int, key_prefix="numbers", flow_run_id=run)

    with pytest.raises(ParameterError, match="value: .*integer"):
        numbers.next()

    assert numbers.next() == 3


def test_receiving_without_a_run_is_reported():
    with pytest.raises(MissingContext, match="pass flow_run_id"):
        receive_input(int)
    with pytest.raises(UsageError, match="created in this program"):
        _ = Order(pieces=1).metadata


def test_a_flow_that_waits_for_values_can_be_cancelled(orion: Isolated):
    from orionflow.states import Cancelling

    @flow
    def waiting() -> None:
        from orionflow.runtime import flow_run

        with OrionClient() as client:
            client.set_flow_run_state(UUID(flow_run.id), Cancelling())
        receive_input(int, timeout=20, poll_interval=0.05).next()

    assert waiting(return_state=True).is_cancelled()


def asked_run() -> str:
    """Any flow run that values can be sent to."""

    @flow
    def idle() -> None: ...

    return str(idle(return_state=True).state_details.flow_run_id)


class Login(RunInput):
    token: str


def test_an_answer_arrives_as_it_was_given_even_if_it_is_a_secret(orion: Isolated):
    known.learn(["canary-in-the-mine-5f2e"])

    @flow
    def asking() -> str:
        return pause_flow_run(wait_for_input=Login, timeout=30, poll_interval=0.05).token

    def answer() -> None:
        resume_flow_run(paused_run("asking").id, run_input={"token": "canary-in-the-mine-5f2e"})

    with beside(answer):
        token = asking()

    assert token == "canary-in-the-mine-5f2e"


def test_parameters_of_a_planned_run_are_changed_to_the_given_ones(orion: Isolated):
    known.learn(["canary-in-the-mine-5f2e"])

    @flow
    def waiting(token: str) -> None: ...

    waiting("")
    with OrionClient() as client:
        run = client.read_flow_runs(limit=1)[0]
        client.send(update_flow_run(run.id, parameters={"token": "canary-in-the-mine-5f2e"}))
        changed = client.read_flow_run(run.id)

    assert changed.parameters == {"token": "canary-in-the-mine-5f2e"}
