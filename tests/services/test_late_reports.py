"""Reports that were kept while no server was there come late, and are recorded with their own times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from deployments.dispatch.services.dead_processes import crash_runs_of_dead_processes
from runs.models import FlowRun, FlowRunState, TaskRunState
from tests.api.conftest import api as api
from tests.factories import make_flow_run, make_task_run, state_of

pytestmark = pytest.mark.django_db


def report(api, run, at: datetime | None, sent_at: datetime | None = None) -> None:
    state = {"type": "COMPLETED"} | ({} if at is None else {"timestamp": at.isoformat()})
    headers = {"Orion-Proposal-Id": str(uuid4())}
    if sent_at is not None:
        headers["Orion-Sent-At"] = sent_at.isoformat()
    answer = api.send(f"/flow_runs/{run.id}/set_state", {"state": state}, **headers)
    assert answer.status_code == 201, answer.content


MILLISECOND = timedelta(milliseconds=1)


def running_since(ago: timedelta, **fields) -> FlowRun:
    run = make_flow_run("RUNNING", **fields)
    began = datetime.now(UTC) - ago
    FlowRun.objects.filter(pk=run.pk).update(start_time=began, state_timestamp=began)
    FlowRunState.objects.filter(flow_run=run).update(timestamp=began)
    return FlowRun.objects.get(pk=run.pk)


def test_a_kept_end_has_the_time_at_which_it_was(api):
    run = running_since(timedelta(hours=9))
    ended = run.start_time + timedelta(seconds=9)

    sent_at = datetime.now(UTC)
    report(api, run, ended, sent_at=sent_at)
    # What a report takes longer than a second to arrive looks like a wrong clock.
    way = datetime.now(UTC) - sent_at

    run.refresh_from_db()
    assert ended - MILLISECOND < run.end_time < ended + way
    assert run.total_run_time == run.end_time - run.start_time


@pytest.mark.parametrize("hours", [-3, 3])
def test_the_clock_of_a_sender_is_corrected(api, hours):
    run = running_since(timedelta(hours=9))
    ended, off = run.start_time + timedelta(seconds=9), timedelta(hours=hours)

    report(api, run, ended + off, sent_at=datetime.now(UTC) + off)

    run.refresh_from_db()
    assert abs(run.end_time - ended) < timedelta(seconds=60)


def test_an_end_lies_between_the_present_state_and_now(api):
    early, late = running_since(timedelta(minutes=1)), running_since(timedelta(minutes=1))
    now = datetime.now(UTC)

    report(api, early, now - timedelta(days=3), sent_at=now)
    report(api, late, now + timedelta(days=3), sent_at=now)

    early.refresh_from_db()
    late.refresh_from_db()
    assert early.start_time <= early.end_time < early.start_time + timedelta(seconds=1)
    assert now - timedelta(seconds=1) <= late.end_time <= datetime.now(UTC)


def test_an_end_that_is_reported_at_once_has_the_time_of_the_server(api):
    run = running_since(timedelta(minutes=5))

    report(api, run, datetime.now(UTC) - timedelta(minutes=4))

    run.refresh_from_db()
    assert run.end_time > datetime.now(UTC) - timedelta(minutes=1)


def test_the_task_run_of_a_nested_run_ends_at_the_same_time(api):
    parent = running_since(timedelta(hours=9))
    call = make_task_run("RUNNING", flow_run=parent)
    began = datetime.now(UTC) - timedelta(hours=9)
    TaskRunState.objects.filter(task_run=call).update(timestamp=began)
    run = running_since(timedelta(hours=9), parent_task_run_id=call.pk)

    report(api, run, run.start_time + timedelta(seconds=9), sent_at=datetime.now(UTC))

    call.refresh_from_db()
    run.refresh_from_db()
    assert state_of(call) == "COMPLETED"
    assert call.state_timestamp == run.end_time


def test_runs_from_before_a_server_began_are_let_be_for_a_while():
    old, new = (make_flow_run("RUNNING", process=f"host|{pid}|1|boot|ns|machine") for pid in (1, 2))
    now = datetime.now(UTC)
    FlowRun.objects.filter(pk=old.pk).update(created=now - timedelta(hours=1))
    FlowRun.objects.filter(pk=new.pk).update(created=now)
    began = now - timedelta(minutes=1)

    spared = crash_runs_of_dead_processes(now, is_gone=lambda process, seen_at: True, made_after=began)
    states = state_of(old), state_of(new)
    crashed = crash_runs_of_dead_processes(now, is_gone=lambda process, seen_at: True)

    assert (spared, states) == (1, ("RUNNING", "CRASHED"))
    assert (crashed, state_of(old)) == (1, "CRASHED")
