"""The batch: the same as its items one by one, the same when repeated, and cheap whatever its size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.models import Slot
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import cancelling
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.errors import FlowRunNotFound, RunLost, StateIdTaken, TaskRunNotFound
from orchestration.new_runs import NewTaskRun
from orchestration.services import propose_flow_run_state
from orionflow.contract.ids import uuid7
from runs.models import FlowRun, TaskRun, TaskRunState
from tests.factories import NOON, history_of, later, make_flow_run, make_limit, make_state, make_task_run, state_of

pytestmark = pytest.mark.django_db


def make_item(run_id, type="RUNNING", *, create=None, force=False, **fields):
    state = make_state(type, **{"id": uuid7(), "timestamp": NOON, **fields}) if type else None
    return TaskRunTransition(run_id, create, state, force)


def whole_life(flow_run, number, **created):
    """The three items of a task run that succeeds."""
    run_id = uuid7()
    create = NewTaskRun(task_key="t", dynamic_key=str(number), flow_run_id=flow_run.pk, name=f"t-{number}", **created)
    return [
        make_item(run_id, "PENDING", create=create, timestamp=later(1)),
        make_item(run_id, "RUNNING", timestamp=later(2)),
        make_item(run_id, "COMPLETED", timestamp=later(4)),
    ]


def send(items, **arguments):
    return apply_task_run_transitions(items=items, **{"now": later(10), "sent_at": later(10), **arguments})


def test_a_run_that_is_created_and_finished_in_one_batch_has_its_whole_history():
    flow_run = make_flow_run("RUNNING")

    outcome = send(whole_life(flow_run, 1))

    run = TaskRun.objects.get(flow_run=flow_run)
    assert [item.created for item in outcome.items] == [True, False, False]
    assert history_of(run) == ["Pending", "Running", "Completed"]
    assert (run.seq, run.run_count, run.state_type) == (3, 1, "COMPLETED")
    assert (run.start_time, run.end_time, run.total_run_time) == (later(2), later(4), timedelta(seconds=2))
    assert outcome.orders == {}


def test_a_run_may_go_through_several_batches():
    flow_run = make_flow_run("RUNNING")
    items = whole_life(flow_run, 1)

    for item in items:
        send([item])

    run = TaskRun.objects.get(flow_run=flow_run)
    assert history_of(run) == ["Pending", "Running", "Completed"]
    assert (run.seq, run.total_run_time, run.end_time) == (3, timedelta(seconds=2), later(4))


def test_a_repeated_batch_changes_nothing_and_gets_the_same_answers():
    flow_run = make_flow_run("RUNNING")
    items = [item for number in range(3) for item in whole_life(flow_run, number)]
    first = send(items)
    before = list(TaskRun.objects.order_by("pk").values())

    second = send(items, now=later(60))

    assert [i.outcome.state for i in second.items] == [i.outcome.state for i in first.items]
    assert list(TaskRun.objects.order_by("pk").values()) == before
    assert TaskRunState.objects.count() == 9


def test_a_batch_that_was_applied_in_part_is_completed():
    flow_run = make_flow_run("RUNNING")
    items = whole_life(flow_run, 1)
    send(items[:2])

    outcome = send(items)

    assert [item.error for item in outcome.items] == [None] * 3
    assert history_of(TaskRun.objects.get(flow_run=flow_run)) == ["Pending", "Running", "Completed"]


def test_an_item_that_comes_twice_in_one_batch_counts_once():
    flow_run = make_flow_run("RUNNING")
    created, running, completed = whole_life(flow_run, 1)

    send([created, created, running, running, completed, completed])

    assert history_of(TaskRun.objects.get(flow_run=flow_run)) == ["Pending", "Running", "Completed"]


def test_a_call_that_is_known_gives_the_stored_run_with_its_present_state():
    flow_run = make_flow_run("RUNNING")
    first = whole_life(flow_run, 1)
    send(first)
    again = whole_life(flow_run, 1)

    outcome = send(again[:1])

    (item,) = outcome.items
    assert (item.task_run_id, item.created) == (first[0].task_run_id, False)
    assert isinstance(item.outcome.verdict, Accept)
    assert (item.outcome.state.name, item.outcome.written) == ("Completed", False)


def test_later_items_may_call_a_known_run_by_the_id_that_its_repeat_was_given():
    flow_run = make_flow_run("RUNNING")
    stored = make_task_run("PENDING", flow_run=flow_run, task_key="t", dynamic_key="1")
    again = whole_life(flow_run, 1)

    outcome = send(again)

    assert {item.task_run_id for item in outcome.items} == {stored.pk}
    assert history_of(stored) == ["Pending", "Running", "Completed"]


def test_an_invalid_item_does_not_affect_the_others():
    flow_run = make_flow_run("RUNNING")
    nowhere = make_item(uuid7(), "PENDING", create=NewTaskRun(task_key="t", dynamic_key="0", flow_run_id=uuid4()))

    outcome = send([nowhere, make_item(uuid4()), *whole_life(flow_run, 1)])

    assert isinstance(outcome.items[0].error, FlowRunNotFound)
    assert isinstance(outcome.items[1].error, TaskRunNotFound)
    assert state_of(TaskRun.objects.get(flow_run=flow_run)) == "COMPLETED"


def test_a_state_id_of_another_run_is_an_error_of_that_item_alone():
    flow_run = make_flow_run("RUNNING")
    taken = TaskRunState.objects.get(task_run=make_task_run("PENDING")).pk
    bad, good = whole_life(flow_run, 1), whole_life(flow_run, 2)
    bad[1] = make_item(bad[1].task_run_id, "RUNNING", id=taken)

    outcome = send([*bad, *good])

    assert [type(item.error) for item in outcome.items] == [type(None), StateIdTaken, *[type(None)] * 4]
    assert state_of(good[0].task_run_id) == "COMPLETED"


def test_rules_judge_each_item_and_refusals_are_remembered():
    flow_run = make_flow_run("PAUSED")

    outcome = send(whole_life(flow_run, 1)[:2])

    assert isinstance(outcome.items[1].outcome.verdict, Reject)
    assert outcome.items[1].outcome.state.name == "NotReady"


def test_a_retry_is_given_within_a_batch():
    flow_run = make_flow_run("RUNNING")
    created, running, _ = whole_life(flow_run, 1, empirical_policy={"retries": 1, "retry_delay": 0})
    failed = make_item(created.task_run_id, "FAILED", timestamp=later(3))

    outcome = send([created, running, failed, make_item(created.task_run_id), make_item(created.task_run_id, "FAILED")])

    run = TaskRun.objects.get(flow_run=flow_run)
    assert isinstance(outcome.items[2].outcome.verdict, Reject)
    assert history_of(run) == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]
    assert run.run_count == 2


def test_the_delay_of_a_retry_starts_at_the_failure_and_not_at_its_report():
    flow_run = make_flow_run("RUNNING")
    created, running, _ = whole_life(flow_run, 1, empirical_policy={"retries": 1, "retry_delay": 60})
    failed = make_item(created.task_run_id, "FAILED", timestamp=later(3))

    outcome = send([created, running, failed], now=later(40), sent_at=later(40))

    state = outcome.items[2].outcome.state
    assert (state.timestamp, state.details.scheduled_time) == (later(3), later(63))


def test_slots_are_taken_and_returned_between_items():
    flow_run = make_flow_run("RUNNING")
    make_limit("gpu", 1)
    one, two = whole_life(flow_run, 1, tags=("gpu",)), whole_life(flow_run, 2, tags=("gpu",))

    crowded = send([*one[:2], *two[:2]])
    after = send([one[2], make_item(two[0].task_run_id)])

    assert isinstance(crowded.items[3].outcome.verdict, Wait)
    assert isinstance(after.items[1].outcome.verdict, Accept)
    assert list(Slot.objects.values_list("task_run_id", flat=True)) == [two[0].task_run_id]


def test_a_result_is_reused_by_a_later_item_of_the_same_batch():
    flow_run = make_flow_run("RUNNING")
    one, two = whole_life(flow_run, 1), whole_life(flow_run, 2)
    one[2] = make_item(one[0].task_run_id, "COMPLETED", data={"n": 1}, cache_key="k")
    two[1] = make_item(two[0].task_run_id, "RUNNING", cache_key="k")

    outcome = send([*one, *two[:2]])

    assert outcome.items[4].outcome.state.name == "Cached"
    assert outcome.items[4].outcome.state.data == {"n": 1}


def test_a_result_is_reused_by_a_later_batch():
    flow_run = make_flow_run("RUNNING")
    one, two = whole_life(flow_run, 1), whole_life(flow_run, 2)
    one[2] = make_item(one[0].task_run_id, "COMPLETED", data={"n": 1}, cache_key="k" * 1000)
    two[1] = make_item(two[0].task_run_id, "RUNNING", cache_key="k" * 1000)
    send(one)

    outcome = send(two[:2])

    assert outcome.items[1].outcome.state.name == "Cached"


def test_flow_runs_that_shall_stop_are_named():
    cancelled, paused, going = make_flow_run("RUNNING"), make_flow_run("PAUSED"), make_flow_run("RUNNING")
    propose_flow_run_state(run_id=cancelled.pk, proposed=cancelling(), now=later(1), force=True)
    items = [whole_life(run, 1)[0] for run in (cancelled, paused, going)]

    outcome = send(items)

    assert outcome.orders == {cancelled.pk: "cancel", paused.pk: "pause"}


def test_an_attempt_of_the_past_is_lost_and_changes_nothing():
    flow_run = make_flow_run("RUNNING")
    FlowRun.objects.filter(pk=flow_run.pk).update(epoch=2)

    outcome = send(whole_life(flow_run, 1), epochs={flow_run.pk: 1})

    assert isinstance(outcome.items[0].error, RunLost)
    assert outcome.orders == {flow_run.pk: "lost"}
    assert not TaskRun.objects.exists()


def test_the_present_attempt_is_let_in():
    flow_run = make_flow_run("RUNNING")
    FlowRun.objects.filter(pk=flow_run.pk).update(epoch=2)

    outcome = send(whole_life(flow_run, 1), epochs={flow_run.pk: 2})

    assert [item.error for item in outcome.items] == [None] * 3
    assert set(TaskRunState.objects.values_list("epoch", flat=True)) == {2}


def test_times_of_a_client_with_a_fast_clock_are_corrected_and_the_difference_is_kept():
    flow_run = make_flow_run("RUNNING")
    hour = timedelta(hours=1)
    item = whole_life(flow_run, 1)[0]
    ahead = make_item(item.task_run_id, "PENDING", create=item.create, timestamp=later(5) + hour)

    send([ahead], sent_at=later(10) + hour)

    row = TaskRunState.objects.get(task_run_id=item.task_run_id)
    assert (row.timestamp, row.client_timestamp) == (later(5), later(5) + hour)


@pytest.mark.parametrize(
    ("at", "off"),
    [(datetime.max.replace(tzinfo=UTC), -60), (datetime.min.replace(tzinfo=UTC), 60)],
    ids=["last", "first"],
)
def test_the_last_moment_of_the_calendar_keeps_no_other_item_from_being_stored(at, off):
    flow_run = make_flow_run("RUNNING")
    item, other = whole_life(flow_run, 1)[0], whole_life(flow_run, 2)[0]
    odd = make_item(item.task_run_id, "PENDING", create=item.create, timestamp=at)

    outcome = send([odd, other], sent_at=later(10 + off))

    assert [one.error for one in outcome.items] == [None, None]
    assert TaskRun.objects.filter(state_type="PENDING", state_timestamp__lte=later(10)).count() == 2


def test_times_are_never_in_the_future_and_never_go_back():
    flow_run = make_flow_run("RUNNING")
    created, running, completed = whole_life(flow_run, 1)
    running = make_item(created.task_run_id, "RUNNING", timestamp=later(0.5))
    completed = make_item(created.task_run_id, "COMPLETED", timestamp=later(99))

    send([created, running, completed])

    times = list(TaskRunState.objects.order_by("seq").values_list("timestamp", flat=True))
    assert times == [later(1), later(1.000001), later(10)]


def test_a_forced_item_skips_the_rules():
    run = make_task_run("COMPLETED")

    polite = send([make_item(run.pk, "CRASHED", timestamp=later(5))])
    forced = send([make_item(run.pk, "CRASHED", timestamp=later(6), force=True)])

    assert isinstance(polite.items[0].outcome.verdict, Abort)
    assert isinstance(forced.items[0].outcome.verdict, Accept)
    assert history_of(run) == ["Completed", "Crashed"]


def test_a_run_without_a_state_can_be_created():
    flow_run = make_flow_run("RUNNING")
    create = NewTaskRun(task_key="t", dynamic_key="1", flow_run_id=flow_run.pk, tags=("a",), task_inputs={"x": []})

    outcome = send([make_item(uuid7(), None, create=create)])

    run = TaskRun.objects.get()
    assert (outcome.items[0].outcome, run.state_type, run.tags, run.task_inputs) == (None, None, ["a"], {"x": []})


def queries_for(count):
    flow_run, other = make_flow_run("RUNNING"), make_flow_run("RUNNING")
    make_limit(f"gpu-{count}", 10_000)
    begun = [item for number in range(count) for item in whole_life(flow_run, number, tags=(f"gpu-{count}",))[:2]]
    send(begun)
    finished = [
        make_item(item.task_run_id, "COMPLETED", timestamp=later(5), cache_key=f"{count}-{number}")
        for number, item in enumerate(begun[::2])
    ]
    fresh = [item for number in range(count) for item in whole_life(other, number, tags=(f"gpu-{count}",))]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        outcome = send([*finished, *fresh, *begun])
    assert not [item.error for item in outcome.items if item.error]
    return len(queries)


def test_three_items_and_three_hundred_cost_the_same_number_of_queries():
    few, many = queries_for(3), queries_for(300)

    assert few == many
    assert many <= 24
