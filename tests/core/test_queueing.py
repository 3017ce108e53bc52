"""Places in queues, pools and deployments: who may be claimed, who must wait, and what both are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.policies import CORE_FLOW, CORE_TASK
from orchestration.core.rules.queueing import SlotUse, TakeQueueSlots
from orchestration.core.runs import RunPolicy
from orchestration.core.states import HOLDING, StateType
from tests.core.worlds import OTHER, World, flow_run, judge_flow, state, verdict_of

FULL = SlotUse("work queue 'q'", False, limit=2, taken=2, holder=OTHER)
FREE = SlotUse("work pool 'p'", False, limit=2, taken=1)
PAUSED = SlotUse("work queue 'q'", True)
NONE = SlotUse("deployment 'd'", False, limit=0)

FACTS = [
    # what is shown, current state, proposed state, slots, verdict, part of the reason
    ("nothing is limited", "SCHEDULED", "PENDING", (), "Accept", ""),
    ("a place is left", "SCHEDULED", "PENDING", (FREE,), "Accept", ""),
    ("every slot is taken", "SCHEDULED", "PENDING", (FREE, FULL), "Keep", "'q' is full: 2 of 2 slots are taken"),
    ("a holder is named", "SCHEDULED", "PENDING", (FULL,), "Keep", str(OTHER)),
    ("a limit of zero stops all", "SCHEDULED", "PENDING", (NONE,), "Keep", "'d' is full: 0 of 0"),
    ("a paused queue gives no runs", "SCHEDULED", "PENDING", (PAUSED,), "Keep", "'q' is paused; resume it"),
    ("a start without a claim waits", "SCHEDULED", "RUNNING", (FULL,), "Wait", "is full"),
    ("a pause stops nothing begun", "SCHEDULED", "RUNNING", (PAUSED,), "Accept", ""),
    ("a pause in process ends later", "PAUSED", "RUNNING", (FULL,), "Wait", "is full"),
    ("a finished run starts again", "FAILED", "RUNNING", (FULL,), "Wait", "is full"),
    ("a first state is judged too", None, "PENDING", (FULL,), "Keep", "is full"),
    ("who has a place keeps it", "PENDING", "RUNNING", (FULL, PAUSED), "Accept", ""),
    ("also while it is cancelled", "RUNNING", "CANCELLING", (FULL, PAUSED), "Accept", ""),
    ("ends need no place", "RUNNING", "COMPLETED", (FULL, PAUSED), "Accept", ""),
]


@pytest.mark.parametrize(
    ("initial", "proposed", "uses", "verdict", "reason"), [pytest.param(*f[1:], id=f[0]) for f in FACTS]
)
def test_slots(initial, proposed, uses, verdict, reason):
    decision = judge_flow(initial and state(initial), state(proposed), world=World(slot_uses=uses))

    assert verdict_of(decision) == verdict
    assert reason in getattr(decision.verdict, "reason", "")


def test_a_retry_in_its_own_process_waits_for_its_delay():
    retrying = flow_run(policy=RunPolicy(retries=1, retry_type="in_process"))
    world = World(slot_uses=(FULL,), slot_wait_seconds=7)

    decision = judge_flow(state("SCHEDULED", "AwaitingRetry"), state("RUNNING"), retrying, world)

    assert decision.verdict.seconds == 7


def test_only_runs_that_would_take_a_place_cost_the_question():
    world = World()

    judge_flow(state("PENDING"), state("RUNNING"), world=world)
    judge_flow(state("RUNNING"), state("COMPLETED"), world=world)

    assert "slots" not in world.asked


def test_slots_are_the_business_of_flow_runs():
    assert any(isinstance(rule, TakeQueueSlots) for rule in CORE_FLOW)
    assert not any(isinstance(rule, TakeQueueSlots) for rule in CORE_TASK)


slot_uses = st.builds(
    SlotUse, st.just("work queue 'q'"), st.booleans(), st.none() | st.integers(0, 3), st.integers(0, 3)
)


@given(st.none() | st.sampled_from(list(StateType)), st.sampled_from(list(StateType)), st.lists(slot_uses, max_size=3))
def test_no_run_gets_a_slot_beyond_the_limit(initial, proposed, uses):
    decision = judge_flow(initial and state(initial.value), state(proposed.value), world=World(slot_uses=tuple(uses)))

    takes_one = decision.state is not None and decision.state.type in HOLDING and initial not in HOLDING
    # What is asked to be cancelled holds its place until its process is gone, and no limit stands in the way of that.
    if takes_one and decision.state.type is not StateType.CANCELLING:
        assert not any(use.is_full for use in uses)
