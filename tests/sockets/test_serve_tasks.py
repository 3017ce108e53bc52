"""Task runs without a flow run that are offered over `/api/task_runs/subscriptions/scheduled`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.core.states import State
from orchestration.core.verdicts import Abort
from orchestration.new_runs import NewTaskRun
from orchestration.services import propose_task_run_state
from runs.background_tasks import api as subscriptions
from runs.background_tasks import offers, selectors
from runs.background_tasks.offers import Offers
from runs.background_tasks.selectors import waiting_task_runs
from runs.background_tasks.services import hold_calls, offer_abandoned_calls, reserve_call
from runs.models import HeldCall, TaskRun
from runs.task_runs.services import create_task_run
from tests.conftest import DATABASE
from tests.factories import history_of, make_limit, make_state, make_task_run, state_of
from tests.services.threads import before_statement
from tests.sockets.conftest import PREFECT, talk_to, talking

pytestmark = pytest.mark.django_db(transaction=True)
SCHEDULED = "/api/task_runs/subscriptions/scheduled"
KEY = "app.greet"
OWN, OTHER = uuid4(), uuid4()


@pytest.fixture(autouse=True)
def _nothing_offered(monkeypatch):
    monkeypatch.setattr(subscriptions, "offers", Offers())


def make_call(
    key: str = KEY,
    state: State | None = None,
    now: datetime | None = None,
    parameters: UUID | None = None,
    tags: Sequence[str] = (),
) -> TaskRun:
    """A task that was called to be run elsewhere."""
    state = state or make_state("SCHEDULED", task_parameters_id=parameters)
    new = NewTaskRun(flow_run_id=None, task_key=key, dynamic_key=str(uuid4()), name=key, tags=tags)
    return create_task_run(new=new, state=state, now=now or timezone.now()).run


def propose(run: TaskRun, type: str, now: datetime | None = None, **details: Any) -> Any:
    outcome = propose_task_run_state(run_id=run.pk, proposed=make_state(type, **details), now=now or timezone.now())
    return outcome.verdict


make_call_beside = database_sync_to_async(make_call)
propose_beside = database_sync_to_async(propose)
offer_abandoned_beside = database_sync_to_async(offer_abandoned_calls)


def subscription(*keys: str) -> dict[str, Any]:
    return {"type": "subscribe", "keys": list(keys or (KEY,)), "client_id": "test"}


async def test_a_waiting_run_is_offered_with_the_place_of_its_parameters():
    parameters = uuid4()
    run = await make_call_beside(parameters=parameters)

    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        answer = await talk.next_message()

    assert (answer["id"], answer["task_key"], answer["flow_run_id"]) == (str(run.pk), KEY, None)
    assert answer["state"]["type"] == "SCHEDULED"
    assert answer["state"]["state_details"]["task_parameters_id"] == str(parameters)


async def test_a_run_that_comes_later_is_offered_when_it_comes():
    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription("app.other", KEY))
        await talk.ping()
        run = await make_call_beside()

        assert (await talk.next_message())["id"] == str(run.pk)


async def test_the_next_run_is_offered_when_the_one_before_is_acknowledged():
    first = await make_call_beside(now=timezone.now() - timedelta(seconds=9))
    second = await make_call_beside()

    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        answer = await talk.next_message()
        assert await talk.receive_nothing(timeout=0.1)
        await talk.send_json_to({"type": "ack"})
        body = await talk.next_message()

    assert (answer["id"], body["id"]) == (str(first.pk), str(second.pk))


async def test_only_runs_of_the_tasks_that_are_served_are_offered():
    await make_call_beside(key="app.unknown")

    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())

        assert await talk.receive_nothing(timeout=0.3)


async def test_two_processes_are_not_offered_the_same_run():
    await make_call_beside()

    async with (
        talking(SCHEDULED, subprotocols=PREFECT) as one,
        talking(SCHEDULED, subprotocols=PREFECT) as other,
    ):
        await one.introduce(subscription())
        await one.next_message()
        await other.introduce(subscription())

        assert await other.receive_nothing(timeout=0.3)


async def test_a_run_of_a_lost_process_is_offered_to_another():
    run = await make_call_beside()
    async with talking(SCHEDULED, subprotocols=PREFECT) as gone:
        await gone.introduce(subscription())
        await gone.next_message()

    async with talking(SCHEDULED, subprotocols=PREFECT) as another:
        await another.introduce(subscription())

        assert (await another.next_message())["id"] == str(run.pk)


async def test_a_run_that_was_acknowledged_and_never_claimed_is_offered_again(monkeypatch):
    monkeypatch.setattr(offers, "OFFER_SECONDS", 0.2)
    run = await make_call_beside()

    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        first = await talk.next_message()
        await talk.send_json_to({"type": "ack"})
        again = await talk.next_message()

    assert first["id"] == again["id"] == str(run.pk)


async def test_a_client_that_does_not_acknowledge_is_closed(monkeypatch):
    monkeypatch.setattr(subscriptions, "OFFER_SECONDS", 0.1)
    await make_call_beside()
    talk = talk_to(SCHEDULED, subprotocols=PREFECT)
    await talk.connect()

    await talk.introduce(subscription())
    await talk.next_message()

    assert await talk.close_code() == 1008


async def test_a_client_may_quit():
    await make_call_beside()
    talk = talk_to(SCHEDULED, subprotocols=PREFECT)
    await talk.connect()
    await talk.introduce(subscription())
    await talk.next_message()

    await talk.send_json_to({"type": "quit"})

    closed = await talk.receive_output(timeout=20)
    assert (closed["type"], closed.get("code", 1000)) == ("websocket.close", 1000)


@pytest.mark.parametrize(
    "wrong", [{"type": "other", "keys": [KEY]}, {"type": "subscribe"}, subscription() | {"keys": []}]
)
async def test_a_subscription_that_cannot_be_read_is_closed(wrong):
    talk = talk_to(SCHEDULED, subprotocols=PREFECT)
    await talk.connect()

    await talk.introduce(wrong)

    assert await talk.close_code() == 4001


async def test_another_word_than_ack_is_closed():
    await make_call_beside()
    talk = talk_to(SCHEDULED, subprotocols=PREFECT)
    await talk.connect()
    await talk.introduce(subscription())
    await talk.next_message()

    await talk.send_json_to({"type": "thanks"})

    assert await talk.close_code() == 4001


# --- the rules behind it ---


def test_only_one_process_can_claim_a_run():
    run = make_call()

    first, second = propose(run, "PENDING"), propose(run, "PENDING")

    assert not isinstance(first, Abort)
    assert isinstance(second, Abort)


def test_a_claimed_run_starts_without_a_flow_run_and_ends():
    run = make_call()

    for type in ("PENDING", "RUNNING", "COMPLETED"):
        propose(run, type)

    run.refresh_from_db()
    assert (run.state_type, run.run_count) == ("COMPLETED", 1)


def test_runs_wait_for_their_time_and_those_of_flows_are_left_alone():
    now = timezone.now()
    later = make_call(state=make_state("SCHEDULED", scheduled_time=now + timedelta(minutes=1)))

    assert waiting_task_runs(task_keys=[KEY], server=OWN, now=now, limit=10) == []
    assert waiting_task_runs(task_keys=[KEY], server=OWN, now=now + timedelta(minutes=1), limit=10) == [later.pk]


def test_a_retry_is_left_to_the_process_that_has_it_until_it_is_overdue():
    now = timezone.now()
    run = make_call(state=make_state("SCHEDULED", "AwaitingRetry", scheduled_time=now))

    early = waiting_task_runs(task_keys=[KEY], server=OWN, now=now + timedelta(seconds=10), limit=10)
    late = waiting_task_runs(task_keys=[KEY], server=OWN, now=now + timedelta(seconds=31), limit=10)

    assert (early, late) == ([], [run.pk])


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL plans by the rows that there are")
def test_looking_for_waiting_runs_does_not_go_through_all_that_ended():
    with CaptureQueriesContext(connection) as queries:
        waiting_task_runs(task_keys=[KEY], server=OWN, now=timezone.now(), limit=10)

    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + queries[0]["sql"])
        assert "task_run_unfinished" in cursor.fetchall()[0][3]


# --- calls that were taken and not begun ---

SECOND = timedelta(seconds=1)


def take(now: datetime, **call: Any) -> TaskRun:
    run = make_call(now=now, **call)
    propose(run, "PENDING", now)
    return run


def test_a_worker_whose_claim_was_refused_holds_nothing():
    now = timezone.now()
    run = take(now)
    of_refused, of_claimer = Offers(), Offers()
    for server in (of_refused, of_claimer):
        assert server.make(run.pk)
        server.hold("worker", run.pk)
    # The offer of the first server is over: its worker did not claim the call in time.
    reserve_call(run.pk, of_refused.server, now - 31 * SECOND)
    assert reserve_call(run.pk, of_claimer.server, now)

    # The worker of the second server claimed it, and is gone.
    for second in range(0, 60, 10):
        held = hold_calls(of_refused.held_by("worker"), of_refused.server, now + second * SECOND)
        of_refused.drop("worker", of_refused.held_by("worker") - held)

    assert not of_refused.held_by("worker")
    assert offer_abandoned_calls(now + 31 * SECOND) == 1


def test_a_worker_holds_a_call_no_longer_that_its_server_offers_to_another_one(monkeypatch):
    server, run_id = Offers(), uuid4()
    monkeypatch.setattr(offers, "OFFER_SECONDS", 0)
    server.make(run_id)
    server.hold("first", run_id)

    server.make(run_id)
    while_offered = server.held_by("first")
    server.hold("second", run_id)

    assert (while_offered, server.held_by("first"), server.held_by("second")) == (set(), set(), {run_id})


def test_of_two_servers_one_offers_a_call():
    now = timezone.now()
    run = make_call(now=now)

    assert [reserve_call(run.pk, server, now) for server in (OWN, OTHER, OWN)] == [True, False, True]
    assert waiting_task_runs(task_keys=[KEY], server=OWN, now=now, limit=10) == [run.pk]
    assert waiting_task_runs(task_keys=[KEY], server=OTHER, now=now, limit=10) == []
    assert waiting_task_runs(task_keys=[KEY], server=OTHER, now=now + 30 * SECOND, limit=10) == [run.pk]
    assert reserve_call(run.pk, OTHER, now + 30 * SECOND)


def test_a_call_that_was_received_but_not_started_is_offered_again_with_its_parameters():
    now, parameters = timezone.now(), uuid4()
    run = take(now, parameters=parameters)

    early, late = offer_abandoned_calls(now + 29 * SECOND), offer_abandoned_calls(now + 31 * SECOND)

    assert (early, late) == (0, 1)
    found = subscriptions.offered(run.pk)
    assert found is not None
    assert found["state"] is not None
    assert found["state"]["state_details"]["task_parameters_id"] == parameters


def test_a_call_is_left_to_its_worker_until_30_seconds_after_it_was_last_connected():
    now = timezone.now()
    run = take(now)

    assert hold_calls([run.pk], OWN, now + 50 * SECOND) == {run.pk}

    assert offer_abandoned_calls(now + 79 * SECOND) == 0
    assert offer_abandoned_calls(now + 81 * SECOND) == 1
    assert not HeldCall.objects.exists()


def test_a_worker_that_connects_again_while_its_call_is_looked_at_keeps_it():
    now = timezone.now()
    run = take(now)

    with before_statement('"runs_taskrun"."id" = %s) LIMIT 1', lambda: hold_calls([run.pk], OWN, now + 59 * SECOND)):
        assert offer_abandoned_calls(now + 60 * SECOND) == 0


def test_a_call_that_began_or_waits_to_be_claimed_costs_no_row():
    began, waiting = take(timezone.now()), make_call()
    propose(began, "RUNNING")

    assert hold_calls([began.pk, waiting.pk, uuid4()], OWN, timezone.now()) == {waiting.pk}
    assert not HeldCall.objects.exists()


def test_many_calls_that_are_held_or_wait_for_a_slot_hide_no_abandoned_one(monkeypatch):
    monkeypatch.setattr(selectors, "BATCH", 2)
    now = timezone.now()
    make_limit(tag="gpu", slots=1, taken_by=[make_task_run("RUNNING", tags=["gpu"])])
    hold_calls([take(now).pk for _ in range(2)], OWN, now + 30 * SECOND)
    for _ in range(2):
        propose(take(now, tags=["gpu"]), "RUNNING", now + 25 * SECOND)
    abandoned = take(now + SECOND)

    assert offer_abandoned_calls(now + 55 * SECOND) == 1
    assert state_of(abandoned) == "SCHEDULED"


def test_of_two_workers_that_claimed_a_call_one_starts_it():
    now = timezone.now()
    run = take(now)
    offer_abandoned_calls(now + 60 * SECOND)
    propose(run, "PENDING", now + 61 * SECOND)

    first, second = propose(run, "RUNNING", now + 62 * SECOND), propose(run, "RUNNING", now + 63 * SECOND)
    propose(run, "FAILED", now + 64 * SECOND)
    third = propose(run, "RUNNING", now + 65 * SECOND)

    assert not isinstance(first, Abort)
    assert isinstance(second, Abort)
    assert isinstance(third, Abort)
    assert history_of(run) == ["Scheduled", "Pending", "Scheduled", "Pending", "Running", "Failed"]


def test_a_worker_that_did_not_receive_the_answer_may_ask_to_start_its_call_again():
    run = take(timezone.now())
    propose(run, "RUNNING")

    assert not isinstance(propose(run, "RUNNING"), Abort)


def test_a_call_that_began_is_left_alone():
    now = timezone.now()
    run = take(now)
    propose(run, "RUNNING", now)

    assert offer_abandoned_calls(now + 60 * SECOND) == 0


def test_a_call_that_waits_for_a_slot_is_left_alone_as_long_as_it_asks():
    now = timezone.now()
    make_limit(tag="gpu", slots=1, taken_by=[make_task_run("RUNNING", tags=["gpu"])])
    run = take(now, tags=["gpu"])
    propose(run, "RUNNING", now + 25 * SECOND)

    assert offer_abandoned_calls(now + 60 * SECOND) == 0
    assert offer_abandoned_calls(now + 200 * SECOND) == 1


def test_a_run_that_was_not_scheduled_is_not_offered():
    now = timezone.now()
    make_call(now=now, state=make_state("PENDING"))

    assert offer_abandoned_calls(now + 60 * SECOND) == 0


async def test_a_worker_that_queues_what_it_took_keeps_it_also_in_the_eyes_of_other_servers(monkeypatch):
    monkeypatch.setattr(subscriptions, "HOLD_EVERY_SECONDS", 0.05)
    now = timezone.now() - 60 * SECOND
    run = await make_call_beside(now=now)

    async with talking(SCHEDULED, subprotocols=PREFECT) as talk:
        await talk.introduce(subscription())
        await talk.next_message()
        await talk.send_json_to({"type": "ack"})
        await propose_beside(run, "PENDING", now + SECOND)
        await until_a_call_is_held()
        while_connected = await offer_abandoned_beside(timezone.now())

    assert while_connected == 0
    assert await offer_abandoned_beside(timezone.now() + 31 * SECOND) == 1


async def until_a_call_is_held() -> None:
    async with asyncio.timeout(20):
        while not await database_sync_to_async(HeldCall.objects.exists)():
            await asyncio.sleep(0.05)
