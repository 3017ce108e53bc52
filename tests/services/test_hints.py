"""Which runs are announced to agents, when, and how often. A folder is the broker, in which messages can be read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deployments.dispatch import hint_sender as dispatch
from deployments.dispatch.services.hints import (
    STAMPED_AT_ONCE,
    Finder,
    free_capacity,
    hint_again_after,
    hint_due_runs,
)
from deployments.models import Lease, Worker, WorkPool, WorkQueue
from runs.models import FlowRun
from tests.agents.running import eventually
from tests.conftest import DATABASE
from tests.factories import NOON, later, make_flow_run, make_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[list[UUID]]:
    """The runs that were handed to the relay."""
    settings.ORION_BROKER_URL = "memory://"
    handed: list[UUID] = []
    monkeypatch.setattr(dispatch, "_relay", lambda url: Line(lambda hint: handed.append(hint.flow_run_id)))
    return handed


@pytest.fixture
def addressed(monkeypatch: pytest.MonkeyPatch, settings) -> list[dispatch.Hint]:
    """The hints that were handed to the relay, with the queues they go to."""
    settings.ORION_BROKER_URL = "memory://"
    handed: list[dispatch.Hint] = []
    monkeypatch.setattr(dispatch, "_relay", lambda url: Line(handed.append))
    return handed


class Line:
    def __init__(self, hand: Callable[[dispatch.Hint], None]) -> None:
        self.offer = lambda hint: hand(hint) is None


def make_queue(name: str = "main", **fields) -> WorkQueue:
    pool, _ = WorkPool.objects.get_or_create(name="pool")
    return WorkQueue.objects.create(name=name, work_pool=pool, **fields)


def make_agent(*queues: WorkQueue, name: str = "agent", concurrency: int = 1, **fields) -> Worker:
    return Worker.objects.create(
        name=name,
        work_pool=queues[0].work_pool,
        queue_ids=[str(queue.pk) for queue in queues],
        concurrency=concurrency,
        **{"incarnation": uuid4(), "offline_at": later(3600), **fields},
    )


def waiting_run(queue: WorkQueue | None, at=NOON, **fields) -> FlowRun:
    return make_flow_run(
        make_state("SCHEDULED", scheduled_time=at),
        work_queue_id=queue and queue.pk,
        now=NOON - timedelta(hours=1),
        **fields,
    )


def test_a_due_run_is_announced_to_an_agent_with_a_free_slot(announced):
    queue = make_queue()
    make_agent(queue)
    run = waiting_run(queue)

    hint_due_runs(later(1))

    assert announced == [run.pk]
    run.refresh_from_db()
    assert run.hinted_at == later(1)


@pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite locks the whole file")
def test_many_runs_are_announced_without_locking_all_of_them_at_once(announced):
    """Claims skip the runs that are locked."""
    queue = make_queue()
    make_agent(queue, concurrency=2 * STAMPED_AT_ONCE + 1)
    runs = [waiting_run(queue) for _ in range(2 * STAMPED_AT_ONCE + 1)]

    with CaptureQueriesContext(connection) as queries:
        hint_due_runs(later(1))

    assert sorted(announced) == sorted(run.pk for run in runs)
    locked = [len(re.findall(r"[0-9a-f-]{32,36}", one["sql"])) for one in queries if "SKIP LOCKED" in one["sql"]]
    assert locked == [STAMPED_AT_ONCE, STAMPED_AT_ONCE, 1]


def test_runs_of_the_future_or_without_a_queue_are_not_announced(announced):
    queue = make_queue()
    make_agent(queue, concurrency=5)
    waiting_run(queue, at=later(60))
    waiting_run(None)

    hint_due_runs(later(1))

    assert announced == []


@pytest.mark.parametrize(
    "agent",
    [
        {"offline_at": NOON - timedelta(seconds=1)},
        {"incarnation": None},
        {"draining": True},
    ],
    ids=["gone", "of another make", "draining"],
)
def test_nothing_is_announced_where_no_agent_listens(announced, agent: dict):
    queue = make_queue()
    make_agent(queue, **agent)
    waiting_run(queue)

    hint_due_runs(later(1))

    assert announced == []


def test_an_agent_without_a_free_place_is_left_alone(announced):
    queue = make_queue()
    agent = make_agent(queue)
    Lease.objects.create(flow_run=make_flow_run("RUNNING"), worker=agent, epoch=1, expires_at=later(120))
    waiting_run(queue)

    hint_due_runs(later(1))

    assert announced == []


def test_agents_get_no_more_announcements_than_they_have_slots(announced):
    queue, other = make_queue(), make_queue("other")
    make_agent(queue, concurrency=2)
    make_agent(other, name="second", concurrency=1)
    waiting = [waiting_run(queue, at=NOON + timedelta(milliseconds=n)) for n in range(4)]
    elsewhere = waiting_run(other, at=later(0.5))

    first = hint_due_runs(later(1)), list(announced)
    second = hint_due_runs(later(2))

    assert first == (3, [waiting[0].pk, waiting[1].pk, elsewhere.pk])
    assert second == 0


def test_places_are_counted_in_each_queue_of_an_agent():
    queue, other = make_queue(), make_queue("other")
    make_agent(queue, other, concurrency=3)
    make_agent(queue, name="second", concurrency=2)

    assert free_capacity(NOON) == {queue.pk: 5, other.pk: 3}


def test_an_agent_of_a_whole_pool_has_places_in_queues_that_were_created_later():
    queue = make_queue()
    make_agent(queue, concurrency=2, serves_pool=True)
    later_made = make_queue("later")

    assert free_capacity(NOON) == {queue.pk: 2, later_made.pk: 2}


def test_places_of_many_agents_cost_no_more_queries(django_assert_num_queries):
    queue = make_queue()
    for number in range(5):
        make_agent(queue, name=f"a{number}", concurrency=1, serves_pool=True)

    with django_assert_num_queries(3):
        places = free_capacity(NOON)

    assert places == {queue.pk: 5}


def test_runs_that_still_wait_are_announced_again_less_and_less_often(announced):
    queue = make_queue()
    make_agent(queue)
    waiting_run(queue)

    for second in range(300):
        hint_due_runs(later(second))

    assert 6 <= len(announced) <= 9


@pytest.mark.parametrize(("waited", "pause"), [(0, 15), (30, 15), (80, 40), (3600, 60)])
def test_the_pause_between_hints_grows(waited: float, pause: float):
    assert hint_again_after(timedelta(seconds=waited)) == timedelta(seconds=pause)


def test_a_retry_that_waits_in_its_own_process_is_not_claimed(announced):
    queue = make_queue()
    make_agent(queue)
    waiting_run(queue, empirical_policy={"retry_type": "in_process"})

    hint_due_runs(later(1))

    assert announced == []


def test_runs_of_a_paused_queue_are_not_announced(announced):
    queue = make_queue(is_paused=True)
    make_agent(queue)
    waiting_run(queue)

    hint_due_runs(later(1))

    assert announced == []


def test_without_a_broker_nothing_is_looked_up(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert hint_due_runs(NOON) == 0


def test_with_nothing_due_it_costs_one_query(announced, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert hint_due_runs(NOON) == 0


@pytest.mark.django_db(transaction=True)
def test_a_new_run_is_announced_after_its_commit(settings, tmp_path: Path):
    settings.ORION_BROKER_URL = f"filesystem://{tmp_path}"
    queue = make_queue()
    make_agent(queue, offline_at=timezone.now() + timedelta(hours=1))
    run = make_flow_run("SCHEDULED", work_queue_id=queue.pk, now=timezone.now())

    message = _first_message(tmp_path)

    assert message["headers"]["task"] == "orion.run"
    assert message["properties"]["delivery_info"]["routing_key"] == f"orion-runs.{queue.pk}"
    assert json.loads(base64.b64decode(message["body"]))[0] == [str(run.pk)]


def _first_message(folder: Path) -> dict:
    until = timezone.now() + timedelta(seconds=20)
    while timezone.now() < until:
        for file in (folder / "messages").glob("*.msg"):
            try:
                return json.loads(file.read_bytes())
            except ValueError:
                continue
    raise AssertionError("nothing was sent")


def test_runs_of_a_new_queue_are_also_announced_through_the_first_queue_of_its_pool(addressed):
    first = make_queue("first", created=NOON - timedelta(days=1))
    make_queue("second", created=NOON - timedelta(hours=1))
    new = make_queue("new", created=NOON - timedelta(seconds=20))
    make_agent(first, serves_pool=True, concurrency=5)
    old_run, new_run = waiting_run(first), waiting_run(new)

    hint_due_runs(later(1))

    assert sorted(addressed) == sorted([(first.pk, old_run.pk), (new.pk, new_run.pk), (first.pk, new_run.pk)])


def test_runs_of_a_queue_that_agents_know_are_announced_through_it_alone(addressed):
    first = make_queue("first", created=NOON - timedelta(days=1))
    known = make_queue("known", created=NOON - timedelta(minutes=2))
    make_agent(first, serves_pool=True, concurrency=5)
    run = waiting_run(known)

    hint_due_runs(later(1))

    assert addressed == [(known.pk, run.pk)]


@pytest.mark.django_db(transaction=True)
def test_the_thread_that_looks_for_due_runs_survives_an_outage_of_the_database(announced, caplog, django_db_blocker):
    now = timezone.now()
    queue = make_queue()
    make_agent(queue, concurrency=5, offline_at=now + timedelta(hours=1))
    first, finder = waiting_run(queue), Finder()
    finder.wake()
    eventually(lambda: announced == [first.pk])

    with django_db_blocker.block():
        finder.wake()
        eventually(lambda: "could not be looked up" in caplog.text)

    second = waiting_run(queue)
    finder.wake()
    eventually(lambda: announced == [first.pk, second.pk], lambda: announced)
