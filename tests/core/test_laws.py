"""Laws that hold for every transition, whatever the run, the facts and the policy."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, LimitUse, ParentFlowRun, Transition, concerned, decide
from orchestration.core.effects import ReleaseSlots, TakeSlots
from orchestration.core.policies import CORE_FLOW, CORE_TASK, MINIMAL_FLOW, MINIMAL_TASK
from orchestration.core.runs import Overlap, RunPolicy
from orchestration.core.states import TERMINAL, StateType
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from tests.core.worlds import OTHER, PARENT, World, flow_run, soon, state, task_run

seconds = st.integers(-100, 100)
types = st.sampled_from([t.value for t in StateType])
data = st.sampled_from([None, {"type": "unpersisted"}, {"type": "reference"}, 1])
keys = st.sampled_from([None, "k"])


@st.composite
def states(draw):
    return state(
        draw(types),
        draw(st.sampled_from(["", "Late", "AwaitingRetry", "Resuming", "Custom"])),
        data=draw(data),
        at=soon(draw(seconds)),
        scheduled_time=draw(st.none() | seconds.map(soon)),
        cache_key=draw(keys),
        refresh_cache=draw(st.sampled_from([None, True])),
        retriable=draw(st.sampled_from([None, False])),
        pause_key=draw(st.sampled_from([None, "1"])),
        pause_timeout=draw(st.none() | seconds.map(soon)),
        pause_reschedule=draw(st.booleans()),
        transition_id=draw(st.sampled_from([None, OTHER])),
    )


policies = st.builds(
    RunPolicy,
    retries=st.none() | st.integers(0, 3),
    retry_delay=st.none() | st.just(5.0) | st.just((1.0, 2.0)),
    retry_jitter_factor=st.none() | st.just(0.5),
    crash_retries=st.integers(0, 2),
    crash_count=st.integers(0, 2),
    overlap=st.sampled_from(list(Overlap)),
    pause_keys=st.sampled_from([frozenset(), frozenset({"1"})]),
    resuming=st.booleans(),
)
worlds = st.builds(
    World,
    draw=st.floats(0, 1, exclude_max=True),
    parent=st.none() | st.builds(ParentFlowRun, st.just(PARENT), st.none() | states(), st.integers(0, 3)),
    cached=st.sampled_from([{}, {"k": state("COMPLETED", data=1)}]),
    limits=st.lists(st.builds(LimitUse, st.just("a"), st.integers(0, 2), st.integers(0, 2)), max_size=1).map(tuple),
    active=st.sampled_from([(), (OTHER,)]),
)


@st.composite
def decisions(draw, force=False):
    """A transition, its facts, and what was decided."""
    columns = {"run_count": draw(st.integers(0, 4)), "policy": draw(policies)}
    if draw(st.booleans()):
        policy = MINIMAL_FLOW if force else CORE_FLOW
        run = flow_run(
            deployment_id=draw(st.sampled_from([None, OTHER])),
            parent_task_run_id=draw(st.sampled_from([None, OTHER])),
            infrastructure_pid=draw(st.sampled_from([None, "host:1"])),
            **columns,
        )
    else:
        policy = MINIMAL_TASK if force else CORE_TASK
        run = task_run(
            tags=draw(st.sampled_from([(), ("a",)])), flow_run_id=draw(st.sampled_from([None, PARENT])), **columns
        )
    transition = Transition(run, draw(st.none() | states()), draw(states()))
    return transition, policy, decide(transition, policy, draw(worlds))


Case = tuple[Transition, tuple, Decision]


@given(decisions())
def test_a_decision_writes_exactly_when_it_accepts_or_replaces(case: Case):
    transition, _, decision = case

    match decision.verdict:
        case Accept():
            assert decision.state is not None
            assert decision.state.type is transition.proposed.type
        case Reject():
            assert decision.state is decision.verdict.state
        case Wait() | Abort():
            assert decision.state is None


@given(decisions())
def test_what_writes_nothing_does_nothing(case: Case):
    transition, _, decision = case

    assume(decision.state is None)

    assert decision.effects == ()
    assert decision.run is transition.run


@given(decisions())
def test_the_trail_names_each_rule_up_to_the_one_that_settled_it(case: Case):
    transition, policy, decision = case
    asked = [name for name, _ in concerned(policy, transition.initial_type, transition.proposed.type)]

    assert [line.rule for line in decision.trail] == asked[: len(decision.trail)]
    assert isinstance(decision.verdict, Accept) == (len(decision.trail) == len(asked) and not _settled(decision))
    assert all(line.reason for line in decision.trail if line.verdict != "accept")


def _settled(decision: Decision) -> bool:
    return bool(decision.trail) and decision.trail[-1].verdict in {"reject", "wait", "abort"}


@given(decisions())
def test_a_finished_run_is_never_cancelled_paused_or_crashed(case: Case):
    transition, _, decision = case
    assume(transition.initial_type in TERMINAL)

    written = decision.state.type if decision.state else None

    # A cached result may stand in for a new try of a task; nothing else changes what was proposed.
    assert written not in {StateType.CANCELLING, StateType.PAUSED, StateType.CRASHED} or (
        written is StateType.PAUSED and decision.state.name == "NotReady"
    )


@given(decisions(force=True))
def test_force_always_writes(case: Case):
    _, _, decision = case

    assert decision.state is not None


@given(decisions())
def test_slots_are_taken_only_on_the_way_into_running(case: Case):
    _, _, decision = case
    takes = [e for e in decision.effects if isinstance(e, TakeSlots)]
    releases = [e for e in decision.effects if isinstance(e, ReleaseSlots)]

    assert not (takes and releases)
    if takes:
        assert decision.state.type is StateType.RUNNING


@given(decisions())
def test_books_are_never_cooked(case: Case):
    transition, _, decision = case
    assume(decision.state is not None)
    written = state(decision.state.type.value, at=soon(200))

    run = settle(decision.run, transition.initial, written)

    assert run.total_run_time >= transition.run.total_run_time
    assert run.run_count >= decision.run.run_count
    assert run.policy.crash_count <= max(transition.run.policy.crash_count, transition.run.policy.crash_retries)
    assert (run.end_time is None) or written.is_terminal
