"""Steps of runs whose creation still waits travel with it, so that the API writes these runs once."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionflow.client import OrionClient
from orionflow.contract.ids import uuid7
from orionflow.errors import ApiUnreachable
from orionflow.reporting import Reporter, Transition
from tests.sdk_client.conftest import quick_settings
from tests.sdk_client.reports import FLOW_RUN, ids_of, spool_files, state, step, stream_all, wait_for
from tests.sdk_client.scripted_server import Fault, ScriptedServer, answer, drop_after_commit
from tests.sdk_client.test_reporter_outages import MakeReporter


def task_run(*kinds: str, gathers: bool = True) -> list[Transition]:
    """The creation of a task run, PENDING, and steps into further states."""
    run = uuid7()
    create = {"flow_run_id": FLOW_RUN, "task_key": "tests.task", "dynamic_key": str(run), "name": "task"}
    first = Transition(run, create, state("PENDING"), gathers=gathers)
    return [first, *(step(kind, run=run) for kind in kinds)]


@contextmanager
def held_server(faults: list[Fault] | None = None) -> Iterator[tuple[ScriptedServer, Reporter]]:
    """A server that has a batch of one step and answers it at the end of the block, and a reporter that waits."""
    server, released = ScriptedServer(), threading.Event()
    config = quick_settings(reporting_interval_ms=1)
    reporter = Reporter(OrionClient(server.url, settings=config), settings=config)
    server.fault_of = lambda seen: released.wait(60) and None
    try:
        reporter.stream(step())
        wait_for(lambda: server.requests)
        server.faults = faults or []
        yield server, reporter
    finally:
        released.set()
        reporter.drain()
        reporter.close()
        server.stop()


def test_steps_that_come_while_the_creation_waits_are_delivered_with_it():
    (a, *rest_of_a), (b, *rest_of_b) = task_run("RUNNING", "COMPLETED"), task_run("RUNNING", "COMPLETED")

    with held_server() as (server, reporter):
        stream_all(reporter, [a, b, *rest_of_b, *rest_of_a])

    assert server.order[1:] == ids_of([a, *rest_of_a, b, *rest_of_b])
    assert len(server.batches()) == 2


def test_a_run_that_waited_for_others_is_recorded_after_them():
    (a, *rest_of_a), (b, *rest_of_b) = task_run("COMPLETED"), task_run("RUNNING", "COMPLETED", gathers=False)
    unrelated = step()

    with held_server() as (server, reporter):
        stream_all(reporter, [b, unrelated, a, *rest_of_a, *rest_of_b])

    assert server.order[1:] == ids_of([b, unrelated, a, *rest_of_a, *rest_of_b])


def test_a_step_is_not_moved_before_one_that_awaits_its_answer():
    creation, running, completed = task_run("RUNNING", "COMPLETED")
    between = step()

    with held_server() as (server, reporter):
        stream_all(reporter, [creation, between])
        asked = reporter.ask(running)
        reporter.stream(completed)

    assert asked.result(timeout=60).is_accepted
    assert server.order[1:] == ids_of([creation, between, running, completed])


def test_a_run_that_waits_for_delivery_is_a_single_object_for_the_garbage_collector():
    with held_server() as (_, reporter):
        gc.collect()
        # Kept, so that no other object gets the id of one of them. A search may also forget tuples that it knew.
        before = gc.get_objects()
        known = {id(one) for one in before}
        for _ in range(300):
            stream_all(reporter, task_run("RUNNING", "COMPLETED"))
        gc.collect()
        more = sum(id(one) not in known for one in gc.get_objects())

    assert 300 <= more < 400, more


def test_requests_stay_within_their_bound(server: ScriptedServer):
    with held_server() as (server, reporter):
        runs = [task_run("RUNNING", "COMPLETED") for _ in range(700)]
        for steps in zip(*runs, strict=True):
            stream_all(reporter, list(steps))

    assert max(len(seen.body["items"]) for seen in server.batches()) <= 500
    assert server.order[1:] == ids_of([one for run in runs for one in run])


# For each step, the run that it is of, and whether somebody asks.
MOVES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40)


@settings(max_examples=25, deadline=None)
@given(MOVES, st.lists(st.booleans(), min_size=6, max_size=6), st.sampled_from(["", "lost", "away"]))
def test_each_run_is_reported_in_order_and_once_and_single_items_after_all_before_them(
    moves: list[tuple[int, bool]], gathers: list[bool], fault: str
):
    faults = {"": [], "lost": [drop_after_commit(), drop_after_commit()], "away": [answer(503)]}[fault]
    runs: dict[int, UUID] = {}
    reported: list[Transition] = []
    alone: list[Transition] = []

    with held_server(faults) as (server, reporter):
        for number, asks in moves:
            item = step(run=runs[number]) if number in runs else task_run(gathers=gathers[number])[0]
            runs[number] = item.task_run_id
            reported.append(item)
            if asks or not gathers[number]:
                alone.append(item)
            if asks:
                reporter.ask(item)
            else:
                reporter.stream(item)

    order = {one: place for place, one in enumerate(server.order)}
    assert sorted(server.order[1:]) == sorted(ids_of(reported))
    for run in runs.values():
        mine = [order[one] for one in ids_of([item for item in reported if item.task_run_id == run])]
        assert all(earlier < later for earlier, later in pairwise(mine))
    for item in alone:
        before = ids_of(reported[: reported.index(item)])
        assert all(order[one] < order[ids_of([item])[0]] for one in before)


@pytest.mark.parametrize("batch", [2, 500])
def test_gathered_steps_survive_an_outage_in_a_file(
    batch: int, home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_budget_seconds=0.3, reporting_interval_ms=300, reporting_batch_size=batch)
    (a, *rest_of_a), (b, *rest_of_b) = task_run("RUNNING", "COMPLETED"), task_run("RUNNING", "COMPLETED")
    server.stop()
    stream_all(reporter, [a, b, *rest_of_b, *rest_of_a])
    with pytest.raises(ApiUnreachable, match="6 reported transitions"):
        reporter.drain(FLOW_RUN)
    later = [step() for _ in range(3)]
    stream_all(reporter, later)
    waiting = reporter.waiting

    server.restart()
    wait_for(lambda: reporter.waiting == 0)
    reporter.drain(FLOW_RUN)
    last = step()
    asked = reporter.ask(last).result(timeout=60)

    assert waiting == 9
    assert asked.is_accepted
    assert sorted(server.order) == sorted(ids_of([a, *rest_of_a, b, *rest_of_b, *later, last]))
    assert server.order[-4:] == ids_of([*later, last])
    assert [one for one in server.order if one in ids_of([a, *rest_of_a])] == ids_of([a, *rest_of_a])
    assert spool_files(home) == []


def test_an_answer_that_comes_after_its_steps_were_left_to_another_process_settles_nothing_else(home: Path):
    server, released = ScriptedServer(), threading.Event()
    config = quick_settings(reporting_interval_ms=1)
    reporter = Reporter(OrionClient(server.url, settings=config), settings=config)
    server.fault_of = lambda seen: released.wait(60) and None
    creation, *rest = task_run("RUNNING", "COMPLETED")
    reporter.stream(step())
    wait_for(lambda: server.requests)
    stream_all(reporter, [creation, *rest])

    reporter.close(timeout=0.05)
    left = reporter.waiting
    later = [step(), step()]
    stream_all(reporter, later)
    released.set()
    reporter.drain(timeout=30)

    try:
        assert (left, reporter.waiting) == (0, 0)
        assert server.order[-2:] == ids_of(later)
        assert len(spool_files(home)) == 1
    finally:
        reporter.close()
        server.stop()
