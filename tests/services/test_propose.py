"""One proposal: what is written, what is remembered, what is answered again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from orchestration.core.states import cancelled, running
from orchestration.core.verdicts import Abort, Accept, Wait
from orchestration.errors import FlowRunNotFound, RunLost, StateIdTaken, TaskRunNotFound
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs.models import FlowRun, FlowRunState, TaskRunState
from tests.factories import NOON, history_of, later, make_flow_run, make_limit, make_state, make_task_run, state_of

pytestmark = pytest.mark.django_db


def test_an_accepted_state_is_written_with_the_next_number_and_its_trail():
    run = make_flow_run("PENDING")

    outcome = propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1))

    row = FlowRunState.objects.get(flow_run=run, seq=2)
    assert isinstance(outcome.verdict, Accept)
    assert (row.id, row.type, row.timestamp) == (outcome.state.id, "RUNNING", later(1))
    assert row.trail == [[line.rule, line.verdict, line.reason] for line in outcome.trail]


def test_the_run_has_its_new_state_and_the_columns_of_its_bookkeeping():
    run = make_flow_run("PENDING")

    propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1))

    run.refresh_from_db()
    assert (run.seq, run.state_type, run.state_timestamp, run.run_count) == (2, "RUNNING", later(1), 1)
    assert run.start_time == later(1)


def test_a_repeated_proposal_gets_the_same_answer_and_writes_nothing():
    run = make_flow_run("PENDING")
    proposed = make_state("RUNNING", id=uuid4())
    first = propose_flow_run_state(run_id=run.pk, proposed=proposed, now=later(1))

    second = propose_flow_run_state(run_id=run.pk, proposed=proposed, now=later(9))

    assert (second.state, second.verdict, second.written) == (first.state, first.verdict, True)
    assert history_of(run) == ["Pending", "Running"]


def test_a_repeat_of_a_rejected_proposal_gets_the_replacement_again():
    run = make_task_run("PENDING", retries=1, retry_delay=5)
    propose_task_run_state(run_id=run.pk, proposed=running(), now=later(1))
    failed = make_state("FAILED", id=uuid4())
    first = propose_task_run_state(run_id=run.pk, proposed=failed, now=later(2))

    second = propose_task_run_state(run_id=run.pk, proposed=failed, now=later(3))

    assert first.state.name == second.state.name == "AwaitingRetry"
    assert (first.state.id, first.verdict.reason) == (second.state.id, second.verdict.reason)
    assert history_of(run) == ["Pending", "Running", "AwaitingRetry"]


def test_a_state_id_of_another_run_is_refused():
    run, other = make_flow_run("PENDING"), make_flow_run("PENDING")
    proposed = make_state("RUNNING", id=uuid4())
    propose_flow_run_state(run_id=run.pk, proposed=proposed, now=NOON)

    with pytest.raises(StateIdTaken):
        propose_flow_run_state(run_id=other.pk, proposed=proposed, now=NOON)


def test_missing_runs_are_named_in_the_error():
    missing = uuid4()

    with pytest.raises(FlowRunNotFound, match=str(missing)):
        propose_flow_run_state(run_id=missing, proposed=running(), now=NOON)
    with pytest.raises(TaskRunNotFound, match=str(missing)):
        propose_task_run_state(run_id=missing, proposed=running(), now=NOON)


def test_a_writer_of_an_earlier_attempt_learns_that_the_run_is_lost():
    run = make_flow_run("RUNNING")
    FlowRun.objects.filter(pk=run.pk).update(epoch=3)
    task = make_task_run("PENDING", flow_run=run)

    with pytest.raises(RunLost):
        propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=NOON, epoch=2)
    with pytest.raises(RunLost):
        propose_task_run_state(run_id=task.pk, proposed=running(), now=NOON, epoch=2)

    assert (state_of(run), state_of(task)) == ("RUNNING", "PENDING")


def test_the_present_attempt_may_write_and_leaves_its_number_in_the_state():
    run = make_flow_run("RUNNING")
    FlowRun.objects.filter(pk=run.pk).update(epoch=3)

    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later(1), epoch=3)

    assert FlowRunState.objects.get(flow_run=run, seq=2).epoch == 3


def test_a_refusal_is_remembered_until_the_next_state():
    run = make_flow_run("RUNNING")

    outcome = propose_flow_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(1))

    run.refresh_from_db()
    assert isinstance(outcome.verdict, Abort)
    assert (outcome.written, outcome.state.type) == (False, "RUNNING")
    assert run.refusal["reason"] == outcome.verdict.reason
    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later(2))
    run.refresh_from_db()
    assert run.refusal is None


def test_a_waiting_task_run_remembers_for_how_long():
    make_limit("gpu", 1, taken_by=[make_task_run("RUNNING")])
    waiting = make_task_run("PENDING", tags=["gpu"])

    outcome = propose_task_run_state(run_id=waiting.pk, proposed=running(), now=NOON)

    waiting.refresh_from_db()
    assert isinstance(outcome.verdict, Wait)
    assert waiting.refusal["seconds"] == outcome.verdict.seconds


def test_two_states_of_one_run_never_carry_the_same_time():
    run = make_flow_run("PENDING", now=NOON)

    outcome = propose_flow_run_state(run_id=run.pk, proposed=running(), now=NOON)

    assert outcome.state.timestamp == later(0.000001)


def test_unpersisted_data_is_echoed_once_and_not_stored():
    run = make_flow_run("RUNNING")
    proposed = make_state("COMPLETED", data={"type": "unpersisted", "blob": "x"})

    outcome = propose_flow_run_state(run_id=run.pk, proposed=proposed, now=later(1))

    assert outcome.state.data == proposed.data
    assert FlowRunState.objects.get(flow_run=run, seq=2).data is None


def test_other_data_and_details_come_back_as_they_went_in():
    run = make_task_run("RUNNING")
    proposed = make_state(
        "COMPLETED", data={"type": "reference", "key": "k"}, cache_key="c", cache_expiration=later(60)
    )
    propose_task_run_state(run_id=run.pk, proposed=proposed, now=later(1))

    refused = propose_task_run_state(run_id=run.pk, proposed=make_state("CRASHED"), now=later(2))

    assert refused.state.data == proposed.data
    assert refused.state.details.cache_expiration == later(60)
    assert (refused.state.details.task_run_id, refused.state.details.flow_run_id) == (run.pk, run.flow_run_id)


def test_a_scheduled_state_without_a_time_is_due_now():
    run = make_flow_run(make_state("SCHEDULED"), now=NOON)

    run.refresh_from_db()

    assert run.next_scheduled_start_time == NOON


def test_the_author_of_a_forced_state_is_kept():
    run = make_flow_run("COMPLETED")

    propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1), force=True, author="admin")

    assert state_of(run) == "RUNNING"
    assert FlowRunState.objects.get(flow_run=run, seq=2).author == "admin"


def test_the_parent_task_of_a_nested_flow_run_follows_its_states():
    parent = make_task_run("PENDING")
    child = make_flow_run("PENDING", parent_task_run_id=parent.pk)

    propose_flow_run_state(run_id=child.pk, proposed=running(), now=later(1))

    assert history_of(parent)[-1] == "Running"
    assert TaskRunState.objects.filter(task_run=parent).last().details["child_flow_run_id"] == str(child.pk)


def test_a_nested_flow_run_continues_when_its_parent_task_was_deleted():
    child = make_flow_run("PENDING", parent_task_run_id=uuid4())

    outcome = propose_flow_run_state(run_id=child.pk, proposed=running(), now=later(1))

    assert outcome.written


def test_a_plain_transition_costs_few_queries(django_assert_max_num_queries):
    run = make_task_run("PENDING")

    # Savepoint and its release, lock (PostgreSQL), run with state and flow run, state, run.
    with django_assert_max_num_queries(6):
        propose_task_run_state(run_id=run.pk, proposed=running(), now=later(1))


notifications: list[tuple[str, object, str]] = []


def listen(kind, run_id, state_type):
    notifications.append((kind, run_id, state_type))


@pytest.fixture
def notified(settings):
    settings.ORION_STATE_LISTENERS = [f"{__name__}.listen"]
    notifications.clear()
    return notifications


def test_listeners_are_notified_after_the_commit(notified, django_capture_on_commit_callbacks):
    run = make_flow_run("PENDING")

    with django_capture_on_commit_callbacks(execute=True):
        propose_flow_run_state(run_id=run.pk, proposed=cancelled(), now=later(1))

    assert notified == [("flow-run", run.pk, "CANCELLED")]


def test_a_change_that_was_rolled_back_is_not_announced(notified, django_capture_on_commit_callbacks):
    run = make_flow_run("PENDING")

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        propose_flow_run_state(run_id=run.pk, proposed=cancelled(), now=later(1))
        transaction.set_rollback(True)

    assert notified == []


@pytest.mark.parametrize(
    ("make", "propose"), [(make_flow_run, propose_flow_run_state), (make_task_run, propose_task_run_state)]
)
@pytest.mark.parametrize("named", [timedelta(), timedelta(seconds=1), None])
def test_a_retry_starts_early_only_if_its_program_reports_that_it_has_waited(
    make: Any, propose: Any, named: timedelta | None
):
    due = later(60)
    run = make(make_state("SCHEDULED", "AwaitingRetry", scheduled_time=due))
    details = {} if named is None else {"scheduled_time": due + named}

    outcome = propose(run_id=run.pk, proposed=make_state("RUNNING", **details), now=later(-3600))

    if named == timedelta():
        assert outcome.written
        assert (outcome.state.timestamp, outcome.state.details.scheduled_time) == (due, None)
    else:
        assert isinstance(outcome.verdict, Wait)


def test_a_planned_run_does_not_start_early_for_any_report_of_its_program():
    due = later(60)
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=due))

    outcome = propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING", scheduled_time=due), now=NOON)

    assert isinstance(outcome.verdict, Wait)


def test_the_delay_of_a_retry_begins_after_the_attempt_even_if_the_clock_was_set_back():
    run = make_flow_run(make_state("RUNNING"), retries=1, retry_delay=60)

    outcome = propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later(-3600))

    assert outcome.state.name == "AwaitingRetry"
    assert outcome.state.details.scheduled_time == later(60)


def test_a_crashed_flow_run_waits_for_an_agent_by_the_clock_as_it_was_set_back():
    run = make_flow_run(make_state("RUNNING"), crash_retries=1, retry_delay=60)

    outcome = propose_flow_run_state(run_id=run.pk, proposed=make_state("CRASHED"), now=later(-3600))

    assert outcome.state.name == "AwaitingRetry"
    assert outcome.state.details.scheduled_time == later(-3540)
