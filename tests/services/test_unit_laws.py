"""The laws of the one writer, for flow runs: in one unit of work or each in its own, the records are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.definitions.services.deployments import create_deployment
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.models import Deployment, Slot
from deployments.schedules.services.schedules import NewSchedule
from events.automations.services.automations import create_automation
from events.models import Automation, Event, Notification
from orchestration.core.states import State, scheduled
from orchestration.new_runs import NewFlowRun
from orchestration.proposals import Outcome, Proposal
from orchestration.services import propose_flow_run_state
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import write_transaction
from orchestration.unit import Unit
from orionflow.contract.ids import uuid7
from runs.flow_runs.services import create_flow_run
from runs.models import Artifact, FlowRun, FlowRunState, TaskRun, TaskRunState
from tests.events.automations import NOTHING, trigger
from tests.events.rows import make_block, make_policy
from tests.factories import NOON, later, make_flow, make_limit, make_state, make_task_run
from tests.rounds import examples

pytestmark = pytest.mark.django_db

_worlds = count(1)
LABELLED = {"type": "reference", "artifact_type": "result"}
results = st.sampled_from([None, {"type": "unpersisted"}, LABELLED])


@dataclass(frozen=True)
class Step:
    """One move of one of two flow runs: the first is nested in a task run."""

    run: int
    type: str
    force: bool = False
    data: Any = None


steps = st.builds(
    Step,
    run=st.integers(0, 1),
    type=st.sampled_from(["PENDING", "RUNNING", "RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "SCHEDULED"]),
    force=st.sampled_from([False, False, False, True]),
    data=results,
)
first_types = st.sampled_from(["PENDING", "SCHEDULED", "RUNNING", "COMPLETED"])
firsts = st.tuples(*(st.builds(Step, st.just(number), first_types, data=results) for number in range(2)))
overlaps = st.sampled_from(["allow", "queue", "skip", "cancel_new", "cancel_old"])
PENDING = (Step(0, "PENDING"), Step(1, "PENDING"))


def be_watched() -> None:
    """Let an automation and a notification policy want to know of every state."""
    if Automation.objects.exists():
        return
    asked = {"threshold": 1, "within": 0.0, **trigger(match={}, match_related={}, after=[], expect=[], for_each=[])}
    columns = {"name": "a", "trigger": asked, "actions": [NOTHING], "actions_on_trigger": [], "actions_on_resolve": []}
    create_automation(columns=columns, now=NOON)
    make_policy(make_block("slack-webhook", {"url": "http://127.0.0.1/"}))


class World:
    """Two runs of one flow, of which the first stands for a task run that holds a slot; apart from all other worlds."""

    def __init__(self, overlap: str) -> None:
        self.name = f"u{next(_worlds)}"
        flow = make_flow(self.name)
        self.task_run = make_task_run("RUNNING", tags=[self.name])
        make_limit(self.name, 1, taken_by=[self.task_run])
        self.runs = [uuid7(), uuid7()]
        policy = {"overlap": overlap, "retries": 1, "retry_delay": 0}
        parents = (self.task_run.pk, None)
        self.new = [
            NewFlowRun(flow_id=flow.pk, id=run_id, empirical_policy=policy, parent_task_run_id=parent)
            for run_id, parent in zip(self.runs, parents, strict=True)
        ]

    def records(self) -> str:
        """Everything that is stored of the runs, but for ids and times."""
        rows = [self._record(FlowRun.objects.get(pk=run_id)) for run_id in self.runs]
        task_run = TaskRun.objects.get(pk=self.task_run.pk)
        slots = Slot.objects.filter(task_run=task_run).count()
        rows.append((_history(TaskRunState.objects.filter(task_run=task_run)), task_run.state_type, slots))
        text = str(rows).replace(self.name, "u")
        for number, run_id in enumerate(self.runs):
            text = text.replace(str(run_id), f"run {number}")
        return text

    def _record(self, run: FlowRun) -> Any:
        books = (run.seq, run.state_type, run.state_name, run.run_count, bool(run.start_time), bool(run.end_time))
        # A pause that came and went in one unit leaves no mark of it; elsewhere the mark says false.
        policy = {name: value for name, value in sorted(run.empirical_policy.items()) if value}
        refused = run.refusal and run.refusal["reason"]
        events = Event.objects.filter(resource_id=f"prefect.flow-run.{run.pk}").order_by("id")
        recorded = [(one.event, one.payload["initial_state"]) for one in events]
        shown = list(Artifact.objects.filter(flow_run_id=run.pk).values_list("type", "data"))
        messages = Notification.objects.filter(flow_run_id=run.pk).count()
        return (_history(FlowRunState.objects.filter(flow_run=run)), books, policy, refused, recorded, shown, messages)


def _history(states: Any) -> list[Any]:
    return list(states.order_by("seq").values_list("type", "name", "seq", "trail", "verdict", "data"))


def _state(step: Step) -> State:
    return make_state(step.type, id=uuid7(), data=step.data)


def in_one_unit(world: World, first: Sequence[Step], moves: Sequence[Step]) -> list[str]:
    with write_transaction():
        unit = Unit(later(10))
        for new, run_id, step in zip(world.new, world.runs, first, strict=True):
            unit.propose(unit.create(new, run_id), Proposal(_state(step), later(10), force=True))
        outcomes = [
            unit.propose(unit.run(FLOW_RUNS, world.runs[step.run]), Proposal(_state(step), later(10), force=step.force))
            for step in moves
        ]
        unit.write()
    return list(map(_verdict, outcomes))


def each_alone(world: World, first: Sequence[Step], moves: Sequence[Step]) -> list[str]:
    for new, step in zip(world.new, first, strict=True):
        create_flow_run(new=new, state=_state(step), now=later(10))
    return [
        _verdict(
            propose_flow_run_state(run_id=world.runs[step.run], proposed=_state(step), now=later(10), force=step.force)
        )
        for step in moves
    ]


def _verdict(outcome: Outcome) -> str:
    return type(outcome.verdict).__name__


@examples(8, 400)
@given(first=firsts, moves=st.lists(steps, max_size=8), overlap=overlaps)
@example(PENDING, [Step(0, "RUNNING"), Step(1, "RUNNING")], "cancel_old")
@example(PENDING, [Step(0, "RUNNING"), Step(1, "RUNNING"), Step(0, "COMPLETED", data=LABELLED)], "queue")
@example((Step(0, "COMPLETED", data=LABELLED), Step(1, "SCHEDULED")), [Step(1, "RUNNING")], "allow")
def test_transitions_in_one_unit_of_work_are_recorded_as_if_alone(
    first: tuple[Step, ...], moves: list[Step], overlap: str
):
    be_watched()
    together, apart = World(overlap), World(overlap)

    verdicts = in_one_unit(together, first, moves)

    assert each_alone(apart, first, moves) == verdicts
    assert together.records() == apart.records()


def make_deployment(*schedules: NewSchedule) -> Deployment:
    columns = {"tags": ["nightly"], "parameters": {"n": 1}, "overlap": "queue", "crash_retries": 2, "version": "7"}
    made, _ = create_deployment(flow_id=make_flow().pk, name="d", columns=columns, schedules=schedules, now=NOON)
    return made


def _columns(run: FlowRun) -> dict[str, Any]:
    own = {"id", "name", "state_id", "flow_id", "deployment_id", "idempotency_key", "schedule_id", "work_queue_id"}
    planned = {"auto_scheduled", "created_by", "tags"}
    return {
        field.attname: getattr(run, field.attname)
        for field in FlowRun._meta.concrete_fields
        if field.attname not in own | planned
    }


def _of(deployment_id: UUID) -> tuple[list[FlowRun], list[str]]:
    runs = list(FlowRun.objects.filter(deployment_id=deployment_id).order_by("expected_start_time"))
    ids = [f"prefect.flow-run.{run.pk}" for run in runs]
    events = Event.objects.filter(resource_id__in=ids).order_by("id")
    return runs, [one.event for one in events]


@pytest.mark.parametrize("watched", [True, False])
def test_a_planned_run_is_recorded_as_one_on_request(watched: bool):
    if watched:
        be_watched()
    hourly = NewSchedule(definition={"interval": 3600, "anchor_date": NOON.isoformat(), "timezone": "UTC"})

    planned, planned_events = _of(make_deployment(hourly).pk)

    asked = make_deployment()
    for run in planned:
        state = scheduled(run.expected_start_time, message="Flow run scheduled")
        create_run_of_deployment(deployment_id=asked.pk, options=RunOptions(), state=state, now=NOON)
    on_request, events = _of(asked.pk)
    assert list(map(_columns, planned)) == list(map(_columns, on_request))
    assert planned_events == events == (["prefect.flow-run.Scheduled"] * len(planned) if watched else [])
    assert planned[0].expected_start_time - NOON == timedelta(hours=1)
    for one, other in zip(planned, on_request, strict=True):
        assert _history(one.states) == _history(other.states)
