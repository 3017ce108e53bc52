"""Runs that were not started in time, and missed deadlines."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from deployments.dispatch.services.lateness import mark_late_runs, watch_deadlines
from deployments.models import Deadline
from events.models import Event
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState
from runs.why.selectors.why import why_flow_run
from tests.factories import NOON, history_of, later, make_flow_run, make_state, state_of

pytestmark = pytest.mark.django_db


def scheduled_run(at: datetime = NOON, name: str = "Scheduled", **fields) -> FlowRun:
    return make_flow_run(make_state("SCHEDULED", name, scheduled_time=at), **fields)


def test_a_run_is_late_when_the_grace_has_passed():
    run = scheduled_run()

    marked = [mark_late_runs(later(seconds), grace_seconds=15) for seconds in (14, 15, 20)]

    assert marked == [0, 1, 0]
    assert history_of(run) == ["Scheduled", "Late"]


def test_the_late_state_has_an_author_and_a_reason():
    run = scheduled_run()

    mark_late_runs(later(20))

    state = FlowRunState.objects.filter(flow_run=run).latest("seq")
    assert (state.author, state.trail) == ("lateness", [["MarkOnlyScheduledRunsLate", "accept", ""]])
    assert state.message == "It was due at 2026-01-05 12:00:00 UTC and had not been started 20 s later."
    assert datetime.fromisoformat(state.details["scheduled_time"]) == NOON
    run.refresh_from_db()
    assert run.next_scheduled_start_time == NOON


@pytest.mark.parametrize("name", ["AwaitingRetry", "Resuming", "Late"])
def test_other_scheduled_states_do_not_become_late(name: str):
    run = scheduled_run(name=name)

    mark_late_runs(later(3600))

    assert history_of(run) == [name]


def test_runs_of_the_future_are_not_late():
    run = scheduled_run(at=later(3600))

    mark_late_runs(later(20))

    assert history_of(run) == ["Scheduled"]


def test_without_late_runs_nothing_is_written(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert mark_late_runs(NOON) == 0


def deadline(run: FlowRun, kind: str, seconds: float) -> Deadline:
    return Deadline.objects.create(flow_run=run, kind=kind, due=later(seconds))


def move(run: FlowRun, state: str, at: datetime) -> None:
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=at, force=True)


MET, MISSED = 0, 1


@pytest.mark.parametrize(
    ("kind", "moves", "missed"),
    [
        ("start", [], MISSED),
        ("start", [("RUNNING", 5)], MET),
        ("start", [("RUNNING", 15)], MISSED),
        ("start", [("RUNNING", 5), ("FAILED", 6), ("RUNNING", 15)], MET),
        ("start", [("CANCELLED", 5)], MET),
        ("finish", [], MISSED),
        ("finish", [("RUNNING", 5)], MISSED),
        ("finish", [("RUNNING", 5), ("COMPLETED", 9)], MET),
        ("finish", [("RUNNING", 5), ("FAILED", 9)], MET),
        ("finish", [("RUNNING", 5), ("COMPLETED", 11)], MISSED),
        ("finish", [("RUNNING", 5), ("FAILED", 6), ("RUNNING", 7)], MISSED),
    ],
)
def test_a_deadline_is_met_or_missed(kind: str, moves: list[tuple[str, float]], missed: int):
    run = scheduled_run()
    deadline(run, kind, 10)
    for state, seconds in moves:
        move(run, state, later(seconds))

    found = watch_deadlines(later(20))

    assert found == missed
    assert list(Deadline.objects.values_list("missed_at", flat=True)) == [later(20)] * missed


def test_a_missed_deadline_is_an_event_once():
    run = scheduled_run(name="Scheduled", deployment_id=None)
    deadline(run, "finish", 10)

    found = [watch_deadlines(later(seconds)) for seconds in (5, 20, 30)]

    assert found == [0, 1, 0]
    event = Event.objects.get()
    assert (event.event, event.resource_id) == ("orion.flow-run.missed-finish", f"prefect.flow-run.{run.pk}")
    assert event.payload["due"] == later(10).isoformat()
    assert event.occurred == later(20)


def test_deadlines_cost_one_query_while_none_has_passed(django_assert_num_queries):
    deadline(scheduled_run(), "start", 10)

    with django_assert_num_queries(1):
        watch_deadlines(NOON)


def test_many_deadlines_are_settled_together(django_assert_max_num_queries):
    for _ in range(20):
        run = scheduled_run()
        deadline(run, "start", 10)
        move(run, "RUNNING", later(5))

    with django_assert_max_num_queries(10):
        watch_deadlines(later(20) + timedelta(seconds=1))

    assert not Deadline.objects.exists()
    assert state_of(run) == "RUNNING"


def codes(run: FlowRun) -> list[str]:
    why = why_flow_run(run_id=run.pk, now=later(20))
    assert why is not None
    return [reason.code for reason in why.reasons if reason.code.startswith(("must_", "missed_"))]


def test_why_shows_future_and_missed_deadlines():
    run = scheduled_run(deployment_id=uuid4())
    deadline(run, "start", 10)
    deadline(run, "finish", 60)

    before = codes(run)
    watch_deadlines(later(20))

    assert before == ["must_start", "must_finish"]
    assert codes(run) == ["missed_start", "must_finish"]


def test_why_omits_deadlines_that_were_met():
    run = scheduled_run(deployment_id=uuid4())
    deadline(run, "start", 30)
    move(run, "RUNNING", later(5))

    assert codes(run) == []
