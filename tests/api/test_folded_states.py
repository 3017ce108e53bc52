"""Usual states of task runs are folded into the row of the run; readers of a history see no difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.upkeep.selectors.invariants import violations
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.new_runs import NewTaskRun
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orionflow.contract.ids import uuid7
from runs.models import CacheEntry, Conversion, TaskRun, TaskRunState
from runs.pages.selectors.run import task_run_history, why_task_run
from runs.pages.selectors.timeline import timeline_of
from runs.retries.selectors import recorded_tree
from runs.states.selectors import unfolded
from runs.states.services import Progress, fold_stored_states, is_folded
from tests.api.conftest import Api
from tests.conftest import DATABASE
from tests.factories import NOON, history_of, later, make_flow_run, make_state, states_of
from tests.rounds import examples

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
_numbers = count(1)
_ENDS = ["COMPLETED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
kinds = st.sampled_from(["PENDING", "RUNNING", "RUNNING", *_ENDS, "SCHEDULED"])
odd = st.sampled_from([{}, {}, {"message": "words"}, {"name": "Own"}, {"untrackable_result": True}, {"data": {"a": 1}}])
moves = st.lists(st.tuples(kinds, odd, st.sampled_from([False, False, True])), max_size=7)


def id_about(moment: datetime) -> UUID:
    """An id as a program makes it at this moment."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62) | next(_numbers))


def live(steps: Sequence[Any], made: timedelta, *, at_once: bool) -> TaskRun:
    """Make a task run with these states, whose ids were created with the given delay."""
    flow_run = make_flow_run("RUNNING")
    run_id = uuid7()
    new = NewTaskRun(task_key="t", dynamic_key="0", name="t-0", flow_run_id=flow_run.pk)
    items = []
    for second, (kind, fields, force) in enumerate([("PENDING", {}, False), *steps], 1):
        at = later(second)
        state = make_state(kind, id=id_about(at + made), timestamp=at, **fields)
        items.append(TaskRunTransition(run_id, None if items else new, state, force))
    for batch in [items] if at_once else [[item] for item in items]:
        apply_task_run_transitions(items=batch, now=later(60), sent_at=None)
    # Transitions that were applied already get the same answer as before, and change nothing.
    apply_task_run_transitions(items=items, now=later(61), sent_at=None)
    propose_flow_run_state(run_id=flow_run.pk, proposed=make_state("COMPLETED"), now=later(100), force=True)
    return TaskRun.objects.get(pk=run_id)


def story_of(run: TaskRun) -> str:
    """Return everything that the API and the pages show of a run, with ids replaced by their order."""
    api = Api(raise_request_exception=True)
    states = api.read(f"/task_run_states/?task_run_id={run.pk}").json()
    flow_run = run.flow_run
    assert flow_run is not None
    found = [
        states,
        [api.read(f"/task_run_states/{state['id']}").json() for state in states],
        api.read(f"/task_runs/{run.pk}").json(),
        api.send("/task_runs/filter", {"task_runs": {"id": {"any_": [str(run.pk)]}}}).json(),
        api.read(f"/task_runs/{run.pk}/why").json(),
        api.read(f"/flow_runs/{run.flow_run_id}/graph").json(),
        api.read(f"/flow_runs/{run.flow_run_id}/time").json(),
        [(p.state.pk, p.state.name, p.state.trail, p.lasted, p.details) for p in task_run_history(run).states],
        why_task_run(run=run, now=later(99)),
        timeline_of(run=flow_run, now=later(99)),
        recorded_tree(run.flow_run_id),
        api.read(f"/flow_runs/{run.flow_run_id}/export").content.decode(),
    ]
    text = str(found)
    for number, id in enumerate([run.pk, run.flow_run_id, *(state["id"] for state in states)]):
        text = text.replace(str(id), f"id {number}")
    text = text.replace(flow_run.name, "run").replace(str(flow_run.flow_id), "flow").replace(flow_run.flow.name, "flow")
    text = re.sub(r"\b\d{6,}\.\d+", "seconds until now", text)
    return re.sub(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", _unless_it_is_now, text)


def _unless_it_is_now(moment: re.Match[str]) -> str:
    return moment[0] if moment[0].startswith(f"{NOON:%Y-%m-%d}") else "now"


@examples(4, 200)
@given(moves, st.booleans())
@example([("RUNNING", {}, False), ("COMPLETED", {"untrackable_result": True}, False)], True)
@example([("RUNNING", {}, False), ("COMPLETED", {}, False), ("PENDING", {}, True), ("RUNNING", {}, False)], False)
@example([("RUNNING", {}, False), ("FAILED", {"message": "words"}, False)], False)
def test_folded_histories_equal_unfolded_ones(steps, at_once):
    folded = live(steps, timedelta(), at_once=at_once)
    stored = live(steps, DAY, at_once=at_once)

    assert stored.folded_states is None
    assert story_of(folded) == story_of(stored)
    assert not list(violations(later(120)))


def test_a_task_run_that_just_works_has_no_rows_of_states():
    run = live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=False)

    assert not TaskRunState.objects.exists()
    assert history_of(run) == ["Pending", "Running", "Completed"]
    assert [state.seq for state in states_of(run)] == [1, 2, 3]


