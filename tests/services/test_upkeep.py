"""Expired pauses and cancellations are finished by any number of servers, while programs and users go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from deployments.dispatch.services.dead_processes import cancel_unserved_runs
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs import upkeep
from runs.flow_runs.services import delete_flow_run
from runs.models import FlowRun, TaskRun
from runs.upkeep import clean_up_cancelled, fail_expired_pauses
from tests.factories import history_of, later, make_flow_run, make_state, make_task_run, state_of
from tests.services.dispatching import make_queue, waiting
from tests.services.threads import before_statement

pytestmark = pytest.mark.django_db


def before_the_first_write(act: Callable[[], object]) -> AbstractContextManager[None]:
    return before_statement("SAVEPOINT", act)


def move(run: FlowRun | TaskRun, type: str, name: str = "", *, at: float, **details: Any) -> None:
    propose = propose_flow_run_state if isinstance(run, FlowRun) else propose_task_run_state
    propose(run_id=run.pk, proposed=make_state(type, name, **details), now=later(at), force=True)


def paused_run() -> FlowRun:
    run = make_flow_run("RUNNING")
    move(run, "PAUSED", at=1, pause_timeout=later(10))
    return run


def cancelled_run() -> FlowRun:
    run = make_flow_run("RUNNING")
    move(run, "CANCELLED", at=5)
    return run


def test_a_run_that_was_retried_after_its_pause_expired_goes_on():
    run = paused_run()

    def fail_and_retry():
        fail_expired_pauses(later(60))
        move(run, "RUNNING", at=61)

    with before_the_first_write(fail_and_retry):
        number = fail_expired_pauses(later(62))

    assert (number, history_of(run)) == (0, ["Running", "Paused", "Failed", "Running"])


def test_a_run_that_is_paused_again_has_its_new_time_to_be_answered():
    run = paused_run()

    def answer_and_pause():
        move(run, "RUNNING", at=9)
        move(run, "PAUSED", at=10, pause_timeout=later(999))

    with before_the_first_write(answer_and_pause):
        fail_expired_pauses(later(60))

    assert state_of(run) == "PAUSED"


def test_a_run_deleted_meanwhile_does_not_keep_other_pauses_open():
    gone, other = paused_run(), paused_run()

    with before_the_first_write(lambda: delete_flow_run(run_id=gone.pk, now=later(50))):
        number = fail_expired_pauses(later(60))

    assert (number, state_of(other)) == (1, "FAILED")


def test_a_task_run_that_completed_before_the_clean_up_stays_completed():
    task_run, other = (make_task_run("RUNNING", flow_run=run) for run in [cancelled_run()] * 2)

    with before_the_first_write(lambda: move(task_run, "COMPLETED", at=29)):
        number = clean_up_cancelled(later(30))

    assert number == 1
    assert (history_of(task_run), history_of(other)) == (["Running", "Completed"], ["Running", "Cancelled"])


def test_two_servers_cancel_a_task_run_once():
    task_run = make_task_run("RUNNING", flow_run=cancelled_run())

    with before_the_first_write(lambda: clean_up_cancelled(later(29))):
        number = clean_up_cancelled(later(30))

    assert (number, history_of(task_run)) == (0, ["Running", "Cancelled"])


def test_the_task_runs_of_a_run_that_was_retried_meanwhile_go_on():
    flow_run = cancelled_run()
    task_run = make_task_run("RUNNING", flow_run=flow_run)

    with before_the_first_write(lambda: move(flow_run, "RUNNING", at=29)):
        clean_up_cancelled(later(30))

    assert state_of(task_run) == "RUNNING"


def test_a_cancelled_run_deleted_meanwhile_does_not_keep_others_open():
    gone, kept = cancelled_run(), cancelled_run()
    make_task_run("RUNNING", flow_run=gone)
    left = make_task_run("RUNNING", flow_run=kept)

    with before_the_first_write(lambda: delete_flow_run(run_id=gone.pk, now=later(29))):
        number = clean_up_cancelled(later(30))

    assert (number, state_of(left)) == (1, "CANCELLED")


@pytest.mark.parametrize("act", ["complete", "delete"])
def test_a_nested_run_that_ended_or_was_deleted_meanwhile_is_left_alone(act: str):
    below = make_task_run("RUNNING", flow_run=cancelled_run())
    nested = make_flow_run("RUNNING", parent_task_run_id=below.pk)

    def end():
        if act == "complete":
            move(nested, "COMPLETED", at=29)
        else:
            delete_flow_run(run_id=nested.pk, now=later(29))

    with before_the_first_write(end):
        clean_up_cancelled(later(30))

    ended = FlowRun.objects.filter(pk=nested.pk).values_list("state_type", flat=True)
    assert list(ended) == (["COMPLETED"] if act == "complete" else [])


def test_a_clean_up_that_takes_long_gives_way_and_the_next_tick_continues(monkeypatch):
    monkeypatch.setattr(upkeep, "TICK_SECONDS", 0)
    monkeypatch.setattr(upkeep, "PORTION", 2)
    flow_run = cancelled_run()
    for _ in range(5):
        make_task_run("RUNNING", flow_run=flow_run)

    numbers = [clean_up_cancelled(later(30 + 20 * tick)) for tick in range(4)]

    assert numbers == [2, 2, 1, 0]


@pytest.mark.parametrize("act", ["start again", "delete"])
def test_an_unserved_run_that_moved_on_is_not_cancelled(act: str):
    run = waiting(make_queue())
    FlowRun.objects.filter(pk=run.pk).update(infrastructure_pid="there:1")
    move(run, "CANCELLING", at=3)

    def move_on():
        if act == "delete":
            delete_flow_run(run_id=run.pk, now=later(100))
        else:
            move(run, "RUNNING", at=100)

    with before_the_first_write(move_on):
        number = cancel_unserved_runs(later(101))

    left = FlowRun.objects.filter(pk=run.pk).values_list("state_type", flat=True)
    assert (number, list(left)) == (0, [] if act == "delete" else ["RUNNING"])
