"""Resuming, cancelling and retrying flow runs on request, and by the services."""

from __future__ import annotations

import json
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from deployments.models import Variable
from orchestration.core.states import cancelling, running
from orchestration.core.verdicts import Abort, Accept, Reject
from orchestration.errors import FlowRunNotFound
from orchestration.services import propose_flow_run_state
from runs.flow_runs.commands import cancel_flow_run, cancel_flow_run_alone, resume_flow_run, retry_flow_run
from runs.inputs.services import create_flow_run_input
from runs.models import FlowRun, FlowRunInput
from runs.upkeep import clean_up_cancelled, fail_expired_pauses
from tests.factories import NOON, history_of, later, make_flow_run, make_state, make_task_run, state_of

pytestmark = pytest.mark.django_db

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
KEYSET = {"response": "paused-1-response", "schema": "paused-1-schema"}


def make_paused(**details):
    run = make_flow_run("RUNNING", **({"deployment_id": uuid4()} if details.get("pause_reschedule") else {}))
    pause = make_state("PAUSED", pause_key="1", **{"pause_timeout": later(60), **details})
    assert propose_flow_run_state(run_id=run.pk, proposed=pause, now=later(1)).written
    return run


def asking_run(schema=None):
    run = make_paused(run_input_keyset=KEYSET)
    value = json.dumps(SCHEMA) if schema is None else schema
    create_flow_run_input(flow_run_id=run.pk, key=KEYSET["schema"], value=value, sender=None, now=later(1))
    return run


def test_a_paused_run_continues_running():
    run = make_paused()

    outcome = resume_flow_run(run_id=run.pk, run_input=None, now=later(2))

    assert isinstance(outcome.verdict, Accept)
    assert history_of(run) == ["Running", "Paused", "Running"]


def test_a_suspended_run_is_scheduled_again():
    run = make_paused(pause_reschedule=True)

    resume_flow_run(run_id=run.pk, run_input=None, now=later(2))

    assert history_of(run)[-1] == "Resuming"


def test_a_run_that_is_not_paused_cannot_be_resumed():
    run = make_flow_run("RUNNING")

    outcome = resume_flow_run(run_id=run.pk, run_input=None, now=later(2))

    assert isinstance(outcome.verdict, Abort)
    assert outcome.state is None


def test_a_second_resume_changes_nothing():
    run = make_paused()
    resume_flow_run(run_id=run.pk, run_input=None, now=later(2))

    outcome = resume_flow_run(run_id=run.pk, run_input=None, now=later(3))

    assert isinstance(outcome.verdict, Abort)
    assert history_of(run) == ["Running", "Paused", "Running"]


def test_a_resume_after_the_deadline_fails_the_run():
    run = make_paused()

    resume_flow_run(run_id=run.pk, run_input=None, now=later(61))

    assert state_of(run) == "FAILED"


def test_the_input_that_a_pause_waits_for_is_checked_and_stored():
    run = make_paused(run_input_keyset=KEYSET)
    create_flow_run_input(flow_run_id=run.pk, key=KEYSET["schema"], value=json.dumps(SCHEMA), sender=None, now=NOON)

    wrong = resume_flow_run(run_id=run.pk, run_input={"n": "many"}, now=later(2))
    right = resume_flow_run(run_id=run.pk, run_input={"n": 3}, now=later(3))

    assert isinstance(wrong.verdict, Reject)
    assert "n: 'many' is not of type 'integer'" in wrong.verdict.reason
    assert isinstance(right.verdict, Accept)
    assert json.loads(FlowRunInput.objects.get(key=KEYSET["response"]).value) == {"n": 3}


def test_a_pause_without_its_question_is_not_resumed():
    run = make_paused(run_input_keyset=KEYSET)

    outcome = resume_flow_run(run_id=run.pk, run_input={"n": 3}, now=later(2))

    assert isinstance(outcome.verdict, Reject)
    assert state_of(run) == "PAUSED"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": {"__prefect_kind": "json", "value": "{"}}, "Invalid JSON"),
        ({"n": {"__prefect_kind": "workspace_variable", "variable_name": "none"}}, "'none'"),
        ({"n": {"__prefect_kind": "jinja", "template": "{{ x }}"}}, "Jinja"),
    ],
)
def test_inputs_that_cannot_be_filled_in_are_refused(given, words):
    run = asking_run()

    outcome = resume_flow_run(run_id=run.pk, run_input=given, now=later(2))

    assert isinstance(outcome.verdict, Reject)
    assert words in outcome.verdict.reason
    assert state_of(run) == "PAUSED"


