"""Which runs agents are offered: due ones, in order, within every limit, at the same price however many wait."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.dispatch.selectors.due import FOR_AGENTS, due_ids, in_order
from deployments.limits.selectors.capacity import holding_by_deployment
from deployments.models import Deployment, WorkPool, WorkQueue
from deployments.work.services.work_queues import create_work_queue, queue_for, update_work_queue
from runs.models import FlowRun
from tests.factories import NOON, later, make_flow, make_flow_run, make_state

pytestmark = pytest.mark.django_db


def make_queue(name="q", pool=None, **columns):
    queue = queue_for(pool_name=pool, queue_name=name, now=NOON)
    WorkQueue.objects.filter(pk=queue.pk).update(**columns)
    queue.refresh_from_db()
    return queue


def make_deployment(queue=None, **columns):
    return Deployment.objects.create(flow=make_flow(), name="dep", work_queue=queue, **columns)


def waiting(queue=None, at=0, name="Scheduled", **fields):
    state = make_state("SCHEDULED", name, scheduled_time=later(at))
    return make_flow_run(state, work_queue_id=queue and queue.pk, **fields)


def holding(queue=None, state="RUNNING", **fields):
    return make_flow_run(state, work_queue_id=queue and queue.pk, **fields)


def due(*queues, limit=200, **asked):
    asked = {"before": NOON, **asked}
    return in_order(due_ids(queues=[queue.pk for queue in queues], limit=limit, **asked))


def test_due_runs_come_in_the_order_of_their_times():
    queue = make_queue()
    second, first = waiting(queue, -10), waiting(queue, -20)
    waiting(queue, 3600)

    assert due(queue) == [first, second]


def test_late_resumed_and_rescheduled_runs_are_due_and_in_process_retries_are_not():
    queue = make_queue()
    late, resuming = waiting(queue, -30, "Late"), waiting(queue, -20, "Resuming")
    again = waiting(queue, -10, "AwaitingRetry", empirical_policy={"retry_type": "reschedule"})
    waiting(queue, -5, "AwaitingRetry", empirical_policy={"retry_type": "in_process"})

    assert due(queue) == [late, resuming, again]


def test_more_urgent_queues_come_first_and_the_limit_counts_over_all():
    urgent, patient = make_queue("urgent", priority=1), make_queue("patient", priority=9)
    old, new = waiting(patient, -50), waiting(urgent, -1)

    assert due(patient, urgent) == [new, old]
    assert due(patient, urgent, limit=1) == [new]


def test_only_runs_between_after_and_before_are_asked_for():
    queue = make_queue()
    waiting(queue, -100)
    wanted, future = waiting(queue, -10), waiting(queue, 10)

    assert due(queue, after=later(-50)) == [wanted]
    assert due(queue, after=later(-50), before=None) == [wanted, future]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CANCELLING"])
def test_a_queue_offers_no_more_than_it_has_room_for(state):
    queue = make_queue(concurrency_limit=2)
    holding(queue, state)
    first, _ = waiting(queue, -10), waiting(queue, -5)

    assert due(queue) == [first]


def test_paused_and_finished_runs_hold_no_place():
    queue = make_queue(concurrency_limit=1)
    holding(queue, "PAUSED")
    holding(queue, "COMPLETED")
    run = waiting(queue, -10)

    assert due(queue) == [run]


def test_queues_of_a_pool_share_its_room_by_priority():
    WorkPool.objects.create(name="pool", concurrency_limit=2)
    urgent, patient = make_queue("urgent", "pool", priority=1), make_queue("patient", "pool", priority=2)
    holding(patient)
    waiting(patient, -20)
    first, _ = waiting(urgent, -10), waiting(urgent, -5)

    assert due(patient, urgent) == [first]


def test_paused_queues_and_pools_offer_nothing():
    WorkPool.objects.create(name="pool", is_paused=True)
    paused, in_paused_pool = make_queue("paused", is_paused=True), make_queue("fine", "pool")
    waiting(paused, -10)
    waiting(in_paused_pool, -10)

    assert due(paused, in_paused_pool) == []


def test_a_full_deployment_does_not_keep_others_from_the_queue():
    queue = make_queue()
    full, free = make_deployment(queue, concurrency_limit=1), make_deployment(queue)
    holding(queue, deployment_id=full.pk)
    for _ in range(3):
        waiting(queue, -20, deployment_id=full.pk)
    run = waiting(queue, -10, deployment_id=free.pk)

    assert due(queue, limit=1) == [run]


def test_a_deployment_offers_no_more_than_it_has_room_for():
    queue = make_queue()
    deployment = make_deployment(queue, concurrency_limit=2)
    holding(queue, deployment_id=deployment.pk)
    first, _ = (waiting(queue, at, deployment_id=deployment.pk) for at in (-20, -10))

    assert due(queue) == [first]


def test_runs_on_request_of_a_paused_deployment_are_offered():
    queue = make_queue()
    run = waiting(queue, -10, deployment_id=make_deployment(queue, paused=True).pk)

    assert due(queue) == [run]


def test_runs_are_found_by_deployment_too_and_respect_its_queue():
    queue = make_queue()
    queued, served = make_deployment(queue), make_deployment()
    waiting(queue, -10, deployment_id=queued.pk)
    run = waiting(None, -5, deployment_id=served.pk)
    make_queue(is_paused=True)

    found = in_order(due_ids(deployments=[queued.pk, served.pk], before=NOON, limit=10))

    assert found == [run]


def test_a_queue_with_a_filter_picks_runs_by_their_tags():
    queue = make_queue(filter={"tags": ["gpu"]}, concurrency_limit=2)
    run, _ = waiting(None, -10, tags=["gpu", "x"]), waiting(queue, -10)
    holding(None, tags=["gpu"])
    waiting(None, -5, tags=["gpu"])

    assert due(queue) == [run]


def test_agents_are_offered_only_what_they_can_start():
    queue = make_queue()
    waiting(queue, -30, deployment_id=make_deployment(queue).pk)
    waiting(queue, -20, infrastructure_document_id=uuid4())
    ours = waiting(queue, -10, deployment_id=make_deployment(queue, entrypoint="flows.py:census").pk)

    assert len(due(queue)) == 3
    assert due(queue, among=FOR_AGENTS) == [ours]


def test_without_queues_every_queue_is_asked():
    run = waiting(make_queue(), -10)
    waiting(None, -10)

    assert due_ids(before=NOON, limit=10) == [run.pk]


def test_the_price_does_not_grow_with_queues_and_runs():
    def price(queues):
        with CaptureQueriesContext(connection) as queries:
            assert due(*queues)
        return len(queries)

    few = [make_queue("a", concurrency_limit=5)]
    waiting(few[0], -10)
    once = price(few)
    many = [make_queue(f"q{n}", concurrency_limit=5) for n in range(20)]
    for queue in many:
        waiting(queue, -10)
        holding(queue)

    assert price(many) == once


def test_the_first_runs_of_a_queue_are_found_by_an_index():
    queue = make_queue()
    waiting(queue, -10)

    plan = FlowRun.objects.filter(
        work_queue_id=queue.pk, state_type="SCHEDULED", next_scheduled_start_time__lte=NOON
    ).order_by("next_scheduled_start_time", "pk")[:5]

    if connection.vendor == "sqlite":
        assert "flow_run_due_in_queue" in plan.explain()


# --- queues by name ----------------------------------------------------------------------------------------------


def test_a_queue_named_alone_lives_in_the_default_pool():
    queue = queue_for(pool_name=None, queue_name="mine", now=NOON)

    assert queue.work_pool.name == "default-agent-pool"
    assert queue.work_pool.type == "prefect-agent"
    assert set(queue.work_pool.queues.values_list("name", "priority")) == {("default", 1), ("mine", 2)}


def test_a_pool_named_alone_gives_its_default_queue():
    pool = WorkPool.objects.create(name="pool")

    queue = queue_for(pool_name="pool", queue_name=None, now=NOON)

    pool.refresh_from_db()
    assert (queue.name, queue.work_pool_id, pool.default_queue_id) == ("default", pool.pk, queue.pk)
    assert queue_for(pool_name="pool", queue_name=None, now=NOON) == queue


def test_neither_pool_nor_queue_is_nowhere():
    assert queue_for(pool_name=None, queue_name=None, now=NOON) is None


def test_priorities_shift_and_stay_unique():
    first = create_work_queue(pool_name=None, columns={"name": "first", "priority": 1}, now=NOON)
    second = create_work_queue(pool_name=None, columns={"name": "second", "priority": 1}, now=NOON)
    update_work_queue(queue_id=first.pk, changes={"priority": 1}, now=NOON)

    order = WorkQueue.objects.order_by("priority").values_list("name", "priority")

    assert list(order) == [("first", 1), ("second", 2), ("default", 3)]
    assert second.priority == 1


def test_who_holds_slots_is_found_by_the_index_of_those_that_do():
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    with CaptureQueriesContext(connection) as queries:
        holding_by_deployment()

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "USING INDEX flow_run_holding_deployment" in plan
