"""`concurrency` and `rate_limit`: slots are held for a block, kept while it runs, and waited for."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from orionflow import OrionClient, concurrency, flow, get_run_context, rate_limit, task
from orionflow.calls import Call
from orionflow.errors import NoSlotInTime
from orionflow.slots import keeper as keeping
from orionflow.testing import flow_runs

ROOT = "/v2/concurrency_limits"


def ask(method, path, body=None):
    with OrionClient() as client:
        return client.send(Call(method, path, body, read=dict))


def limit(name="db", slots=1, **fields):
    ask("POST", f"{ROOT}/", {"name": name, "limit": slots, **fields})


def in_use(name="db"):
    return ask("GET", f"{ROOT}/{name}")["active_slots"]


def holders(name="db"):
    return ask("GET", f"{ROOT}/{name}/holders")["holders"]


def expect_renewal() -> None:
    """Wait until the lease of the only holder is renewed."""
    first = holders()[0]["until"]
    until = time.monotonic() + 10
    while holders()[0]["until"] == first and time.monotonic() < until:
        time.sleep(0.05)

    assert holders()[0]["until"] > first


def test_a_flow_holds_a_slot_for_a_block_and_is_named_as_its_holder():
    limit()
    seen = []

    @flow
    def census():
        with concurrency("db"):
            seen.extend(holders())
        seen.append(in_use())

    census()

    assert [seen[0]["id"], seen[1]] == [str(flow_runs("census")[0].id), 0]


def test_no_names_take_no_slots():
    with concurrency([]):
        rate_limit(())


def test_a_task_is_named_rather_than_its_flow():
    limit(slots=2)

    @task
    def load():
        with concurrency(["db"], occupy=2):
            return holders()[0]

    @flow
    def census():
        return load()

    holder = census()

    assert (holder["kind"], holder["slots"], holder["name"]) == ("task-run", 2, "load-0")


async def test_coroutines_hold_slots_too():
    limit()
    most, now = [], [0]

    @task
    async def load(n):
        async with concurrency("db"):
            now[0] += 1
            most.append(now[0])
            await asyncio.sleep(0)
            now[0] -= 1

    @flow
    async def census():
        await asyncio.gather(*(load(n) for n in range(4)))

    await census()

    assert (len(most), max(most), in_use()) == (4, 1, 0)


def test_a_block_outside_of_flows_holds_its_slot_and_gives_it_back_after_an_error():
    limit()

    seen = []

    def fail():
        with concurrency("db"):
            seen.append(in_use())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert [*seen, in_use()] == [1, 0]


def test_blocks_that_share_an_object_hold_slots_of_their_own():
    limit(slots=2)
    shared, seen = concurrency("db"), []

    with shared:
        with shared:
            seen.append(in_use())
        seen.append(in_use())

    assert [*seen, in_use()] == [2, 1, 0]


def test_a_run_that_leaves_a_shared_block_keeps_the_slots_of_another():
    limit(slots=2)
    shared, entered, left = concurrency("db"), threading.Event(), threading.Event()

    @task
    def first():
        with shared:
            entered.wait(20)
        left.set()

    @task
    def second():
        with shared:
            entered.set()
            left.wait(20)
            return [one["name"] for one in holders()]

    @flow
    def census():
        first.submit()
        while not in_use():
            time.sleep(0.002)
        return second.submit().result()

    assert census() == ["second-0"]
    assert in_use() == 0


def test_a_block_that_is_left_elsewhere_leaves_the_client_of_its_flow_open(monkeypatch):
    limit()
    closed = []
    monkeypatch.setattr(OrionClient, "close", lambda client: closed.append(client))

    @flow
    def census():
        block = concurrency("db")
        block.__enter__()
        thread = threading.Thread(target=block.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        return get_run_context().client

    client = census()

    assert client not in closed
    assert in_use() == 0


def test_a_name_without_a_limit_is_not_a_limit():
    with concurrency("whatever", occupy=9):
        pass

    assert in_use("whatever") == 0


def test_an_error_is_raised_if_no_slot_is_free_in_time():
    limit()

    with (
        concurrency("db"),
        pytest.raises(NoSlotInTime, match="No slot of db became free within 5 s"),
        concurrency("db", timeout_seconds=5),
    ):
        pass

    assert in_use() == 0


def test_a_slot_is_waited_for(caplog):
    caplog.set_level("INFO", "orionflow.slots")
    limit()
    held, order = threading.Event(), []

    def hold():
        with concurrency("db"):
            held.set()
            until = time.monotonic() + 10
            while "Waiting for a slot" not in caplog.text and time.monotonic() < until:
                time.sleep(0.002)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with concurrency("db"):
        order.append("second")
    thread.join()

    assert order == ["first", "second"]


def test_slots_are_kept_while_they_are_held(monkeypatch):
    limit()
    monkeypatch.setattr("orionflow.slots.LEASE_SECONDS", 1.0)

    with concurrency("db"):
        expect_renewal()


def test_a_holder_that_lost_its_slots_is_warned_once(monkeypatch, caplog):
    limit()
    monkeypatch.setattr("orionflow.slots.LEASE_SECONDS", 1.0)
    # What an outage is for a lease: it runs out, and is taken by somebody else.
    monkeypatch.setattr(keeping, "RENEWALS_PER_LEASE", 0.7)

    with concurrency("db"):
        until = time.monotonic() + 10
        while "were lost" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)

    assert caplog.text.count("The slots of db were lost") == 1


def test_slots_are_given_back_and_later_ones_kept_if_the_thread_that_renews_them_could_not_start(monkeypatch):
    limit()
    monkeypatch.setattr("orionflow.slots.LEASE_SECONDS", 1.0)
    start, refused = threading.Thread.start, []

    def refuse_once(thread):
        if thread.name == "orion-slots" and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(keeping, "_keeper", keeping.SlotKeeper())
    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with pytest.raises(RuntimeError), concurrency("db"):
        pass

    assert in_use() == 0
    with concurrency("db"):
        expect_renewal()


def test_a_rate_is_kept_to():
    limit("api", slots=2, slot_decay_per_second=1.0)

    for _ in range(2):
        rate_limit("api")

    assert in_use("api") == 2
    with pytest.raises(NoSlotInTime):
        rate_limit("api", timeout_seconds=0)


async def test_a_rate_is_awaited_in_coroutines():
    limit("api", slots=1, slot_decay_per_second=100.0)

    await rate_limit("api")
    await rate_limit("api")
