"""Cancelled runs that no process would end: those that agents of other clients took and left."""

from __future__ import annotations

import pytest

from deployments.dispatch.services import dead_processes
from deployments.dispatch.services.dead_processes import cancel_unserved_runs
from deployments.models import WorkQueue
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun
from tests.factories import history_of, later, make_flow_run, make_state, state_of
from tests.services.dispatching import make_agent, make_deployment, make_queue, start, waiting

pytestmark = pytest.mark.django_db


def cancelling(queue, *, reached="RUNNING"):
    """A run that a foreign worker brought so far, and that was cancelled then."""
    run = waiting(queue)
    for second, name in enumerate(("PENDING", "RUNNING")[: 1 + (reached == "RUNNING")]):
        propose_flow_run_state(run_id=run.pk, proposed=make_state(name), now=later(second))
    FlowRun.objects.filter(pk=run.pk).update(infrastructure_pid="there:1")
    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(3))
    assert state_of(run) == "CANCELLING"
    return run


@pytest.mark.parametrize("reached", ["PENDING", "RUNNING"])
def test_a_cancelling_run_without_a_worker_is_cancelled_after_a_while(reached):
    run = cancelling(make_queue(), reached=reached)

    assert cancel_unserved_runs(later(60)) == 0
    assert cancel_unserved_runs(later(100)) == 1
    assert cancel_unserved_runs(later(101)) == 0

    assert history_of(run)[-2:] == ["Cancelling", "Cancelled"]


def test_a_run_whose_queue_is_polled_is_left_to_the_poller():
    queue = make_queue()
    run = cancelling(queue)
    WorkQueue.objects.filter(pk=queue.pk).update(last_polled=later(90))

    assert cancel_unserved_runs(later(100)) == 0
    assert state_of(run) == "CANCELLING"


def test_runs_of_served_queues_hide_none_that_nobody_serves(monkeypatch):
    monkeypatch.setattr(dead_processes, "BATCH", 1)
    queue = make_queue("served")
    served = [cancelling(queue) for _ in range(3)]
    run = cancelling(make_queue())
    WorkQueue.objects.filter(pk=queue.pk).update(last_polled=later(90))

    assert cancel_unserved_runs(later(100)) == 1
    assert [state_of(one) for one in (*served, run)] == [*["CANCELLING"] * 3, "CANCELLED"]


def test_a_run_whose_queue_was_deleted_is_cancelled():
    queue = make_queue()
    run = cancelling(queue)
    WorkQueue.objects.filter(pk=queue.pk).delete()

    assert cancel_unserved_runs(later(100)) == 1
    assert state_of(run) == "CANCELLED"


def test_runs_of_agents_and_of_programs_are_left_to_them():
    agent = make_agent()
    leased = waiting(make_queue())
    (claim,) = agent.claim()
    start(claim, later(1))
    program = make_flow_run("RUNNING", process="there|1|x")
    for run in (leased, program):
        propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(3))

    assert cancel_unserved_runs(later(3600)) == 0
    assert [state_of(run) for run in (leased, program)] == ["CANCELLING"] * 2


def test_a_pending_run_that_no_process_executes_is_cancelled_at_once_and_frees_its_slot():
    queue = make_queue(concurrency_limit=1)
    first, second = waiting(queue), waiting(queue, deployment=make_deployment(queue, name="other"))
    propose_flow_run_state(run_id=first.pk, proposed=make_state("PENDING"), now=later(1))
    full = propose_flow_run_state(run_id=second.pk, proposed=make_state("PENDING"), now=later(2))

    propose_flow_run_state(run_id=first.pk, proposed=make_state("CANCELLING"), now=later(3))
    propose_flow_run_state(run_id=second.pk, proposed=make_state("PENDING"), now=later(4))
    late = propose_flow_run_state(run_id=first.pk, proposed=make_state("RUNNING"), now=later(5))

    assert not full.written or full.state.type != "PENDING"
    assert history_of(first) == ["Scheduled", "Pending", "Cancelled"]
    assert (state_of(second), late.written) == ("PENDING", False)
