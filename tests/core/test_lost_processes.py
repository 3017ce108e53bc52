"""Rules about processes that are gone: crash retries, waits that were lost, and cancelling what nobody executes."""

from __future__ import annotations

import pytest

from orchestration.core.runs import RunPolicy
from tests.core.worlds import OTHER, flow_run, judge_flow, soon, state, verdict_of

CRASH = state("CRASHED")
CANCEL = state("CANCELLING")


@pytest.mark.parametrize("before", ["PENDING", "RUNNING", "PAUSED"])
def test_a_crash_is_retried_wherever_a_process_may_have_been(before):
    run = flow_run(policy=RunPolicy(crash_retries=1), deployment_id=OTHER)

    decision = judge_flow(state(before), CRASH, run)

    assert (verdict_of(decision), decision.state.name) == ("Reject", "AwaitingRetry")
    assert (decision.run.policy.crash_count, decision.run.policy.retry_type) == (1, "reschedule")


def test_a_suspended_run_has_no_process_whose_crash_could_be_retried():
    run = flow_run(policy=RunPolicy(crash_retries=1), deployment_id=OTHER)

    decision = judge_flow(state("PAUSED", pause_reschedule=True), CRASH, run)

    assert decision.state.type == "CRASHED"


def test_a_deployed_run_that_waited_in_its_process_is_started_by_an_agent_at_the_same_time():
    run = flow_run(policy=RunPolicy(retries=2, retry_type="in_process"), deployment_id=OTHER)

    decision = judge_flow(state("SCHEDULED", "AwaitingRetry", scheduled_time=soon(60)), CRASH, run)

    assert (verdict_of(decision), decision.state.name) == ("Reject", "AwaitingRetry")
    assert decision.state.details.scheduled_time == soon(60)
    assert (decision.run.policy.retry_type, decision.run.policy.crash_count) == ("reschedule", 0)


@pytest.mark.parametrize(("deployment", "place"), [(None, "in_process"), (OTHER, "reschedule"), (OTHER, None)])
def test_other_scheduled_runs_crash_when_they_are_told_to(deployment, place):
    run = flow_run(policy=RunPolicy(retry_type=place), deployment_id=deployment)

    assert judge_flow(state("SCHEDULED"), CRASH, run).state.type == "CRASHED"


@pytest.mark.parametrize(
    ("columns", "end"),
    [
        ({}, "CANCELLED"),
        ({"infrastructure_pid": "here:1"}, "CANCELLING"),
        ({"infrastructure_pid": "here:1", "epoch": 1}, "CANCELLED"),
        ({"infrastructure_pid": "here:1", "epoch": 1, "leased": True}, "CANCELLING"),
        ({"leased": True, "epoch": 1}, "CANCELLING"),
    ],
)
def test_a_scheduled_run_is_cancelled_at_once_unless_a_process_has_it(columns, end):
    decision = judge_flow(state("SCHEDULED", "AwaitingRetry"), CANCEL, flow_run(**columns))

    assert decision.state.type == end
