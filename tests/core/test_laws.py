"""Laws that hold for every transition, whatever the run, the facts and the policy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, ParentFlowRun, Transition, concerned, decide
from orchestration.core.effects import ReleaseSlots, TakeSlots
from orchestration.core.policies import CORE_FLOW, CORE_TASK, MINIMAL_FLOW, MINIMAL_TASK
from orchestration.core.rules.concurrency import LimitUse
from orchestration.core.runs import Overlap, RunPolicy
from orchestration.core.states import TERMINAL, StateType
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from tests.core.worlds import OTHER, PARENT, World, flow_run, soon, state, task_run
from tests.rounds import examples

seconds = st.integers(-100, 100)
types = st.sampled_from([t.value for t in StateType])
data = st.sampled_from([None, {"type": "unpersisted"}, {"type": "reference"}, 1])
keys = st.sampled_from([None, "k"])


@st.composite
def states(draw, of_type=types):
    return state(
        draw(of_type),
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
def decisions(draw, force=False, leaving=None):
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
    initial = draw(states(st.sampled_from(leaving))) if leaving else draw(st.none() | states())
    transition = Transition(run, initial, draw(states()))
    return transition, policy, decide(transition, policy, draw(worlds))


Case = tuple[Transition, tuple, Decision]
# Drawing a world takes milliseconds, and all of these tests have few seconds.
some = examples(4, 400)


@some
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


@some
@given(decisions())
def test_what_writes_nothing_does_nothing(case: Case):
    transition, _, decision = case

    idle = decision.effects == () and decision.run is transition.run

    assert decision.state is not None or idle


@some
@given(decisions())
def test_the_trail_names_each_rule_up_to_the_one_that_settled_it(case: Case):
    transition, policy, decision = case

    asked = [line.rule for _, line in concerned(policy, transition.initial_type, transition.proposed.type)]

    assert [line.rule for line in decision.trail] == asked[: len(decision.trail)]
    assert isinstance(decision.verdict, Accept) == (len(decision.trail) == len(asked) and not _settled(decision))
    assert not any(line.verdict in SETTLES for line in decision.trail[:-1])
    assert all(line.reason for line in decision.trail if line.verdict != "accept")


SETTLES = {"reject", "wait", "abort"}


def _settled(decision: Decision) -> bool:
    return bool(decision.trail) and decision.trail[-1].verdict in SETTLES


@some
@given(decisions(leaving=sorted(TERMINAL)))
def test_a_finished_run_leaves_its_final_state_only_by_the_rule_for_that(case: Case):
    transition, _, decision = case
    written, flow = decision.state, transition.run.kind == "flow-run"

    keeper = [line for line in decision.trail if line.rule.startswith("KeepFinished") and line.verdict == "amend"]

    # Or a new try is spared by the cache: from one end to another.
    assert written is None or written.is_terminal or keeper
    assert written is None or written.type not in {StateType.CANCELLING, StateType.CRASHED}
    assert written is None or written.is_terminal or transition.initial_type is not StateType.CANCELLED or not flow


@some
@given(decisions(leaving=["COMPLETED"]))
def test_a_stored_result_is_never_lost_by_running_again(case: Case):
    transition, _, decision = case
    stored, proposed = transition.initial.has_stored_data, transition.proposed

    # Whoever refreshes a task's result asks for it.
    refreshes = proposed.details.refresh_cache and proposed.type is StateType.RUNNING
    is_asked = transition.run.kind == "task-run" and refreshes

    assert not stored or is_asked or decision.state is None or decision.state.is_terminal


@some
@given(decisions(force=True))
def test_force_always_writes(case: Case):
    _, _, decision = case

    assert decision.state is not None


@some
@given(decisions())
def test_slots_are_taken_only_on_the_way_into_running(case: Case):
    _, _, decision = case

    takes = any(isinstance(effect, TakeSlots) for effect in decision.effects)
    releases = any(isinstance(effect, ReleaseSlots) for effect in decision.effects)

    assert not (takes and releases)
    assert not takes or decision.state.type is StateType.RUNNING


@some
@given(decisions())
def test_books_are_never_cooked(case: Case):
    transition, _, decision = case
    before, written = transition.run, state(decision.state.type if decision.state else "PENDING", at=soon(200))

    run = settle(decision.run, transition.initial, written)

    # The one rule that gives tries back is that of finished tasks.
    reset = transition.initial_type in TERMINAL and before.kind == "task-run"
    assert run.total_run_time >= before.total_run_time
    assert reset or run.run_count >= before.run_count
    assert reset or 0 <= run.policy.crash_count - before.policy.crash_count <= 1
    assert run.end_time is None or written.is_terminal


@some
@given(decisions())
def test_crashes_are_retried_within_their_budget(case: Case):
    transition, _, decision = case

    more = decision.run.policy.crash_count - transition.run.policy.crash_count

    assert more <= 0 or decision.run.policy.crash_count <= decision.run.policy.crash_retries