def test_a_failure_has_a_row_behind_what_is_folded():
    run = live([("RUNNING", {}, False), ("FAILED", {"message": "no"}, False)], timedelta(), at_once=False)

    assert [row.seq for row in TaskRunState.objects.filter(task_run=run)] == [3]
    assert history_of(run) == ["Pending", "Running", "Failed"]


def test_a_run_that_starts_again_after_its_end_gets_rows():
    run = live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=False)

    propose_task_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(70), force=True)

    run.refresh_from_db()
    assert run.folded_states is None
    assert [row.seq for row in TaskRunState.objects.filter(task_run=run)] == [1, 2, 3, 4]
    assert not list(violations(later(120)))


def test_a_folded_state_is_read_by_its_id_with_the_rights_on_its_run(api: Api):
    run = live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=True)

    answers = [api.read(f"/task_run_states/{state.pk}") for state in states_of(run)]

    assert [answer.json()["type"] for answer in answers] == ["PENDING", "RUNNING", "COMPLETED"]
    assert api.read(f"/task_run_states/{id_about(NOON)}").status_code == 404


def test_faults_in_folded_states_are_found():
    steps = [("RUNNING", {}, False), ("COMPLETED", {}, False)]
    torn, short, other = (live(steps, timedelta(), at_once=True) for _ in range(3))

    TaskRun.objects.filter(pk=torn.pk).update(folded_states=bytes(torn.folded_states or b"")[:-9])
    TaskRun.objects.filter(pk=short.pk).update(seq=4)
    TaskRun.objects.filter(pk=other.pk).update(state_type="RUNNING")

    found = {violation.subject for violation in violations(later(120)) if violation.invariant == "I2"}
    assert found == {f"task-run {run.pk}" for run in (torn, short, other)}


def as_a_version_before() -> None:
    """Have nothing been folded, as nothing was when the tables were made."""
    Conversion.objects.all().delete()


def as_before(run: TaskRun) -> None:
    """Store the run as a version did that folded nothing."""
    TaskRunState.objects.bulk_create(states_of(run)[: len(unfolded(run))])
    TaskRun.objects.filter(pk=run.pk).update(folded_states=None)
    run.refresh_from_db()


@examples(4, 100)
@given(moves, st.booleans())
@example([("RUNNING", {}, False), ("COMPLETED", {"untrackable_result": True}, False)], True)
@example([("RUNNING", {}, False), ("FAILED", {"message": "words"}, False)], False)
def test_stored_states_are_folded_to_what_the_writer_folds(steps, at_once):
    as_a_version_before()
    run = live([*steps, ("COMPLETED", {}, True)], timedelta(), at_once=at_once)
    found, folded = story_of(run), run.folded_states
    as_before(run)

    fold_stored_states(lambda progress: None)

    run.refresh_from_db()
    assert story_of(run) == found
    assert folded is None or run.folded_states == folded
    assert not list(violations(later(120)))


def test_states_that_others_refer_to_keep_their_rows():
    run = live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=True)
    as_a_version_before()
    as_before(run)
    CacheEntry.objects.create(cache_key="k", task_run_state_id=run.state_id)

    fold_stored_states(lambda progress: None)

    assert [row.seq for row in TaskRunState.objects.all()] == [3]
    assert history_of(run) == ["Pending", "Running", "Completed"]


def test_folding_continues_where_it_was_stopped_and_ends_once():
    runs = [live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=True) for _ in range(5)]
    as_a_version_before()
    for run in runs:
        as_before(run)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fold_stored_states(stop, at_once=2)
    assert (TaskRunState.objects.count(), is_folded()) == (9, False)

    assert fold_stored_states(lambda progress: None, at_once=2) == Progress(3, 3)

    assert (TaskRunState.objects.count(), is_folded()) == (0, True)
    assert fold_stored_states(lambda progress: None) == Progress(0, 0)
    assert {tuple(history_of(run)) for run in runs} == {("Pending", "Running", "Completed")}


@pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite has no such limits")
def test_folding_may_take_longer_than_a_request():
    """On a busy machine a thousand runs take more than the thirty seconds that a transaction may pause."""
    run = live([("RUNNING", {}, False), ("COMPLETED", {}, False)], timedelta(), at_once=True)
    as_a_version_before()
    as_before(run)
    limits = []

    def look(progress: Progress) -> None:
        with connection.cursor() as cursor:
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"SHOW {limit}")
                limits.append(cursor.fetchone()[0])

    fold_stored_states(look)
    folding = limits.copy()
    look(Progress(0, 0))

    assert folding == ["0", "0"]
    assert "0" not in limits[2:]


def test_a_server_of_an_earlier_version_moves_a_run_on_that_has_folded_states():
    run = live([], timedelta(), at_once=True)
    id, at = id_about(later(5)), later(5)
    TaskRunState.objects.create(id=id, task_run=run, seq=2, type="RUNNING", name="Running", timestamp=at)
    current = {"seq": 2, "state_id": id, "state_type": "RUNNING", "state_name": "Running", "state_timestamp": at}
    TaskRun.objects.filter(pk=run.pk).update(**current)

    propose_task_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later(6), force=True)

    assert history_of(run) == ["Pending", "Running", "Completed"]
    assert [state.timestamp for state in states_of(run)] == [later(1), later(5), later(6)]
    assert not list(violations(later(120)))


@pytest.mark.parametrize("id", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000"])
def test_an_id_with_an_impossible_time_is_not_found(api: Api, id: str):
    assert api.call("GET", f"/task_run_states/{id}").status_code == 404
