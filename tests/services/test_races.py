"""Effects under contention: several threads, real transactions, and counts that must hold at every moment."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from deployments.models import Slot
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import running
from orchestration.core.verdicts import Abort, Accept, Wait
from orchestration.new_runs import NewFlowRun, NewTaskRun
from orchestration.new_runs import NewTaskRun as NewRun
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orionflow.contract.ids import uuid7
from runs.artifacts.services import NewArtifact, create_artifact
from runs.flow_runs.services import create_flow_run
from runs.flows.services import create_flow
from runs.models import CacheEntry, FlowRun, TaskRun, TaskRunState
from runs.task_runs.services import create_task_run
from tests.factories import (
    NOON,
    history_of,
    later,
    make_flow,
    make_flow_run,
    make_limit,
    make_state,
    make_task_run,
    state_of,
)
from tests.services.threads import race

pytestmark = pytest.mark.django_db(transaction=True)


def test_slots_never_exceed_their_limit():
    limit = make_limit("gpu", 2)
    flow_run = make_flow_run("RUNNING")
    tasks = [make_task_run("PENDING", flow_run=flow_run, tags=["gpu"]) for _ in range(8)]

    outcomes = race(lambda t: propose_task_run_state(run_id=t.pk, proposed=running(), now=later(1)), tasks)

    assert sum(isinstance(outcome.verdict, Accept) for outcome in outcomes) == 2
    assert sum(isinstance(outcome.verdict, Wait) for outcome in outcomes) == 6
    assert Slot.objects.filter(limit=limit).count() == 2


def test_slots_never_exceed_their_limit_while_runs_come_and_go():
    limit = make_limit("gpu", 2)
    flow_run = make_flow_run("RUNNING")
    tasks = [make_task_run("PENDING", flow_run=flow_run, tags=["gpu"]) for _ in range(6)]
    most = []

    def live(task):
        for _ in range(400):
            outcome = propose_task_run_state(run_id=task.pk, proposed=running(), now=later(1))
            if isinstance(outcome.verdict, Accept):
                propose_task_run_state(run_id=task.pk, proposed=make_state("COMPLETED"), now=later(2))
                return
        raise AssertionError("never got a slot")

    def count(_):
        until = time.monotonic() + 20
        while time.monotonic() < until and TaskRun.objects.filter(flow_run=flow_run).unfinished().exists():
            most.append(Slot.objects.filter(limit=limit).count())

    race(lambda task: live(task) if task else count(task), [*tasks, None])

    assert max(most) <= 2
    assert {state_of(task) for task in tasks} == {"COMPLETED"}
    assert Slot.objects.count() == 0


def test_slots_never_exceed_their_limit_between_batches_and_single_proposals():
    limit = make_limit("gpu", 3)
    flow_run = make_flow_run("RUNNING")

    def start(number):
        run_id = uuid7()
        new = NewTaskRun(task_key="t", dynamic_key=str(number), flow_run_id=flow_run.pk, tags=("gpu",))
        first, second = make_state("PENDING", id=uuid7()), make_state("RUNNING", id=uuid7())
        items = [TaskRunTransition(run_id, new, first), TaskRunTransition(run_id, None, second)]
        if number % 2:
            return apply_task_run_transitions(items=items, now=later(1), sent_at=None).items[1].outcome.verdict
        create_task_run(new=new, run_id=run_id, state=first, now=later(1))
        return propose_task_run_state(run_id=run_id, proposed=second, now=later(1)).verdict

    verdicts = race(start, range(8))

    assert sum(isinstance(verdict, Accept) for verdict in verdicts) == 3
    assert Slot.objects.filter(limit=limit).count() == 3


def test_one_run_is_created_per_idempotency_key():
    flow = make_flow()

    def create(_):
        new = NewFlowRun(flow_id=flow.pk, idempotency_key="monday")
        return create_flow_run(new=new, state=make_state("SCHEDULED"), now=NOON)

    made = race(create, range(6))

    assert len({run.pk for run, _ in made}) == FlowRun.objects.count() == 1
    assert [created for _, created in made].count(True) == 1


def test_one_flow_is_created_per_name():
    made = race(lambda _: create_flow(name="etl", now=NOON), range(6))

    assert len({flow.pk for flow, _ in made}) == 1
    assert [created for _, created in made].count(True) == 1


def test_one_task_run_is_created_per_call():
    flow_run = make_flow_run("RUNNING")
    new = NewRun(task_key="t", dynamic_key="0", flow_run_id=flow_run.pk)

    def create(number):
        if number % 2:
            item = TaskRunTransition(uuid7(), new, make_state("PENDING", id=uuid7()))
            return apply_task_run_transitions(items=[item], now=NOON, sent_at=None).items[0].task_run_id
        run = create_task_run(new=new, state=make_state("PENDING"), now=NOON).run
        return run.pk

    ids = race(create, range(6))

    assert len(set(ids)) == TaskRun.objects.count() == 1
    assert history_of(TaskRun.objects.get()) == ["Pending"]


def test_only_one_of_two_starters_gets_the_run():
    run = make_flow_run("SCHEDULED")

    outcomes = race(
        lambda _: propose_flow_run_state(run_id=run.pk, proposed=make_state("PENDING"), now=later(1)), range(4)
    )

    assert sum(isinstance(outcome.verdict, Accept) for outcome in outcomes) == 1
    assert sum(isinstance(outcome.verdict, Abort) for outcome in outcomes) == 3
    assert history_of(run) == ["Scheduled", "Pending"]


@pytest.mark.parametrize("attempt", range(3))
def test_cancelling_and_completing_at_once_ends_in_one_of_both(attempt):
    run = make_flow_run("RUNNING")

    race(
        lambda state: propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=later(1)),
        ["CANCELLING", "COMPLETED"],
    )

    assert history_of(run) in (["Running", "Completed"], ["Running", "Cancelling"])


def test_histories_stay_total_when_many_write_to_one_run():
    run = make_flow_run("RUNNING")

    def move(number):
        for _ in range(5):
            propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING", f"n{number}"), now=NOON, force=True)

    race(move, range(6))

    rows = list(run.states.order_by("seq").values_list("seq", "timestamp"))
    assert [seq for seq, _ in rows] == list(range(1, 32))
    assert [at for _, at in rows] == sorted({at for _, at in rows})


def test_a_key_that_two_runs_remember_at_once_is_stored_once():
    flow_run = make_flow_run("RUNNING")
    tasks = [make_task_run("RUNNING", flow_run=flow_run) for _ in range(4)]

    def finish(task):
        done = make_state("COMPLETED", cache_key="k", data={"n": 1})
        propose_task_run_state(run_id=task.pk, proposed=done, now=later(1))

    race(finish, tasks)

    assert CacheEntry.objects.filter(cache_key="k").count() == 1


def test_the_same_batch_sent_twice_at_once_is_stored_once():
    flow_run = make_flow_run("RUNNING")
    items = []
    for number in range(20):
        run_id = uuid7()
        new = NewTaskRun(task_key="t", dynamic_key=str(number), flow_run_id=flow_run.pk)
        items.append(TaskRunTransition(run_id, new, make_state("PENDING", id=uuid7())))
        items.append(TaskRunTransition(run_id, None, make_state("RUNNING", id=uuid7())))

    race(lambda _: apply_task_run_transitions(items=items, now=later(1), sent_at=None), range(3))

    assert (TaskRun.objects.count(), TaskRunState.objects.count()) == (20, 40)


def test_batches_over_the_same_runs_in_opposite_order_do_not_lock_each_other_out():
    flow_run = make_flow_run("RUNNING")
    tasks = [make_task_run("PENDING", flow_run=flow_run) for _ in range(10)]

    def send(reverse):
        for _ in range(5):
            order = reversed(tasks) if reverse else tasks
            items = [TaskRunTransition(t.pk, None, make_state("RUNNING", id=uuid7())) for t in order]
            apply_task_run_transitions(items=items, now=later(1), sent_at=None)

    race(send, [False, True, False, True])

    assert TaskRunState.objects.count() == 10 + 4 * 5 * 10


def test_the_collection_points_at_one_of_artifacts_made_at_once():
    artifacts = race(lambda _: create_artifact(new=NewArtifact(key="report"), now=NOON), range(4))

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM runs_artifactcollection")
        assert cursor.fetchone()[0] == 1
    assert len({artifact.pk for artifact in artifacts}) == 4


def test_runs_that_may_not_overlap_start_one_after_the_other():
    flow = make_flow()
    runs = [make_flow_run("PENDING", flow=flow, overlap="queue") for _ in range(5)]

    outcomes = race(lambda run: propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1)), runs)

    assert sum(isinstance(outcome.verdict, Accept) for outcome in outcomes) == 1
    assert sorted(state_of(run) for run in runs) == ["PENDING"] * 4 + ["RUNNING"]
