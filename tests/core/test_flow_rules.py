"""The rules of flow runs, one row for each fact of the contract."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from orchestration.core.effects import CancelRuns, MirrorToParentTask
from orchestration.core.policies import AGAIN_FLOW, MINIMAL_FLOW
from orchestration.core.runs import Overlap, Run, RunPolicy
from orchestration.core.states import State
from tests.core.worlds import NOON, OTHER, World, flow_run, judge, judge_flow, soon, state, verdict_of

DEPLOYMENT = UUID(int=9)
STORED = {"type": "reference", "storage_key": "x"}
UNPERSISTED = {"type": "unpersisted"}
PAST = NOON - timedelta(seconds=1)

FACTS: list[tuple[str, State | None, State, Run, str, str]] = [
    # what is shown, current state, proposed state, run, verdict, name of the written state
    ("a first state is taken", None, state("PENDING"), flow_run(), "Accept", "Pending"),
    ("pending runs start", state("PENDING"), state("RUNNING"), flow_run(), "Accept", "Running"),
    ("a custom name is kept", state("RUNNING"), state("COMPLETED", "Skimmed"), flow_run(), "Accept", "Skimmed"),
    (
        "the same transition id twice",
        state("RUNNING", transition_id=OTHER),
        state("RUNNING", transition_id=OTHER),
        flow_run(),
        "Keep",
        "",
    ),
    ("completed cannot be cancelled", state("COMPLETED"), state("CANCELLING"), flow_run(), "Abort", ""),
    ("failed cannot be paused", state("FAILED"), state("PAUSED"), flow_run(), "Abort", ""),
    ("completed cannot crash", state("COMPLETED"), state("CRASHED"), flow_run(), "Abort", ""),
    ("a stored result is kept", state("COMPLETED", data=STORED), state("RUNNING"), flow_run(), "Keep", ""),
    ("an unstored one is not", state("COMPLETED", data=UNPERSISTED), state("RUNNING"), flow_run(), "Accept", "Running"),
    ("nobody would start it", state("FAILED"), state("SCHEDULED"), flow_run(), "Abort", ""),
    (
        "its deployment would",
        state("FAILED"),
        state("SCHEDULED", scheduled_time=NOON),
        flow_run(deployment_id=DEPLOYMENT),
        "Accept",
        "Scheduled",
    ),
    ("failed runs start again", state("FAILED"), state("RUNNING"), flow_run(), "Accept", "Running"),
    ("cancelling ends cancelled", state("CANCELLING"), state("CANCELLED"), flow_run(), "Accept", "Cancelled"),
    ("cancelling does not crash", state("CANCELLING"), state("CRASHED"), flow_run(), "Keep", ""),
    ("cancelling does not complete", state("CANCELLING"), state("COMPLETED"), flow_run(), "Keep", ""),
    ("cancelled is not rerun", state("CANCELLED"), state("RUNNING"), flow_run(), "Keep", ""),
    ("a waiting run is cancelled at once", state("SCHEDULED"), state("CANCELLING"), flow_run(), "Reject", "Cancelled"),
    (
        "a started one is not",
        state("SCHEDULED"),
        state("CANCELLING"),
        flow_run(infrastructure_pid="host:1"),
        "Accept",
        "Cancelling",
    ),
    (
        "unless it is about to resume",
        state("SCHEDULED", "Resuming"),
        state("CANCELLING"),
        flow_run(infrastructure_pid="host:1"),
        "Reject",
        "Cancelled",
    ),
    (
        "a suspended run is cancelled at once",
        state("PAUSED", pause_reschedule=True),
        state("CANCELLING"),
        flow_run(),
        "Reject",
        "Cancelled",
    ),
    # Its process sleeps; it is told when it asks next, and ends the run.
    ("a pause in process is cancelled by it", state("PAUSED"), state("CANCELLING"), flow_run(), "Accept", "Cancelling"),
    ("one worker claims it", state("PENDING"), state("PENDING"), flow_run(), "Abort", ""),
    ("nobody claims a running run", state("RUNNING"), state("PENDING"), flow_run(), "Abort", ""),
    ("running is not late", state("RUNNING"), state("SCHEDULED", "Late"), flow_run(), "Keep", ""),
    ("scheduled may be late", state("SCHEDULED"), state("SCHEDULED", "Late"), flow_run(), "Accept", "Late"),
    ("no pause before a state", None, state("PAUSED"), flow_run(), "Abort", ""),
    ("no pause before running", state("PENDING"), state("PAUSED"), flow_run(), "Keep", ""),
    ("running can pause", state("RUNNING"), state("PAUSED", pause_key="1"), flow_run(), "Accept", "Paused"),
    (
        "a pause fires once",
        state("RUNNING"),
        state("PAUSED", pause_key="1"),
        flow_run(policy=RunPolicy(pause_keys=frozenset({"1"}))),
        "Keep",
        "",
    ),
    (
        "a nested run is not suspended",
        state("RUNNING"),
        state("PAUSED", pause_reschedule=True),
        flow_run(parent_task_run_id=OTHER, deployment_id=DEPLOYMENT),
        "Abort",
        "",
    ),
    (
        "nor one without deployment",
        state("RUNNING"),
        state("PAUSED", pause_reschedule=True),
        flow_run(),
        "Abort",
        "",
    ),
    ("a pause ends by resuming", state("PAUSED"), state("RUNNING"), flow_run(), "Accept", "Running"),
    ("a pause does not become pending", state("PAUSED"), state("PENDING"), flow_run(), "Keep", ""),
    ("too late to resume", state("PAUSED", pause_timeout=PAST), state("RUNNING"), flow_run(), "Reject", "Failed"),
    ("or to end otherwise", state("PAUSED", pause_timeout=PAST), state("COMPLETED"), flow_run(), "Reject", "Failed"),
    ("in time to resume", state("PAUSED", pause_timeout=soon(1)), state("RUNNING"), flow_run(), "Accept", "Running"),
    ("a pause may end the run", state("PAUSED"), state("CANCELLED"), flow_run(), "Accept", "Cancelled"),
    (
        "its deployment is gone",
        state("PAUSED", pause_reschedule=True),
        state("SCHEDULED", "Resuming"),
        flow_run(),
        "Keep",
        "",
    ),
    ("a first state is not late", None, state("SCHEDULED", "Late"), flow_run(), "Keep", ""),
    ("a finished run changes its end", state("FAILED"), state("COMPLETED"), flow_run(), "Accept", "Completed"),
    ("the time has not come", state("SCHEDULED", scheduled_time=soon(90)), state("RUNNING"), flow_run(), "Wait", ""),
    (
        "not for half a second",
        state("PENDING", scheduled_time=soon(0.4)),
        state("RUNNING"),
        flow_run(),
        "Accept",
        "Running",
    ),
    ("no retries asked", state("RUNNING"), state("FAILED"), flow_run(run_count=1), "Accept", "Failed"),
    (
        "a retry is left",
        state("RUNNING"),
        state("FAILED"),
        flow_run(run_count=1, policy=RunPolicy(retries=1)),
        "Reject",
        "AwaitingRetry",
    ),
    (
        "no retry is left",
        state("RUNNING"),
        state("FAILED"),
        flow_run(run_count=2, policy=RunPolicy(retries=1)),
        "Accept",
        "Failed",
    ),
    (
        "a crash is final",
        state("RUNNING"),
        state("CRASHED"),
        flow_run(policy=RunPolicy(retries=3)),
        "Accept",
        "Crashed",
    ),
    (
        "unless crashes are retried",
        state("RUNNING"),
        state("CRASHED"),
        flow_run(policy=RunPolicy(crash_retries=1)),
        "Reject",
        "AwaitingRetry",
    ),
    (
        "as often as was said",
        state("RUNNING"),
        state("CRASHED"),
        flow_run(policy=RunPolicy(crash_retries=1, crash_count=1)),
        "Accept",
        "Crashed",
    ),
]


@pytest.mark.parametrize(
    ("initial", "proposed", "run", "verdict", "name"), [f[1:] for f in FACTS], ids=[f[0] for f in FACTS]
)
def test_each_fact_of_the_contract_holds(initial, proposed, run, verdict, name):
    decision = judge_flow(initial, proposed, run)

    assert verdict_of(decision) == verdict
    assert (decision.state.name if decision.state else "") == name


def test_a_retry_waits_its_delay_and_forgets_the_pauses():
    policy = RunPolicy(retries=2, retry_delay=10, pause_keys=frozenset({"1"}), resuming=True)

    decision = judge_flow(state("RUNNING"), state("FAILED"), flow_run(run_count=2, policy=policy))

    assert decision.state.details.scheduled_time == soon(10)
    assert decision.run.policy == RunPolicy(retries=2, retry_delay=10, retry_type="in_process")
    assert decision.verdict.reason == "retry 2 of 2 in 10 s"


@pytest.mark.parametrize(("deployment", "place"), [(DEPLOYMENT, "reschedule"), (None, "in_process")])
def test_a_crashed_run_is_started_by_an_agent_where_there_is_one(deployment, place):
    policy = RunPolicy(crash_retries=2, crash_count=1, pause_keys=frozenset({"1"}), resuming=True)

    decision = judge_flow(state("RUNNING"), state("CRASHED"), flow_run(deployment_id=deployment, policy=policy))

    assert decision.run.policy == RunPolicy(crash_retries=2, crash_count=2, retry_type=place)
    assert decision.verdict.reason == "crash retry 2 of 2 in 0 s"


def test_a_rerun_by_hand_gives_no_retries_back():
    policy = RunPolicy(retries=1, crash_retries=1, crash_count=1, pause_keys=frozenset({"1"}), resuming=True)

    decision = judge_flow(state("CRASHED"), state("RUNNING"), flow_run(run_count=2, policy=policy))

    assert decision.run.policy == RunPolicy(retries=1, crash_retries=1, crash_count=1)
    assert decision.run.run_count == 2


def test_a_suspended_run_that_was_retried_in_its_process_is_left_to_an_agent():
    run = flow_run(deployment_id=DEPLOYMENT, policy=RunPolicy(retry_type="in_process"))

    decision = judge_flow(state("PAUSED", "Suspended", pause_reschedule=True), state("SCHEDULED", "Resuming"), run)

    assert decision.run.policy.retry_type == "reschedule"


def test_a_failed_flow_is_retried_even_if_its_client_calls_the_failure_final():
    run = flow_run(run_count=1, policy=RunPolicy(retries=1))

    decision = judge_flow(state("RUNNING"), state("FAILED", retriable=False), run)

    assert decision.state.name == "AwaitingRetry"


def test_crashes_do_not_use_up_the_retries_of_failures():
    policy = RunPolicy(retries=1, crash_retries=5, crash_count=3)

    decision = judge_flow(state("RUNNING"), state("FAILED"), flow_run(run_count=4, policy=policy))

    assert decision.verdict.reason == "retry 1 of 1 in 0 s"


def test_the_pending_state_of_a_scheduled_run_keeps_its_time():
    decision = judge_flow(state("SCHEDULED", scheduled_time=soon(90)), state("PENDING"))

    assert decision.state.details.scheduled_time == soon(90)


def test_a_wait_has_rounded_seconds():
    decision = judge_flow(state("SCHEDULED", scheduled_time=soon(89.6)), state("RUNNING"))

    assert decision.verdict.seconds == 90


def test_a_pause_without_a_key_gets_an_unused_one():
    run = flow_run(policy=RunPolicy(pause_keys=frozenset({"pause-2"})))

    decision = judge_flow(state("RUNNING"), state("PAUSED"), run)

    assert decision.state.details.pause_key == "pause-3"
    assert decision.run.policy.pause_keys == {"pause-2", "pause-3"}


@pytest.mark.parametrize(
    ("overlap", "verdict", "name"),
    [
        (Overlap.ALLOW, "Accept", "Running"),
        (Overlap.QUEUE, "Wait", ""),
        (Overlap.SKIP, "Reject", "Skipped"),
        (Overlap.CANCEL_NEW, "Reject", "Cancelled"),
        (Overlap.CANCEL_OLD, "Accept", "Running"),
    ],
)
def test_the_overlap_policy_decides_when_another_run_of_the_flow_is_running(overlap, verdict, name):
    run = flow_run(policy=RunPolicy(overlap=overlap))

    decision = judge_flow(state("PENDING"), state("RUNNING"), run, World(active=(OTHER,)))

    assert verdict_of(decision) == verdict
    assert (decision.state.name if decision.state else "") == name


def test_cancelling_the_old_run_is_an_effect_of_starting_the_new_one():
    run = flow_run(policy=RunPolicy(overlap=Overlap.CANCEL_OLD))

    decision = judge_flow(state("PENDING"), state("RUNNING"), run, World(active=(OTHER,)))

    assert [type(effect) for effect in decision.effects] == [CancelRuns]
    assert decision.effects[0].flow_run_ids == (OTHER,)


@pytest.mark.parametrize("overlap", [overlap for overlap in Overlap if overlap is not Overlap.ALLOW])
def test_a_rerun_waits_for_its_turn_under_every_overlap_policy(overlap):
    run = flow_run(run_count=1, policy=RunPolicy(overlap=overlap))

    decision = judge_flow(state("SCHEDULED", "AwaitingRetry"), state("RUNNING"), run, World(active=(OTHER,)))

    assert verdict_of(decision) == "Wait"


def test_a_run_that_is_running_does_not_wait_for_its_turn_again():
    run = flow_run(run_count=1, policy=RunPolicy(overlap=Overlap.QUEUE))

    decision = judge_flow(state("RUNNING"), state("RUNNING"), run, World(active=(OTHER,)))

    assert verdict_of(decision) == "Accept"


def test_other_runs_are_read_only_if_the_policy_needs_them():
    world = World()

    judge_flow(state("PENDING"), state("RUNNING"), flow_run(), world)

    assert world.asked == []


def test_a_nested_run_carries_its_parent_task_along_even_when_it_is_rejected():
    run = flow_run(run_count=1, parent_task_run_id=OTHER, policy=RunPolicy(retries=1))

    decision = judge_flow(state("RUNNING"), state("FAILED"), run)

    assert decision.state.name == "AwaitingRetry"
    assert decision.effects == (MirrorToParentTask(OTHER),)


def test_force_takes_a_run_out_of_its_end_but_cannot_leave_a_waiting_run_cancelling():
    reopened = judge(MINIMAL_FLOW, state("COMPLETED", data=STORED), state("RUNNING"), flow_run(), World())
    cancelled = judge(MINIMAL_FLOW, state("SCHEDULED"), state("CANCELLING"), flow_run(), World())

    assert verdict_of(reopened) == "Accept"
    assert cancelled.state.name == "Cancelled"


def test_a_failure_completed_by_hand_has_an_unknown_result():
    decision = judge(MINIMAL_FLOW, state("FAILED", data=STORED), state("COMPLETED"), flow_run(), World())

    assert decision.state.data == {"type": "unknown"}


@pytest.mark.parametrize(
    ("initial", "proposed", "deployment_id", "verdict"),
    [
        (state("COMPLETED", data=STORED), state("SCHEDULED", scheduled_time=NOON), DEPLOYMENT, "Accept"),
        (state("FAILED"), state("SCHEDULED", scheduled_time=NOON), DEPLOYMENT, "Accept"),
        (state("COMPLETED", data=STORED), state("SCHEDULED", scheduled_time=NOON), None, "Abort"),
        # A program runs it.
        (state("COMPLETED", data=STORED), state("PENDING"), None, "Accept"),
    ],
)
def test_a_run_with_tasks_to_run_again_starts_despite_a_stored_result(
    initial: State, proposed: State, deployment_id: UUID | None, verdict: str
):
    run = flow_run(run_count=1, deployment_id=deployment_id, policy=RunPolicy(pause_keys=frozenset({"1"})))

    decision = judge(AGAIN_FLOW, initial, proposed, run, World())

    assert verdict_of(decision) == verdict
    if verdict == "Accept":
        assert decision.run.policy.retried_from_task
        assert decision.run.policy.pause_keys == frozenset()


def test_a_later_start_still_takes_up_only_what_was_not_set_aside():
    run = flow_run(run_count=2, deployment_id=DEPLOYMENT, policy=RunPolicy(retried_from_task=True))

    decision = judge_flow(state("FAILED"), state("SCHEDULED", scheduled_time=NOON), run)

    assert decision.run.policy.retried_from_task
