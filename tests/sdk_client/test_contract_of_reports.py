"""The contract has every field that the reporter writes and reads by hand, with the same value."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from orionflow.contract.ids import uuid7
from orionflow.contract.logs import LogCreate
from orionflow.contract.runs import NewTaskRunIn, StateCreate
from orionflow.contract.states import StateDetails
from orionflow.contract.transitions import TransitionBatch, TransitionItem, TransitionResult, TransitionResults
from orionflow.reporting import LogLine, Reporter, Transition
from orionflow.reporting.items import Answer
from orionflow.states import State, StateType
from tests.sdk_client.reports import FLOW_RUN
from tests.sdk_client.scripted_server import ScriptedServer

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
DETAILS = StateDetails(
    flow_run_id=uuid7(),
    task_run_id=uuid7(),
    child_flow_run_id=uuid7(),
    scheduled_time=NOON,
    cache_key="key",
    cache_expiration=NOON,
    untrackable_result=True,
    pause_timeout=NOON,
    pause_reschedule=True,
    pause_key="approval",
    run_input_keyset={"response": "key"},
    refresh_cache=False,
    retriable=False,
    transition_id=uuid7(),
    task_parameters_id=uuid7(),
    cause={"type": "ValueError"},
)
STATE = State(
    type=StateType.SCHEDULED,
    name="AwaitingRetry",
    message="retry 1 of 3",
    data={"value": 1},
    state_details=DETAILS,
    timestamp=NOON,
    id=uuid7(),
)
TASK_RUN: dict[str, Any] = {
    "name": "task-0",
    "flow_run_id": FLOW_RUN,
    "task_key": "tests.task",
    "dynamic_key": "0",
    "cache_key": "key",
    "cache_expiration": NOON,
    "task_version": "1",
    "empirical_policy": {"retries": 3, "retry_delay": [1.0]},
    "tags": ["nightly"],
    "task_inputs": {"x": [{"input_type": "constant", "type": "int"}]},
}


def test_the_examples_have_every_field():
    lacking = [one.name for one in fields(DETAILS) if getattr(DETAILS, one.name) == one.default]

    assert lacking == []
    assert TASK_RUN.keys() == NewTaskRunIn.model_fields.keys()


def test_the_contract_reads_every_field_that_the_reporter_writes(server: ScriptedServer, reporter: Reporter):
    step = Transition(uuid7(), TASK_RUN, STATE, force=True)

    reporter.set_epoch(FLOW_RUN, 2)
    reporter.ask(step).result(timeout=60)

    batch = TransitionBatch.model_validate(server.batches()[0].body)
    (item,) = batch.items
    assert item.task_run is not None
    assert item.state is not None
    assert batch.model_fields_set == TransitionBatch.model_fields.keys()
    assert item.model_fields_set == TransitionItem.model_fields.keys()
    assert item.state.model_fields_set == StateCreate.model_fields.keys()
    assert (item.task_run_id, item.force, batch.epochs) == (step.task_run_id, True, {FLOW_RUN: 2})
    assert item.task_run.model_dump(exclude_unset=True) == TASK_RUN
    assert {name: getattr(item.state, name) for name in StateCreate.model_fields} == {
        name: getattr(STATE, name) for name in StateCreate.model_fields
    }


def test_the_reporter_reads_every_field_of_an_answer(server: ScriptedServer, reporter: Reporter):
    state = {
        "id": STATE.id,
        "type": STATE.type,
        "name": STATE.name,
        "timestamp": NOON,
        "message": STATE.message,
        "data": STATE.data,
        "state_details": DETAILS.as_dict(),
    }
    result = {
        "status": "WAIT",
        "reason": "no slot is free",
        "code": "busy",
        "delay_seconds": 5,
        "task_run_id": uuid7(),
        "state": state,
    }
    wire = to_jsonable_python({"results": [result], "orders": {FLOW_RUN: "pause"}})
    TypeAdapter(TransitionResults).validate_python(wire)
    server.result_of, server.orders = lambda item: wire["results"][0], wire["orders"]

    read = reporter.ask(Transition(uuid7(), TASK_RUN, STATE)).result(timeout=60)

    assert result.keys() == TransitionResult.__annotations__.keys() == set(Answer.__slots__)
    assert {name: getattr(read, name) for name in result} == {**result, "state": STATE}
    assert reporter.command(FLOW_RUN) == "pause"


def test_the_contract_reads_every_field_of_a_log_line(server: ScriptedServer, reporter: Reporter):
    line = LogLine("tests", 20, "a line", NOON, FLOW_RUN, uuid7())

    reporter.log(line)
    reporter.drain()

    read = LogCreate.model_validate(server.logs[0])
    assert read.model_fields_set == LogCreate.model_fields.keys() == set(LogLine.__slots__)
    assert {name: getattr(read, name) for name in LogLine.__slots__} == {
        name: getattr(line, name) for name in LogLine.__slots__
    }
