"""The rules of task runs, one row for each fact of the contract."""

from __future__ import annotations

import pytest

from orchestration.core.decide import ParentFlowRun
from orchestration.core.effects import ExpireCaches, ReleaseSlots, RememberResult, TakeSlots
from orchestration.core.policies import BACKGROUND_TASK, CORE_FLOW, CORE_TASK, MINIMAL_TASK, usual_policy
from orchestration.core.rules.concurrency import LimitUse
from orchestration.core.runs import Run, RunPolicy
from orchestration.core.states import State
from tests.core.worlds import PARENT, World, flow_run, judge, judge_task, parent_in, soon, state, task_run, verdict_of

STORED = {"type": "reference", "storage_key": "x"}
RETRIES = RunPolicy(retries=2)
HIT = World(parent=parent_in("RUNNING"), cached={"k": state("COMPLETED", data=STORED, cache_key="k")})

FACTS: list[tuple[str, State | None, State, Run, World | None, str, str]] = [
    ("pending tasks start", state("PENDING"), state("RUNNING"), task_run(), None, "Accept", "Running"),
    ("a known key is not run", state("PENDING"), state("RUNNING", cache_key="k"), task_run(), HIT, "Reject", "Cached"),
    (
        "unless it is to be refreshed",
        state("PENDING"),
        state("RUNNING", cache_key="k", refresh_cache=True),
        task_run(),
        HIT,
        "Accept",
        "Running",
    ),
    ("an unknown key is run", state("PENDING"), state("RUNNING", cache_key="z"), task_run(), HIT, "Accept", "Running"),
    ("completed does not crash", state("COMPLETED"), state("CRASHED"), task_run(), None, "Abort", ""),
    ("a result is kept", state("COMPLETED", data=STORED), state("RUNNING"), task_run(), None, "Keep", ""),
    ("even from failure", state("COMPLETED", data=STORED), state("FAILED"), task_run(), None, "Keep", ""),
    (
        "failed runs again",
        state("FAILED"),
        state("RUNNING"),
        task_run(run_count=3, flow_run_run_count=1),
        None,
        "Accept",
        "Running",
    ),
    (
        "in a later attempt of the flow it is retrying",
        state("FAILED"),
        state("RUNNING"),
        task_run(run_count=1, flow_run_run_count=1),
        World(parent=parent_in("RUNNING", run_count=2)),
        "Accept",
        "Retrying",
    ),
    (
        "the flow has no state",
        state("PENDING"),
        state("RUNNING"),
        task_run(),
        World(parent=ParentFlowRun(PARENT, None, 0)),
        "Abort",
        "",
    ),
    (
        "the flow has ended",
        state("PENDING"),
        state("RUNNING"),
        task_run(),
        World(parent=parent_in("FAILED")),
        "Abort",
        "",
    ),
    (
        "the flow is being cancelled",
        state("PENDING"),
        state("RUNNING"),
        task_run(),
        World(parent=parent_in("CANCELLING")),
        "Abort",
        "",
    ),
    (
        "the flow is paused",
        state("PENDING"),
        state("RUNNING"),
        task_run(),
        World(parent=parent_in("PAUSED", pause_timeout=soon(60))),
        "Reject",
        "NotReady",
    ),
    ("a task of its own", state("PENDING"), state("RUNNING"), task_run(flow_run_id=None), World(), "Accept", "Running"),
    ("too early", state("SCHEDULED", scheduled_time=soon(9)), state("RUNNING"), task_run(), None, "Wait", ""),
    ("no retries", state("RUNNING"), state("FAILED"), task_run(run_count=1), None, "Accept", "Failed"),
    (
        "a retry",
        state("RUNNING"),
        state("FAILED"),
        task_run(run_count=2, policy=RETRIES),
        None,
        "Reject",
        "AwaitingRetry",
    ),
    ("no more", state("RUNNING"), state("FAILED"), task_run(run_count=3, policy=RETRIES), None, "Accept", "Failed"),
    (
        "not retriable",
        state("RUNNING"),
        state("FAILED", retriable=False),
        task_run(run_count=1, policy=RETRIES),
        None,
        "Accept",
        "Failed",
    ),
    (
        "a task never retries because its infrastructure crashed",
        state("RUNNING"),
        state("CRASHED"),
        task_run(run_count=1, policy=RETRIES),
        None,
        "Accept",
        "Crashed",
    ),
    (
        "unless told so",
        state("RUNNING"),
        state("CRASHED"),
        task_run(run_count=1, policy=RunPolicy(crash_retries=1)),
        None,
        "Reject",
        "AwaitingRetry",
    ),
    (
        "the second start is a retry",
        state("SCHEDULED", "AwaitingRetry", scheduled_time=soon(-1)),
        state("RUNNING"),
        task_run(run_count=1),
        None,
        "Accept",
        "Retrying",
    ),
    ("or a rerun", state("RUNNING"), state("RUNNING"), task_run(run_count=1), None, "Accept", "Rerunning"),
]


