"""Rules about processes that are gone: crash retries, waits that were lost, and cancelling what nobody executes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.policies import OUT_OF_TOUCH_FLOW
from orchestration.core.runs import RunPolicy
from tests.core.worlds import OTHER, World, flow_run, judge, judge_flow, soon, state, verdict_of

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
def test_other_scheduled_runs_accept_a_proposed_crash(deployment, place):
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


@pytest.mark.parametrize(
    ("columns", "end"),
    [
        ({}, "CANCELLED"),
        ({"epoch": 1}, "CANCELLED"),
        ({"infrastructure_pid": "here:1"}, "CANCELLING"),
        ({"is_in_a_program": True}, "CANCELLING"),
        ({"epoch": 1, "leased": True}, "CANCELLING"),
    ],
)
def test_a_pending_run_is_cancelled_at_once_unless_a_process_can_report_its_end(columns, end):
    decision = judge_flow(state("PENDING"), CANCEL, flow_run(**columns))

    assert decision.state.type == end


@pytest.mark.parametrize("before", ["PENDING", "RUNNING", "PAUSED"])
def test_an_attempt_that_its_agent_ended_for_want_of_an_answer_counts_as_no_crash(before):
    run = flow_run(policy=RunPolicy(crash_retries=1, retry_type="in_process"), deployment_id=OTHER)

    decision = judge(OUT_OF_TOUCH_FLOW, state(before), CRASH, run, World())

    assert (verdict_of(decision), decision.state.name) == ("Reject", "AwaitingRetry")
    policy = decision.run.policy
    assert (policy.crash_count, policy.handovers, policy.retry_type) == (0, 1, "reschedule")


def test_without_crash_retries_it_crashes_all_the_same():
    decision = judge(OUT_OF_TOUCH_FLOW, state("RUNNING"), CRASH, flow_run(deployment_id=OTHER), World())

    assert decision.state.type == "CRASHED"


@given(retries=st.integers(0, 5), crashes=st.integers(0, 5), handovers=st.integers(0, 5), failures=st.integers(0, 5))
def test_neither_crashes_nor_handovers_take_retries_from_failures(retries, crashes, handovers, failures):
    policy = RunPolicy(retries=retries, crash_count=crashes, handovers=handovers)
    run = flow_run(policy=policy, run_count=1 + failures + crashes + handovers)

    decision = judge_flow(state("RUNNING"), state("FAILED"), run)

    assert (decision.state.name == "AwaitingRetry") is (failures < retries)
