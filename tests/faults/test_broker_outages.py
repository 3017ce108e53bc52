"""A broker that hangs, is stopped, comes back or loses messages: requests do not wait, and hints are sent again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import redis
from django.test import Client
from django.utils import timezone

from deployments.dispatch.services.hints import hint_due_runs
from deployments.models import Worker, WorkPool, WorkQueue
from orionflow.contract.agents import hint_queue
from runs.models import FlowRun
from tests.brokers import Redis, running_redis
from tests.factories import make_flow, make_flow_run, make_state

# A request that waited for a hanging broker would wait forever.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]


@pytest.fixture
def broker(settings) -> Iterator[Redis]:
    with running_redis() as broker:
        settings.ORION_BROKER_URL = broker.url
        yield broker


@pytest.fixture
def queue() -> WorkQueue:
    pool = WorkPool.objects.create(name="pool")
    queue = WorkQueue.objects.create(name="main", work_pool=pool)
    alive = {"incarnation": uuid4(), "offline_at": timezone.now() + timedelta(hours=1)}
    Worker.objects.create(name="agent", work_pool=pool, queue_ids=[str(queue.pk)], concurrency=50, **alive)
    return queue


def waiting_run(queue: WorkQueue, now: datetime | None = None) -> FlowRun:
    now = now or timezone.now()
    return make_flow_run(make_state("SCHEDULED", scheduled_time=now), work_queue_id=queue.pk, now=now)


def announced(broker: Redis, queue: WorkQueue) -> set[UUID]:
    """The runs in the broker's queue."""
    client = redis.Redis(port=broker.port, socket_timeout=5)
    try:
        messages = [json.loads(one) for one in client.lrange(f"orion:{hint_queue(queue.pk)}", 0, -1)]
    finally:
        client.close()
    return {UUID(_arguments(message)[0]) for message in messages}


def _arguments(message: dict) -> list[str]:
    return json.loads(base64.b64decode(message["body"]))[0]


def until(came_true: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
    give_up = time.monotonic() + 40
    while not came_true():
        assert time.monotonic() < give_up, "it did not come true"
        meanwhile()
        time.sleep(0.05)


def hinting_as_time_passes() -> Callable[[], object]:
    """The ticker's work, with twenty seconds between any two ticks."""
    moments = (timezone.now() + timedelta(seconds=20 * n) for n in range(10_000))
    return lambda: hint_due_runs(next(moments))


def test_a_due_run_is_announced_once(broker: Redis, queue: WorkQueue):
    run = waiting_run(queue)

    until(lambda: announced(broker, queue) == {run.pk})

    hint_due_runs(timezone.now())
    assert announced(broker, queue) == {run.pk}


def test_requests_are_answered_while_the_broker_hangs(broker: Redis, queue: WorkQueue, client: Client):
    until(lambda: bool(announced(broker, queue)), lambda: waiting_run(queue))
    flow = make_flow()
    broker.freeze()

    answers = [
        client.post("/api/flow_runs/", {"flow_id": str(flow.pk)}, "application/json", headers={"host": "localhost"})
        for _ in range(30)
    ]
    runs = [waiting_run(queue) for _ in range(30)]

    assert {answer.status_code for answer in answers} == {201}
    broker.thaw()
    until(lambda: announced(broker, queue) >= {run.pk for run in runs}, hinting_as_time_passes())


def test_runs_that_came_during_an_outage_of_the_broker_are_announced_afterwards(broker: Redis, queue: WorkQueue):
    until(lambda: bool(announced(broker, queue)), lambda: waiting_run(queue))
    broker.kill()
    run = waiting_run(queue)
    hint_due_runs(timezone.now() + timedelta(seconds=20))

    broker.start()

    until(lambda: run.pk in announced(broker, queue), hinting_as_time_passes())


def test_hints_that_a_broker_lost_are_sent_again(broker: Redis, queue: WorkQueue):
    run = waiting_run(queue)
    until(lambda: announced(broker, queue) == {run.pk})

    broker.flush()

    until(lambda: run.pk in announced(broker, queue), hinting_as_time_passes())


def test_a_broker_that_never_was_there_costs_nothing_but_the_hints(settings, queue: WorkQueue):
    settings.ORION_BROKER_URL = "redis://127.0.0.1:1/0"

    runs = [waiting_run(queue) for _ in range(20)]

    until(lambda: hint_due_runs(timezone.now() + timedelta(hours=1)) >= 0)
    assert {run.state_type for run in FlowRun.objects.filter(pk__in=[run.pk for run in runs])} == {"SCHEDULED"}
