"""Whole lives of runs through rules and bookkeeping: where the order of rules and counts shows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.bookkeeping import settle
from orchestration.core.decide import ParentFlowRun, Transition, decide
from orchestration.core.policies import CORE_FLOW, CORE_TASK, OUT_OF_TOUCH_FLOW, Policy
from orchestration.core.runs import Run, RunPolicy
from orchestration.core.states import State
from tests.core.worlds import OTHER, World, flow_run, parent_in, soon, state, task_run
from tests.rounds import examples


class Walk:
    """A run that is taken from proposal to proposal, a second apart."""

    def __init__(self, run: Run, parent: ParentFlowRun | None = None) -> None:
        self.run, self.state, self.second = run, None, 0
        self.parent = parent
        self.names: list[str] = []

    def propose(self, *proposals: State | str, policy: Policy | None = None) -> Walk:
        for proposed in proposals:
            self._propose(state(proposed) if isinstance(proposed, str) else proposed, policy)
        return self

    def _propose(self, proposed: State, policy: Policy | None) -> None:
        self.second += 1
        now = soon(self.second)
        world = World(now=now, parent=self.parent)
        policy = policy or (CORE_FLOW if self.run.kind == "flow-run" else CORE_TASK)
        decision = decide(Transition(self.run, self.state, proposed), policy, world)
        if decision.state is None:
            self.names.append(type(decision.verdict).__name__.lower())
            return
        written = replace(decision.state, timestamp=now)
        self.run, self.state = settle(decision.run, self.state, written), written
        self.names.append(written.name)


def test_a_task_uses_up_its_retries_and_each_start_is_named():
    walk = Walk(task_run(policy=RunPolicy(retries=2)), parent_in("RUNNING"))

    walk.propose("PENDING", "RUNNING", "FAILED", "RUNNING", "FAILED", "RUNNING", "FAILED")

    retried = ["AwaitingRetry", "Retrying"]
    assert walk.names == ["Pending", "Running", *retried, *retried, "Failed"]
    assert walk.run.run_count == 3


def test_crashes_and_failures_have_budgets_of_their_own():
    walk = Walk(task_run(policy=RunPolicy(retries=1, crash_retries=2)), parent_in("RUNNING"))

    walk.propose("PENDING", "RUNNING", "CRASHED", "RUNNING", "CRASHED", "RUNNING", "FAILED", "RUNNING", "FAILED")

    assert walk.names[2::2] == ["AwaitingRetry", "AwaitingRetry", "AwaitingRetry"] + ["Failed"]
    assert (walk.run.run_count, walk.run.policy.crash_count) == (4, 2)


def test_a_finished_task_is_retrying_in_a_later_attempt_of_its_flow_and_running_in_the_same():
    later, same = (Walk(task_run(), parent_in("RUNNING", run_count=1)) for _ in range(2))
    for walk in (later, same):
        walk.propose("PENDING", "RUNNING", "FAILED")

    later.parent = parent_in("RUNNING", run_count=2)
    later.propose("RUNNING")
    same.propose("RUNNING")

    assert (later.names[-1], same.names[-1]) == ("Retrying", "Running")
    assert (later.run.flow_run_run_count, same.run.flow_run_run_count) == (2, 1)
    assert (later.run.run_count, same.run.run_count) == (1, 1)


def test_a_pause_in_the_process_counts_a_start_and_fires_once():
    pause = state("PAUSED", pause_key="1")

    walk = Walk(flow_run()).propose("PENDING", "RUNNING", pause, "RUNNING", pause, "COMPLETED")

    assert walk.names == ["Pending", "Running", "Paused", "Running", "reject", "Completed"]
    assert (walk.run.run_count, walk.run.policy.resuming) == (2, False)


def test_a_suspended_run_is_started_again_by_an_agent_in_the_same_attempt():
    suspend = state("PAUSED", "Suspended", pause_reschedule=True, pause_key="1")
    resume = state("SCHEDULED", "Resuming", scheduled_time=soon(0))

    walk = Walk(flow_run(deployment_id=OTHER)).propose("PENDING", "RUNNING", suspend, resume, "PENDING", "RUNNING")

    assert walk.names == ["Pending", "Running", "Suspended", "Resuming", "Pending", "Running"]
    assert (walk.run.run_count, walk.run.policy.resuming) == (1, False)


def test_a_retried_flow_fires_its_pauses_again():
    pause = state("PAUSED", pause_key="1")

    walk = Walk(flow_run(policy=RunPolicy(retries=2)))
    walk.propose("PENDING", "RUNNING", pause, "RUNNING", "FAILED", "RUNNING", pause)

    assert walk.names[-3:] == ["AwaitingRetry", "Running", "Paused"]


def test_a_cancelled_flow_run_ends_cancelled_for_any_report_of_its_client():
    walk = Walk(flow_run()).propose("PENDING", "RUNNING", "CANCELLING", "CRASHED", "COMPLETED", "CANCELLED", "RUNNING")

    assert walk.names[2:] == ["Cancelling", "reject", "reject", "Cancelled", "reject"]
    assert walk.run.end_time == soon(6)


class DeployedWalk(Walk):
    """A flow run of a deployment that is taken from state to state by what may happen to it."""

    def __init__(self, retries: int) -> None:
        super().__init__(flow_run(deployment_id=OTHER, policy=RunPolicy(retries=retries, crash_retries=100)))
        self.retries_given = 0
        self.propose(state("SCHEDULED", scheduled_time=soon(0)))

    @property
    def possible(self) -> list[str]:
        match self.state.type:
            case "SCHEDULED" if self.run.policy.retry_type == "in_process":
                return ["start", "crash", "late"]
            case "SCHEDULED":
                return ["claim", "late"]
            case "PENDING":
                return ["start", "crash", "fall silent", "lose"]
            case "RUNNING":
                return ["fail", "pause", "suspend", "crash", "fall silent"]
            case "PAUSED":
                return ["resume"] if self.state.details.pause_reschedule else ["start", "crash", "fall silent"]
        return []

    def happen(self, what: str) -> None:
        match what:
            case "claim":
                self.propose("PENDING")
            case "start":
                self.propose("RUNNING")
            case "crash":
                self.propose("CRASHED")
            case "fall silent":
                self.propose("CRASHED", policy=OUT_OF_TOUCH_FLOW)
            case "late":
                self.propose(state("SCHEDULED", "Late", scheduled_time=self.state.details.scheduled_time))
            case "lose":
                self.propose(state("SCHEDULED", scheduled_time=soon(0)))
            case "resume":
                self.propose(state("SCHEDULED", "Resuming", scheduled_time=soon(0)))
            case "pause" | "suspend":
                self.propose(state("PAUSED", pause_key=str(self.second), pause_reschedule=what == "suspend"))
            case "fail":
                self.propose("FAILED")
                self.retries_given += self.names[-1] == "AwaitingRetry"


@given(st.integers(0, 3), st.data())
@examples(12, 1000)
def test_other_events_do_not_use_up_retries_of_a_flow_run(retries: int, data: st.DataObject):
    walk = DeployedWalk(retries)

    for _ in range(data.draw(st.integers(0, 30))):
        if walk.possible:
            walk.happen(data.draw(st.sampled_from(walk.possible)))
    while possible := walk.possible:
        walk.happen("fail" if "fail" in possible else possible[0])

    assert walk.names[-1] == "Failed"
    assert walk.retries_given == retries


def test_a_pause_uses_up_no_retry():
    walk = Walk(flow_run(policy=RunPolicy(retries=2)))

    for number in range(3):
        walk.propose("RUNNING", state("PAUSED", pause_key=str(number)), "RUNNING", "FAILED")

    assert walk.names[3::4] == ["AwaitingRetry", "AwaitingRetry", "Failed"]
    assert walk.run.run_count == 6


def test_a_crash_before_the_start_is_no_start_and_gives_no_retry():
    walk = Walk(flow_run(policy=RunPolicy(retries=1, crash_retries=1)))

    walk.propose("PENDING", "CRASHED", "RUNNING", "FAILED", "RUNNING", "FAILED")

    assert walk.names[1:] == ["AwaitingRetry", "Running", "AwaitingRetry", "Running", "Failed"]
