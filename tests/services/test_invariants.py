"""`manage.py verify`: a healthy database has no findings, and each planted fault is found."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from deployments.models import ConcurrencyLimit, Deployment, Lease, Slot, WorkPool, WorkQueue
from deployments.upkeep.selectors.invariants import violations
from orchestration.core.states import cancelling, running
from orchestration.core.verdicts import ACCEPT
from orchestration.services import propose_flow_run_state
from orionflow.contract.ids import uuid7
from runs.flow_runs.commands import retry_flow_run
from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState
from runs.retries.services import RetryOptions, retry_from_tasks
from tests.factories import NOON, later, make_flow_run, make_limit, make_state, make_task_run
from tests.recorded_runs import RESULT, chain, deployed_run, finish
from tests.services.dispatching import make_agent, make_queue, report, start, waiting

pytestmark = pytest.mark.django_db
LATER = later(600)


@pytest.fixture(scope="module", autouse=True)
def rows(django_db_setup, django_db_blocker):
    """A bit of everything, all of it by the rules; each test has a transaction inside of this one."""
    with django_db_blocker.unblock(), transaction.atomic():
        make_rows()
        yield
        transaction.set_rollback(True)


def make_rows():
    queue, agent = make_queue(concurrency_limit=3), make_agent()
    for _ in range(5):
        waiting(queue, crash_retries=1)
    first, second, third = agent.claim(limit=9)
    for claim in (first, second, third):
        start(claim, later(1))
    agent.ended(first, later(2), signal=9)
    report(second, "COMPLETED", later(3))
    retry_flow_run(run_id=second.flow_run_id, now=later(4))
    limit = make_limit("gpu", 2)
    task = make_task_run("RUNNING", flow_run=FlowRun.objects.get(pk=third.flow_run_id), tags=["gpu"])
    Slot.objects.create(limit=limit, task_run=task, taken_at=later(2), epoch=1)
    script = make_flow_run("RUNNING")
    make_task_run("COMPLETED", flow_run=script)
    propose_flow_run_state(run_id=script.pk, proposed=make_state("COMPLETED"), now=later(2))
    propose_flow_run_state(run_id=script.pk, proposed=running(), now=later(3), force=True)
    Lease.objects.update(expires_at=LATER)


def leased():
    return FlowRun.objects.get(pk=Lease.objects.get().pk)


def last_state(run):
    return FlowRunState.objects.get(pk=run.state_id)


def test_what_went_by_the_rules_is_sound():
    assert list(violations(LATER)) == []


@pytest.mark.parametrize("of_deployment", [True, False])
def test_a_completed_run_that_is_retried_from_a_task_is_sound(of_deployment):
    run = deployed_run()
    chain(run, "ab")
    if not of_deployment:
        FlowRun.objects.filter(pk=run.pk).update(deployment_id=None)
    finish(run, data=RESULT)
    process = None if of_deployment else {"pid": 1}

    came = retry_from_tasks(run_id=run.pk, options=RetryOptions(wanted=["b"], process=process), now=timezone.now())

    assert came.outcome.verdict == ACCEPT
    assert FlowRun.objects.get(pk=run.pk).state_type == ("SCHEDULED" if of_deployment else "PENDING")
    assert list(violations(LATER)) == []


def history_with_a_hole():
    FlowRunState.objects.filter(flow_run=leased(), seq=2).delete()


def history_with_one_too_many():
    FlowRunState.objects.create(flow_run=leased(), seq=9, type="RUNNING", name="R", timestamp=LATER, epoch=1)


def row_of_another_state():
    FlowRun.objects.filter(pk=leased().pk).update(state_type="PENDING")


def times_out_of_order():
    FlowRunState.objects.filter(pk=leased().state_id).update(timestamp=NOON - timedelta(days=1))
    FlowRun.objects.filter(pk=leased().pk).update(state_timestamp=NOON - timedelta(days=1))


def left_its_end():
    ended = make_flow_run("COMPLETED")
    _append(ended, "RUNNING", [["RefuseRepeatedTransitions", "accept", ""]])


def left_its_cancellation():
    run = make_flow_run("CANCELLING")
    _append(run, "COMPLETED", [["FinishCancelling", "accept", ""]])


def answered_twice():
    state = last_state(leased())
    FlowRunState.objects.filter(flow_run=leased(), seq=1).update(proposal_id=state.pk)


def crash_without_a_word():
    FlowRunState.objects.filter(pk=leased().state_id).update(author="crash detection", type="CRASHED")


def state_of_a_later_attempt():
    FlowRunState.objects.filter(pk=leased().state_id).update(epoch=7)


def task_state_of_a_later_attempt():
    TaskRunState.objects.filter(task_run__flow_run=leased()).update(epoch=7)


def stale_attempt_was_let_in():
    FlowRunState.objects.filter(pk=leased().state_id).update(epoch=0)


def slot_of_a_later_attempt():
    Slot.objects.update(epoch=7)


def lease_of_another_attempt():
    Lease.objects.update(epoch=7)


def claimed_twice():
    FlowRunState.objects.filter(flow_run=leased(), seq=3).update(type="PENDING", author="agent other")


def started_twice():
    _append(leased(), "RUNNING", [], epoch=1)


def held_by_nobody():
    Lease.objects.all().delete()


def leased_after_its_end():
    run = leased()
    FlowRunState.objects.filter(pk=run.state_id).update(type="FAILED")
    FlowRun.objects.filter(pk=run.pk).update(state_type="FAILED")


def lease_that_nobody_revokes():
    Lease.objects.update(expires_at=NOON)


def task_that_outlives_its_run():
    crashed = FlowRun.objects.filter(epoch__gt=0).exclude(pk=leased().pk).first()
    FlowRun.objects.filter(pk=crashed.pk).update(state_type="CRASHED", state_timestamp=NOON)
    FlowRunState.objects.filter(pk=crashed.state_id).update(type="CRASHED", timestamp=NOON)
    make_task_run("RUNNING", flow_run=crashed)


def more_slots_than_there_are():
    ConcurrencyLimit.objects.update(concurrency_limit=0, updated=NOON)


def slot_of_a_run_that_is_over():
    task = TaskRun.objects.get(slots__isnull=False)
    TaskRun.objects.filter(pk=task.pk).update(state_type="PENDING")
    TaskRunState.objects.filter(pk=task.state_id).update(type="PENDING")


def more_runs_than_places_in_the_queue():
    WorkQueue.objects.filter(name="q").update(concurrency_limit=0, updated=NOON)


def more_runs_than_places_in_the_pool():
    WorkPool.objects.update(concurrency_limit=0, updated=NOON)


def more_runs_than_places_in_the_deployment():
    Deployment.objects.update(concurrency_limit=0, updated=NOON)


def two_runs_for_one_time():
    FlowRun.objects.filter(pk__in=FlowRun.objects.values("pk")[:2]).update(
        schedule_id=uuid7(), auto_scheduled=True, deployment_id=None, expected_start_time=NOON
    )


def cancelled_by_nobody():
    run = leased()
    propose_flow_run_state(run_id=run.pk, proposed=cancelling(), now=later(5))
    Lease.objects.all().delete()


def pause_without_end():
    make_flow_run(make_state("PAUSED", pause_timeout=later(60)))


def more_crash_retries_than_allowed():
    run = leased()
    FlowRun.objects.filter(pk=run.pk).update(empirical_policy={"crash_retries": 1, "crash_count": 2})


def _append(run, type, trail, **columns):
    state = FlowRunState.objects.create(
        flow_run=run, seq=run.seq + 1, type=type, name=type.title(), timestamp=LATER, trail=trail, **columns
    )
    FlowRun.objects.filter(pk=run.pk).update(
        seq=F("seq") + 1, state_id=state.pk, state_type=type, state_name=type.title(), state_timestamp=LATER
    )


FAULTS = {
    history_with_a_hole: "I2",
    history_with_one_too_many: "I2",
    row_of_another_state: "I2",
    times_out_of_order: "I2",
    left_its_end: "I2",
    left_its_cancellation: "I2",
    answered_twice: "I3",
    state_of_a_later_attempt: "I4",
    task_state_of_a_later_attempt: "I4",
    stale_attempt_was_let_in: "I4",
    slot_of_a_later_attempt: "I4",
    lease_of_another_attempt: "I4",
    claimed_twice: "I6",
    started_twice: "I6",
    more_crash_retries_than_allowed: "I6",
    more_slots_than_there_are: "I7",
    slot_of_a_run_that_is_over: "I7",
    more_runs_than_places_in_the_queue: "I7",
    more_runs_than_places_in_the_pool: "I7",
    more_runs_than_places_in_the_deployment: "I7",
    held_by_nobody: "I8",
    leased_after_its_end: "I8",
    lease_that_nobody_revokes: "I8",
    task_that_outlives_its_run: "I8",
    two_runs_for_one_time: "I9",
    cancelled_by_nobody: "I10",
    pause_without_end: "I10",
    crash_without_a_word: "I12",
}


@pytest.mark.parametrize(("plant", "invariant"), FAULTS.items(), ids=lambda one: getattr(one, "__name__", one))
def test_a_planted_fault_is_found(plant, invariant):
    plant()

    assert invariant in {violation.invariant for violation in violations(LATER)}


@pytest.mark.parametrize(
    "plant",
    [
        lambda: TaskRun.objects.filter(slots__isnull=False).update(flow_run_id=uuid7()),
        lambda: FlowRun.objects.filter(lease__isnull=False).update(parent_task_run_id=uuid7()),
        lambda: FlowRun.objects.filter(lease__isnull=True)._raw_delete("default"),
    ],
    ids=["task run", "nested run", "states"],
)
def test_orphans_are_found(plant):
    with transaction.atomic():
        plant()
        found = list(violations(LATER))
        # No such rows can be committed while the database minds its constraints.
        transaction.set_rollback(True)

    assert "I12" in {violation.invariant for violation in found}


def test_lowered_limits_evict_no_run():
    WorkQueue.objects.filter(name="q").update(concurrency_limit=0, updated=LATER)
    ConcurrencyLimit.objects.update(concurrency_limit=0, updated=LATER)

    assert list(violations(LATER)) == []


def test_the_command_prints_what_it_found_and_fails():
    Lease.objects.update(expires_at=timezone.now() + timedelta(minutes=5))
    sound, ill, output = StringIO(), StringIO(), StringIO()
    call_command("verify", stdout=sound)
    row_of_another_state()

    with pytest.raises(SystemExit) as ended:
        call_command("verify", stdout=ill)
    with pytest.raises(SystemExit):
        call_command("verify", "--json", stdout=output)

    run = leased()
    assert sound.getvalue() == "Everything holds.\n"
    assert ended.value.code == 1
    assert f"I2  flow-run {run.pk}  shows another state (PENDING) than its last one (RUNNING)" in ill.getvalue()
    assert json.loads(output.getvalue())[0]["invariant"] == "I2"