@pytest.mark.parametrize(
    "given",
    [
        {"n": {"__prefect_kind": "json", "value": "3"}},
        {"n": {"__prefect_kind": "none", "value": 3}},
        {"n": 3, "name": {"__prefect_kind": "workspace_variable", "variable_name": "who"}},
    ],
)
def test_inputs_are_filled_in_as_parameters_are(given):
    Variable.objects.create(name="who", value="Ada")
    run = asking_run()

    outcome = resume_flow_run(run_id=run.pk, run_input=given, now=later(2))

    assert isinstance(outcome.verdict, Accept)
    stored = json.loads(FlowRunInput.objects.get(key=KEYSET["response"]).value)
    assert stored == {"n": 3, **({"name": "Ada"} if "name" in given else {})}


@pytest.mark.parametrize("schema", ["{", "", "[]", "5", "null"])
def test_a_run_with_an_invalid_schema_stays_paused(schema):
    run = asking_run(schema)

    outcome = resume_flow_run(run_id=run.pk, run_input={"n": 3}, now=later(2))

    assert isinstance(outcome.verdict, Reject)
    assert "schema" in outcome.verdict.reason
    assert state_of(run) == "PAUSED"


def test_a_run_that_has_not_started_is_cancelled_at_once():
    run = make_flow_run("SCHEDULED")

    outcome = cancel_flow_run(run_id=run.pk, now=later(1), author="page")

    assert isinstance(outcome.verdict, Reject)
    assert state_of(run) == "CANCELLED"


def test_a_running_run_is_asked_to_stop():
    run = make_flow_run("RUNNING")

    cancel_flow_run(run_id=run.pk, now=later(1))

    assert state_of(run) == "CANCELLING"


def test_a_failed_run_of_a_deployment_can_be_tried_again():
    run = make_flow_run("FAILED", deployment_id=uuid4())

    outcome = retry_flow_run(run_id=run.pk, now=later(1))

    assert isinstance(outcome.verdict, Accept)
    assert history_of(run) == ["Failed", "AwaitingRetry"]


def test_a_run_that_no_agent_can_start_is_not_scheduled_again():
    run = make_flow_run("FAILED")

    outcome = retry_flow_run(run_id=run.pk, now=later(1))

    assert isinstance(outcome.verdict, Abort)
    assert outcome.verdict.reason


def test_missing_runs_cannot_be_resumed_cancelled_or_retried():
    for attempt in (
        lambda: resume_flow_run(run_id=uuid4(), run_input=None, now=NOON),
        lambda: cancel_flow_run(run_id=uuid4(), now=NOON),
        lambda: retry_flow_run(run_id=uuid4(), now=NOON),
    ):
        with pytest.raises(FlowRunNotFound):
            attempt()


def test_pauses_that_ended_without_an_answer_fail_their_runs():
    expired, waiting, endless = make_paused(), make_paused(pause_timeout=later(9999)), make_paused(pause_timeout=None)

    assert fail_expired_pauses(later(100)) == 1
    assert fail_expired_pauses(later(100)) == 0

    assert [state_of(run) for run in (expired, waiting, endless)] == ["FAILED", "PAUSED", "PAUSED"]


def test_open_task_runs_of_a_cancelled_run_are_cancelled():
    flow_run = make_flow_run("RUNNING")
    left, done = make_task_run("RUNNING", flow_run=flow_run), make_task_run("COMPLETED", flow_run=flow_run)
    parent = make_task_run("RUNNING", flow_run=flow_run)
    nested = make_flow_run("RUNNING", parent_task_run_id=parent.pk)
    deployed = make_flow_run("RUNNING", parent_task_run_id=left.pk, deployment_id=uuid4())
    elsewhere = make_task_run("RUNNING")
    propose_flow_run_state(run_id=flow_run.pk, proposed=make_state("CANCELLED"), now=later(1), force=True)

    clean_up_cancelled(later(2))
    clean_up_cancelled(later(3))

    assert [state_of(run) for run in (left, done, nested)] == ["CANCELLED", "COMPLETED", "CANCELLED"]
    assert [state_of(run) for run in (deployed, elsewhere)] == ["CANCELLING", "RUNNING"]