@pytest.mark.parametrize(
    ("initial", "proposed", "run", "world", "verdict", "name"), [f[1:] for f in FACTS], ids=[f[0] for f in FACTS]
)
def test_each_fact_of_the_contract_holds(initial, proposed, run, world, verdict, name):
    decision = judge_task(initial, proposed, run, world)

    assert verdict_of(decision) == verdict
    assert (decision.state.name if decision.state else "") == name


def test_a_held_task_carries_the_deadline_of_the_pause():
    world = World(parent=parent_in("PAUSED", pause_timeout=soon(60), pause_reschedule=True))

    decision = judge_task(state("PENDING"), state("RUNNING"), world=world)

    assert decision.state.details.pause_timeout == soon(60)
    assert decision.state.details.pause_reschedule is True


def test_a_cached_state_keeps_its_data_but_not_its_identity():
    decision = judge_task(state("PENDING"), state("RUNNING", cache_key="k"), world=HIT)

    assert (decision.state.data, decision.state.id, decision.state.timestamp) == (STORED, None, None)


def test_completing_with_a_cache_key_remembers_the_result():
    decision = judge_task(state("RUNNING"), state("COMPLETED", cache_key="k", cache_expiration=soon(60)))

    assert decision.effects == (RememberResult("k", soon(60)),)


def test_leaving_a_final_state_expires_the_cache_and_gives_all_retries_back():
    decision = judge_task(state("FAILED"), state("RUNNING"), task_run(run_count=3))

    assert decision.run.run_count == 0
    assert ExpireCaches() in decision.effects


def test_the_cache_is_invalidated_in_every_way_out_of_a_final_state():
    held = judge_task(state("COMPLETED"), state("RUNNING"), world=World(parent=parent_in("PAUSED")))
    forced = judge(MINIMAL_TASK, state("COMPLETED", data=STORED), state("RUNNING"), task_run(), World())
    ended = judge_task(state("FAILED"), state("COMPLETED"))

    assert (held.effects, forced.effects, ended.effects) == ((ExpireCaches(),), (ExpireCaches(),), ())


def test_a_stored_result_is_kept_unless_the_task_must_run_again():
    run = task_run(run_count=2, policy=RETRIES)
    kept = judge_task(state("COMPLETED", data=STORED), state("RUNNING"), run)
    refreshed = judge_task(state("COMPLETED", data=STORED), state("RUNNING", refresh_cache=True), run)
    set_by_hand = judge_task(state("COMPLETED", data=STORED), state("FAILED", refresh_cache=True), run)

    assert verdict_of(kept) == verdict_of(set_by_hand) == "Keep"
    assert (verdict_of(refreshed), refreshed.run.run_count) == ("Accept", 0)


def test_crashes_are_forgiven_when_a_finished_task_starts_again():
    run = task_run(run_count=3, policy=RunPolicy(crash_retries=1, crash_count=1))

    decision = judge_task(state("CRASHED"), state("RUNNING"), run)

    assert (decision.run.run_count, decision.run.policy.crash_count) == (0, 0)


