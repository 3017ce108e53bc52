"""Runs whose process died without a report."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.dispatch.services import dead_processes
from deployments.dispatch.services.dead_processes import crash_runs_of_dead_processes
from deployments.models import Lease
from orchestration.core.states import awaiting_retry
from orchestration.errors import RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState
from tests.factories import NOON, later, make_flow_run, make_state, make_task_run, state_of

pytestmark = pytest.mark.django_db

DEAD, ALIVE = "laptop|4711|1|boot|ns|machine", "laptop|4712|1|boot|ns|machine"


def detect() -> int:
    return crash_runs_of_dead_processes(later(60), is_gone=lambda process, seen_at: process == DEAD)


def in_process_retry(**fields) -> FlowRun:
    run = make_flow_run("RUNNING", **fields)
    FlowRun.objects.filter(pk=run.pk).update(empirical_policy={"retry_type": "in_process"})
    propose_flow_run_state(run_id=run.pk, proposed=awaiting_retry(later(600)), now=NOON, force=True)
    return run


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", make_state("PAUSED", pause_timeout=later(3600))])
def test_an_open_run_crashes_when_its_process_no_longer_exists(state):
    run = make_flow_run(state, process=DEAD)

    assert detect() == 1

    assert state_of(run) == "CRASHED"
    last = FlowRunState.objects.filter(flow_run=run).latest("seq")
    assert last.author == "crash detection"
    assert last.message.startswith("The process of the run (pid 4711 on laptop) no longer exists")
    assert detect() == 0


def test_a_run_crashes_when_its_process_dies_while_waiting_for_a_retry():
    run = in_process_retry(process=DEAD)

    detect()

    assert state_of(run) == "CRASHED"


def test_one_that_was_being_cancelled_is_cancelled():
    run = make_flow_run("CANCELLING", process=DEAD)

    detect()

    assert state_of(run) == "CANCELLED"


@pytest.mark.parametrize("fields", [{"process": ALIVE}, {"process": None}, {"infrastructure_pid": "laptop:4711"}])
def test_others_are_left_alone(fields: dict):
    process = fields.get("process")
    run = make_flow_run("RUNNING", process=process)
    FlowRun.objects.filter(pk=run.pk).update(infrastructure_pid=fields.get("infrastructure_pid"))

    assert detect() == 0

    assert state_of(run) == "RUNNING"


@pytest.mark.parametrize(("process", "ends"), [(DEAD, "CRASHED"), (ALIVE, "RUNNING"), (None, "RUNNING")])
def test_task_runs_that_an_ended_flow_run_left_open_crash_when_its_process_no_longer_exists(
    process: str | None, ends: str
):
    run = make_flow_run("CRASHED", process=process)
    task_run = make_task_run("RUNNING", flow_run=run)

    detect()

    assert state_of(task_run) == ends
    assert state_of(run) == "CRASHED"


@pytest.mark.parametrize("state", ["COMPLETED", "CRASHED", make_state("PAUSED", pause_reschedule=True)])
def test_runs_that_need_no_process_are_left_alone(state):
    run = make_flow_run(state, process=DEAD)
    before = state_of(run)

    detect()

    assert state_of(run) == before


def test_many_suspended_runs_hide_no_run_of_a_dead_process(monkeypatch):
    monkeypatch.setattr(dead_processes, "BATCH", 2)
    for _ in range(5):
        make_flow_run(make_state("PAUSED", pause_reschedule=True), process=DEAD)
    run = make_flow_run("RUNNING", process=DEAD)

    assert detect() == 1
    assert state_of(run) == "CRASHED"


def test_a_run_of_an_agent_is_its_leases_business():
    run = make_flow_run("RUNNING", process=DEAD)
    Lease.objects.create(flow_run=run, epoch=1, expires_at=later(120), incarnation=uuid4())

    assert detect() == 0

    assert state_of(run) == "RUNNING"


def test_nested_runs_crash_with_it():
    run = make_flow_run("RUNNING", process=DEAD)
    task = make_task_run("RUNNING", flow_run=run)
    place = make_task_run("RUNNING", flow_run=run)
    nested = make_flow_run("RUNNING", process=DEAD, parent_task_run_id=place.pk)
    deeper = make_task_run("RUNNING", flow_run=nested)

    detect()

    assert {state_of(one) for one in (run, task, place, nested, deeper)} == {"CRASHED"}


def test_a_process_that_was_frozen_is_refused_afterwards():
    run = make_flow_run("RUNNING", process=DEAD)
    detect()

    with pytest.raises(RunLost):
        propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later(61), epoch=0)


def test_many_runs_cost_two_queries_while_all_processes_live(django_assert_num_queries):
    for _ in range(5):
        make_flow_run("RUNNING", process=ALIVE)

    with django_assert_num_queries(2):
        detect()


@pytest.mark.parametrize("state", ["RUNNING", "CANCELLING"])
def test_a_process_is_checked_together_with_its_last_heartbeat(state: str):
    old = make_flow_run("RUNNING", process=DEAD, now=NOON)
    young = make_flow_run("RUNNING", process=DEAD, now=later(10))
    # Somebody else cancels: that says nothing about the process.
    propose_flow_run_state(run_id=young.pk, proposed=make_state(state), now=later(20), force=True)
    asked = []

    crash_runs_of_dead_processes(later(60), is_gone=lambda *args: bool(asked.append(args)))

    assert asked == [(DEAD, later(20) if state == "RUNNING" else later(10))]
    assert (state_of(old), state_of(young)) == ("RUNNING", state)