def test_a_completion_that_came_first_wins_over_a_cancel():
    run = make_flow_run("COMPLETED")

    outcome = propose_flow_run_state(run_id=run.pk, proposed=cancelling(), now=later(1))

    assert isinstance(outcome.verdict, Abort)
    assert state_of(run) == "COMPLETED"


def test_a_cancelled_run_never_starts():
    run = make_flow_run("SCHEDULED")
    cancel_flow_run(run_id=run.pk, now=later(1))

    outcome = propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(2))

    assert not outcome.written
    assert state_of(run) == "CANCELLED"


def nested_in(parent: FlowRun, **fields: Any) -> FlowRun:
    place = make_task_run("RUNNING", flow_run=parent)
    return make_flow_run("RUNNING", parent_task_run_id=place.pk, **fields)


def test_nested_runs_of_a_cancelled_run_are_cancelled_with_it():
    parent = make_flow_run("RUNNING")
    inner = nested_in(parent)
    deployed = nested_in(inner, deployment_id=uuid4())
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("CANCELLED"), now=later(1), force=True)

    clean_up_cancelled(later(2))
    clean_up_cancelled(later(3))

    assert (state_of(inner), state_of(deployed)) == ("CANCELLED", "CANCELLING")


def test_detached_runs_continue_when_their_parent_is_cancelled():
    parent = make_flow_run("RUNNING")
    inner = nested_in(parent)
    deployed = nested_in(inner, deployment_id=uuid4())

    outcome, detached = cancel_flow_run_alone(run_id=parent.pk, now=later(1))
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("CANCELLED"), now=later(2), force=True)
    clean_up_cancelled(later(3))
    clean_up_cancelled(later(4))

    assert outcome.written
    assert detached == [deployed.pk]
    assert (state_of(parent), state_of(inner), state_of(deployed)) == ("CANCELLED", "CANCELLED", "RUNNING")
    deployed.refresh_from_db()
    assert deployed.parent_task_run_id is None


def test_a_run_that_cannot_be_cancelled_keeps_what_is_nested_in_it():
    parent = make_flow_run("COMPLETED")
    nested_in(parent, deployment_id=uuid4())

    outcome, detached = cancel_flow_run_alone(run_id=parent.pk, now=later(1))

    assert (outcome.written, detached) == (False, [])


def test_a_nested_run_without_an_agent_is_not_left_cancelling():
    parent = make_flow_run("RUNNING")
    inner = nested_in(parent)
    propose_flow_run_state(run_id=inner.pk, proposed=make_state("CANCELLING"), now=later(1))
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("CANCELLED"), now=later(1), force=True)

    clean_up_cancelled(later(2))

    assert state_of(inner) == "CANCELLED"


def start_again(run, at):
    assert propose_flow_run_state(run_id=run.pk, proposed=running(), now=at).written


def test_neither_pauses_nor_suspensions_nor_crashes_use_up_retries():
    run = make_flow_run("RUNNING", retries=2, crash_retries=9, deployment_id=uuid4())
    at = count(1)
    retried = []

    for number in range(3):
        for suspends in (False, True):
            pause = make_state("PAUSED", pause_key=f"{number}{suspends}", pause_reschedule=suspends)
            propose_flow_run_state(run_id=run.pk, proposed=pause, now=later(next(at)))
            resume_flow_run(run_id=run.pk, run_input=None, now=later(next(at)))
            if suspends:
                propose_flow_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(next(at)))
                propose_flow_run_state(run_id=run.pk, proposed=make_state("CRASHED"), now=later(next(at)))
                start_again(run, later(next(at)))
        propose_flow_run_state(run_id=run.pk, proposed=make_state("CRASHED"), now=later(next(at)))
        propose_flow_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(next(at)))
        propose_flow_run_state(run_id=run.pk, proposed=make_state("CRASHED"), now=later(next(at)))
        start_again(run, later(next(at)))
        propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later(next(at)))
        retried.append(state_of(run) == "SCHEDULED")
        if retried[-1]:
            start_again(run, later(next(at)))

    assert retried == [True, True, False]
    assert history_of(run)[-1] == "Failed"
