"""Limits of queues, pools and deployments with real rows, on both databases, and under contention."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.models import Deployment, WorkPool, WorkQueue
from deployments.work.services.work_queues import queue_for
from orchestration.core.states import running
from orchestration.core.verdicts import Accept, Reject, Wait
from orchestration.services import propose_flow_run_state
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import write_transaction
from orchestration.unit import Unit
from runs.models import FlowRun
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, state_of
from tests.services.threads import race

pytestmark = pytest.mark.django_db


def make_queue(name="q", limit=None, pool_limit=None, **columns):
    pool, _ = WorkPool.objects.update_or_create(name="pool", defaults={"concurrency_limit": pool_limit})
    queue = queue_for(pool_name="pool", queue_name=name, now=NOON)
    WorkQueue.objects.filter(pk=queue.pk).update(concurrency_limit=limit, **columns)
    return queue


def make_deployment(limit=None):
    return Deployment.objects.create(flow=make_flow(), name="d", concurrency_limit=limit)


def waiting(queue=None, **fields):
    state = make_state("SCHEDULED", scheduled_time=NOON)
    return make_flow_run(state, work_queue_id=queue and queue.pk, **fields)


def claim(run):
    return propose_flow_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(1))


def claimed(run):
    return isinstance(claim(run).verdict, Accept)


def test_a_full_queue_keeps_a_run_scheduled_and_names_the_runs_in_its_slots():
    queue = make_queue(limit=1)
    first, second = waiting(queue), waiting(queue)
    claim(first)

    outcome = claim(second)

    assert isinstance(outcome.verdict, Reject)
    assert state_of(second) == "SCHEDULED"
    assert outcome.verdict.reason == (f"work queue 'q' is full: 1 of 1 slots are taken, one of them by run {first.pk}")


@pytest.mark.parametrize("end", ["COMPLETED", "CRASHED", "PAUSED"])
def test_a_place_is_free_again_when_its_holder_leaves(end):
    queue = make_queue(limit=1)
    first, second = waiting(queue), waiting(queue)
    claim(first)
    propose_flow_run_state(run_id=first.pk, proposed=running(), now=later(2))
    propose_flow_run_state(run_id=first.pk, proposed=make_state(end), now=later(3))

    assert claimed(second)


def test_queues_of_one_pool_share_its_places():
    one, other = make_queue("a", pool_limit=1), make_queue("b", pool_limit=1)
    first, second = waiting(one), waiting(other)

    assert claimed(first)
    assert not claimed(second)
    assert claimed(waiting(make_queue("c")))


def test_a_deployment_has_places_of_its_own_in_or_out_of_a_queue():
    deployment = make_deployment(limit=1)
    first, second = waiting(make_queue(), deployment_id=deployment.pk), waiting(deployment_id=deployment.pk)

    assert claimed(first)
    assert not claimed(second)


def test_a_paused_queue_or_pool_gives_no_run():
    paused = waiting(make_queue(is_paused=True))
    assert "paused" in claim(paused).verdict.reason

    queue = make_queue(is_paused=False)
    WorkPool.objects.update(is_paused=True)
    assert "work pool 'pool' is paused" in claim(waiting(queue)).verdict.reason


def test_a_lowered_limit_evicts_no_run():
    queue = make_queue(limit=2)
    runs = [waiting(queue), waiting(queue)]
    for run in runs:
        claim(run)
    WorkQueue.objects.filter(pk=queue.pk).update(concurrency_limit=1)

    started = [propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(2)) for run in runs]

    assert all(isinstance(outcome.verdict, Accept) for outcome in started)
    assert not claimed(waiting(queue))


def test_a_run_that_starts_without_being_claimed_waits_for_a_place():
    queue = make_queue(limit=1)
    claim(waiting(queue))

    outcome = propose_flow_run_state(run_id=waiting(queue).pk, proposed=running(), now=later(1))

    assert isinstance(outcome.verdict, Wait)


def test_a_deleted_queue_limits_no_run():
    run = waiting(make_queue(limit=0))
    WorkQueue.objects.all().delete()

    assert claimed(run)


def price_of(run):
    with write_transaction():
        unit = Unit(NOON)
        unit.facts.about(unit.run(FLOW_RUNS, run.pk), NOON)
        with CaptureQueriesContext(connection) as queries:
            unit.facts.run_slots()
    return len(queries)


def test_the_question_costs_nothing_where_nothing_is_deployed_and_little_elsewhere():
    locks = 1 if connection.vendor == "postgresql" else 0

    assert price_of(waiting()) == 0
    assert price_of(waiting(make_queue("a"), deployment_id=make_deployment().pk)) == 1
    assert price_of(waiting(make_queue("b", limit=9))) == 2 + locks
    everything = waiting(make_queue("c", limit=9, pool_limit=9), deployment_id=make_deployment(9).pk)
    assert price_of(everything) == 2 + 3 * locks


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limited", ["queue", "pool", "deployment"])
def test_claims_at_the_same_time_never_exceed_a_limit(limited):
    queues = [make_queue(name, limit=2 if limited == "queue" else None) for name in ("a", "b")]
    WorkPool.objects.update(concurrency_limit=2 if limited == "pool" else None)
    deployment = make_deployment(2 if limited == "deployment" else None)
    chosen = queues[:1] * 8 if limited == "queue" else queues * 4
    runs = [waiting(queue, deployment_id=deployment.pk) for queue in chosen]

    outcomes = race(claim, runs)

    assert sum(isinstance(outcome.verdict, Accept) for outcome in outcomes) == 2
    assert FlowRun.objects.filter(state_type="PENDING").count() == 2


@pytest.mark.django_db(transaction=True)
def test_places_never_exceed_their_limit_while_runs_come_and_go():
    queue = make_queue(limit=2, pool_limit=3)
    runs = [waiting(queue) for _ in range(6)]
    most = []

    def live(run):
        for _ in range(200):
            if claimed(run):
                most.append(FlowRun.objects.filter(state_type__in=["PENDING", "RUNNING"]).count())
                propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later(2))
                return True
        return False

    assert all(race(live, runs))
    assert max(most) <= 2


@pytest.mark.django_db(transaction=True)
def test_a_queue_named_by_many_at_once_is_created_once():
    made = race(lambda name: queue_for(pool_name=None, queue_name=name, now=NOON), ["a"] * 4 + ["b"] * 4)

    assert len({queue.pk for queue in made}) == 2
    priorities = list(WorkQueue.objects.order_by("priority").values_list("priority", flat=True))
    assert priorities == [1, 2, 3]
