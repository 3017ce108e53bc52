"""A row that a service cannot work on: all others get their turn, and the service reports the error."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import InternalError, OperationalError

from deployments.dispatch.services import lateness
from deployments.dispatch.services.attempt_exit import Cause, release_by_force
from deployments.dispatch.services.dead_processes import cancel_unserved_runs, crash_runs_of_dead_processes
from deployments.dispatch.services.lateness import mark_late_runs
from orchestration.one_by_one import Turns, work_on_each
from orchestration.services import propose_flow_run_state
from orion_site.services import registry
from runs.bulk_actions import services as bulk_actions
from runs.models import BulkAction, FlowRun, FlowRunState, Problem, TaskRun, TaskRunState
from runs.problems.services import mending
from runs.upkeep import clean_up_cancelled, fail_expired_pauses
from tests.factories import NOON, later, make_flow_run, make_state, make_task_run, state_of

pytestmark = pytest.mark.django_db
PROCESS = "laptop|4711|1|boot|ns|machine"


def broken(run: FlowRun) -> FlowRun:
    """Store a time in the details of its state that no version of Orion writes."""
    state = FlowRunState.objects.get(flow_run=run, pk=run.state_id)
    FlowRunState.objects.filter(pk=state.pk).update(details={**state.details, "scheduled_time": "never"})
    return run


def broken_task(run: TaskRun) -> None:
    state = TaskRunState.objects.get(pk=run.state_id)
    TaskRunState.objects.filter(pk=state.pk).update(details={**state.details, "scheduled_time": "never"})


def cancelled_parent() -> FlowRun:
    run = make_flow_run("RUNNING")
    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLED"), now=later(1), force=True)
    return run


def of_postgresql(code: str) -> InternalError:
    cause = Exception(code)
    cause.sqlstate = code  # type: ignore[attr-defined]
    error = InternalError("refused")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [OperationalError("database is locked"), of_postgresql("25006")])
def test_an_error_that_every_row_would_meet_is_raised_at_once(error):
    tried = []

    def work(row):
        tried.append(row)
        raise error

    with pytest.raises(type(error)):
        work_on_each(["first", "second"], work, "Row")

    assert tried == ["first"]


def test_other_runs_are_marked_late():
    broken(make_flow_run(make_state("SCHEDULED", scheduled_time=NOON)))
    other = make_flow_run(make_state("SCHEDULED", scheduled_time=later(1)))

    with pytest.raises(ValueError, match="never"):
        mark_late_runs(later(60))

    assert FlowRun.objects.get(pk=other.pk).state_name == "Late"


def test_runs_behind_a_whole_batch_of_broken_ones_are_marked_late(monkeypatch):
    monkeypatch.setattr(lateness, "BATCH", 2)
    for _ in range(2):
        broken(make_flow_run(make_state("SCHEDULED", scheduled_time=NOON)))
    other = make_flow_run(make_state("SCHEDULED", scheduled_time=later(1)))

    for tick in range(2):
        with pytest.raises(ValueError, match="never"):
            mark_late_runs(later(60 + tick))

    assert FlowRun.objects.get(pk=other.pk).state_name == "Late"


def test_keys_have_their_turn_one_after_another_and_then_again():
    turns = Turns[UUID]()
    keys = [UUID(int=number) for number in range(5)]

    taken = [turns.next_of(keys, 2) for _ in range(4)]

    assert taken == [keys[0:2], keys[2:4], [keys[4], keys[0]], keys[1:3]]
    assert Turns[UUID]().next_of(keys, 9) == keys


def test_other_pauses_expire():
    paused = [make_flow_run(make_state("PAUSED", pause_timeout=later(10))) for _ in range(2)]
    broken(paused[0])

    with pytest.raises(ValueError, match="never"):
        fail_expired_pauses(later(60))

    assert state_of(paused[1]) == "FAILED"


def test_other_runs_of_dead_processes_crash():
    first, other = (make_flow_run("RUNNING", process=PROCESS) for _ in range(2))
    broken(first)
    ended = make_flow_run("RUNNING", process=PROCESS)
    left_open = make_task_run("RUNNING", flow_run=ended)
    FlowRun.objects.filter(pk=ended.pk).update(state_type="COMPLETED", state_name="Completed")

    with pytest.raises(ValueError, match="never"):
        crash_runs_of_dead_processes(later(60), is_gone=lambda process, seen_at: True)

    assert (state_of(other), state_of(left_open)) == ("CRASHED", "CRASHED")


def open_below(run: FlowRun) -> tuple[list[FlowRun], list[TaskRun]]:
    """Make runs below a run. The first of each kind cannot be read."""
    nested = [make_flow_run("RUNNING", parent_task_run_id=make_task_run("RUNNING", flow_run=run).pk) for _ in range(2)]
    broken(nested[0])
    tasks = [make_task_run(make_state("SCHEDULED", scheduled_time=NOON), flow_run=run) for _ in range(2)]
    broken_task(tasks[0])
    return nested, tasks


def test_a_run_of_a_dead_process_crashes_though_runs_below_it_are_broken():
    run = make_flow_run("RUNNING", process=PROCESS)
    nested, tasks = open_below(run)

    with pytest.raises(ValueError, match="never"):
        crash_runs_of_dead_processes(later(60), is_gone=lambda process, seen_at: True)

    assert [state_of(one) for one in (run, nested[1], tasks[1])] == ["CRASHED"] * 3


def test_an_attempt_is_settled_though_runs_below_it_are_broken():
    run = make_flow_run("RUNNING")
    nested, tasks = open_below(run)

    state = release_by_force(run_id=run.pk, cause=Cause("Released.", "operator"), now=later(1))

    assert state is not None
    assert [state_of(one) for one in (run, nested[1], tasks[1])] == ["CRASHED"] * 3


def test_other_runs_below_cancelled_ones_are_cancelled():
    below = [make_task_run("RUNNING", flow_run=cancelled_parent()) for _ in range(2)]
    nested = [make_flow_run("RUNNING", parent_task_run_id=one.pk) for one in below]
    broken(nested[0])

    with pytest.raises(ValueError, match="never"):
        clean_up_cancelled(later(30))

    assert state_of(nested[1]) == "CANCELLED"
    assert {state_of(one) for one in below} == {"CANCELLED"}


def test_other_task_runs_of_a_cancelled_run_are_cancelled():
    run = cancelled_parent()
    broken_task(make_task_run(make_state("SCHEDULED", scheduled_time=NOON), flow_run=run))
    others = [make_task_run("RUNNING", flow_run=run) for _ in range(2)]

    with pytest.raises(ValueError, match="never"):
        clean_up_cancelled(later(30))

    assert {state_of(one) for one in others} == {"CANCELLED"}


def test_runs_below_cancelled_ones_are_cancelled_though_another_part_of_the_clean_up_fails(monkeypatch):
    below = make_task_run("RUNNING", flow_run=cancelled_parent())
    monkeypatch.setattr(registry, "cancel_unserved_runs", lambda now: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        registry._clean_up(later(30))

    assert state_of(below) == "CANCELLED"


def test_other_cancelling_runs_that_nobody_serves_are_cancelled():
    deployment_ids = [make_flow_run("SCHEDULED").pk for _ in range(2)]
    runs = [make_flow_run("CANCELLING", deployment_id=pk) for pk in deployment_ids]
    broken(runs[0])

    with pytest.raises(ValueError, match="never"):
        cancel_unserved_runs(later(3600))

    assert state_of(runs[1]) == "CANCELLED"


def test_other_bulk_actions_are_carried_out(monkeypatch):
    runs = [make_flow_run("RUNNING") for _ in range(2)]
    first, _ = (
        bulk_actions.begin_bulk_action(
            new=bulk_actions.NewBulkAction(
                action="cancel", runs=[(run.pk, run.name)], filter={}, author="ada", entrance="api"
            ),
            now=later(number),
        )
        for number, run in enumerate(runs)
    )
    step = bulk_actions._step
    monkeypatch.setattr(bulk_actions, "_step", lambda pk, now: 1 / 0 if pk == first.pk else step(pk, now))

    with pytest.raises(ZeroDivisionError):
        bulk_actions.work_on_bulk_actions(later(60))

    assert list(BulkAction.objects.order_by("created").values_list("status", flat=True)) == ["active", "done"]


@pytest.mark.parametrize(("at_once", "ticks"), [(20, 1), (1, 2)])
def test_other_problems_are_checked(monkeypatch, at_once: int, ticks: int):
    monkeypatch.setattr(mending, "CHECKED", at_once)
    times = dict.fromkeys(("since", "first_seen", "last_seen", "checked_at"), NOON)
    problems = [Problem.objects.create(type="ValueError", failures=1, **times) for _ in range(2)]
    checked = []

    def proof(problem_id):
        checked.append(problem_id)
        raise ValueError("odd")

    monkeypatch.setattr(mending, "_proof_of_mending", proof)

    for tick in range(ticks):
        with pytest.raises(ValueError, match="odd"):
            mending.close_mended(later(3600 + tick))

    assert set(checked) == {problem.pk for problem in problems}