def test_slots_are_taken_on_the_way_in_and_given_back_on_the_way_out():
    run = task_run(tags=("b", "a", "free"), run_count=1, policy=RETRIES)
    world = World(parent=parent_in("RUNNING"), limits=(LimitUse("b", 1, 0), LimitUse("a", 2, 1)))

    enters = judge_task(state("PENDING"), state("RUNNING"), run, world)
    leaves = judge_task(state("RUNNING"), state("COMPLETED"), run, world)
    retries = judge_task(state("RUNNING"), state("FAILED"), run, world)

    assert enters.effects == (TakeSlots(("a", "b")),)
    assert leaves.effects == (ReleaseSlots(),)
    assert retries.effects == (ReleaseSlots(),)


def test_a_full_limit_makes_the_task_wait_and_takes_no_slot_of_the_others():
    world = World(parent=parent_in("RUNNING"), limits=(LimitUse("a", 1, 0), LimitUse("b", 2, 2)))

    decision = judge_task(state("PENDING"), state("RUNNING"), task_run(tags=("a", "b")), world)

    assert decision.verdict.seconds == 30
    assert decision.verdict.reason == "2 of 2 slots of tag 'b' are taken"
    assert decision.effects == ()


def test_a_limit_of_zero_stops_the_task_even_when_another_limit_is_full():
    world = World(parent=parent_in("RUNNING"), limits=(LimitUse("a", 1, 1), LimitUse("b", 0, 0)))

    decision = judge_task(state("PENDING"), state("RUNNING"), task_run(tags=("a", "b")), world)

    assert verdict_of(decision) == "Abort"


def test_an_untagged_task_without_cache_key_asks_only_for_its_flow_run():
    world = World(parent=parent_in("RUNNING"))

    judge_task(state("PENDING"), state("RUNNING"), task_run(), world)

    assert set(world.asked) == {"parent"}


def test_a_slot_is_not_taken_by_a_task_that_waits_for_its_time():
    world = World(parent=parent_in("RUNNING"), limits=(LimitUse("a", 1, 0),))

    decision = judge_task(state("SCHEDULED", scheduled_time=soon(60)), state("RUNNING"), task_run(tags=("a",)), world)

    assert verdict_of(decision) == "Wait"
    assert decision.effects == ()


@pytest.mark.parametrize(
    ("initial", "verdict"),
    [("SCHEDULED", "Accept"), ("PENDING", "Abort"), ("RUNNING", "Abort"), ("CANCELLED", "Abort"), ("FAILED", "Accept")],
)
def test_a_task_run_without_a_flow_run_is_claimed_once(initial, verdict):
    run = task_run(flow_run_id=None)

    claimed = judge(BACKGROUND_TASK, state(initial), state("PENDING"), run, World())

    assert type(claimed.verdict).__name__ == verdict


@pytest.mark.parametrize(
    ("initial", "claims", "verdict"),
    [
        ("RUNNING", 1, "Accept"),
        ("RUNNING", 2, "Abort"),
        ("FAILED", 1, "Accept"),
        ("FAILED", 2, "Abort"),
        ("COMPLETED", 2, "Abort"),
        ("PENDING", 2, "Accept"),
        ("SCHEDULED", 2, "Accept"),
    ],
)
def test_one_of_the_workers_that_claimed_a_call_starts_it(initial, claims, verdict):
    run = task_run(flow_run_id=None)

    started = judge(BACKGROUND_TASK, state(initial), state("RUNNING"), run, World(claims=claims))

    assert ("Abort" if verdict_of(started) == "Abort" else "Accept") == verdict


def test_which_rules_judge_a_run_depends_on_what_it_belongs_to():
    assert usual_policy(task_run()) is CORE_TASK
    assert usual_policy(task_run(flow_run_id=None)) is BACKGROUND_TASK
    assert usual_policy(flow_run()) is CORE_FLOW
