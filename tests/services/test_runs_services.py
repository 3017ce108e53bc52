"""Flows, flow runs and task runs: made once, changed where they may be, deleted with what hangs below them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.models import Slot
from orchestration.core.states import running
from orchestration.errors import FlowRunNotFound, TaskRunNotFound
from orchestration.new_runs import NewFlowRun, NewTaskRun
from orchestration.services import propose_task_run_state
from runs.errors import FlowNotFound
from runs.flow_runs.services import create_flow_run, delete_flow_run, update_flow_run
from runs.flows.services import create_flow, delete_flow, update_flow
from runs.models import CacheEntry, Flow, FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from runs.task_runs.services import create_task_run, delete_task_run, update_task_run
from tests.factories import (
    NOON,
    later,
    make_flow,
    make_flow_run,
    make_limit,
    make_log,
    make_state,
    make_task_run,
)

pytestmark = pytest.mark.django_db


def test_a_flow_is_created_once_and_keeps_its_tags():
    first, made = create_flow(name="etl", tags=["a"], now=NOON)

    second, made_again = create_flow(name="etl", tags=["b"], now=later(1))

    assert (made, made_again, second.pk, second.tags) == (True, False, first.pk, ["a"])


def test_the_tags_of_a_flow_can_be_changed():
    flow = make_flow(tags=["a"])

    update_flow(flow_id=flow.pk, tags=["b"], now=later(1))

    flow.refresh_from_db()
    assert (flow.tags, flow.updated) == (["b"], later(1))


def test_a_known_idempotency_key_gives_the_stored_run_unchanged():
    flow = make_flow()
    new = NewFlowRun(flow_id=flow.pk, idempotency_key="k", name="first")
    first, _ = create_flow_run(new=new, state=make_state("SCHEDULED"), now=NOON)

    again = NewFlowRun(flow_id=flow.pk, idempotency_key="k", name="second")
    second, made = create_flow_run(new=again, state=make_state("PENDING"), now=later(1))

    assert (second.pk, second.name, second.state_type, made) == (first.pk, "first", "SCHEDULED", False)


def test_one_key_may_be_used_in_two_flows():
    runs = [
        create_flow_run(new=NewFlowRun(flow_id=make_flow().pk, idempotency_key="k"), state=None, now=NOON)
        for _ in range(2)
    ]

    assert [made for _, made in runs] == [True, True]


def test_a_run_of_an_unknown_flow_is_refused():
    with pytest.raises(FlowNotFound):
        create_flow_run(new=NewFlowRun(flow_id=uuid4()), state=None, now=NOON)


def test_an_update_of_the_policy_keeps_what_the_rules_remember():
    run = make_flow_run("RUNNING", empirical_policy={"pause_keys": ["1"], "retries": 0})

    update_flow_run(run_id=run.pk, changes={"empirical_policy": {"retries": 3}, "name": "new"}, now=later(1))

    run.refresh_from_db()
    assert run.empirical_policy == {"pause_keys": ["1"], "retries": 3}
    assert run.name == "new"


def test_columns_of_the_rules_cannot_be_updated():
    run = make_flow_run("RUNNING")

    with pytest.raises(ValueError, match="state_type"):
        update_flow_run(run_id=run.pk, changes={"state_type": "COMPLETED"}, now=NOON)


def test_a_call_of_a_task_is_stored_once_with_its_present_state():
    flow_run = make_flow_run("RUNNING")
    new = NewTaskRun(task_key="t", dynamic_key="0", flow_run_id=flow_run.pk)
    first = create_task_run(new=new, state=make_state("PENDING"), now=NOON).run
    propose_task_run_state(run_id=first.pk, proposed=running(), now=later(1))

    second = create_task_run(new=new, state=make_state("PENDING"), now=later(2))

    assert (second.run.pk, second.run.state_type, second.is_new) == (first.pk, "RUNNING", False)


def test_a_task_run_of_an_unknown_flow_run_is_refused():
    with pytest.raises(FlowRunNotFound):
        create_task_run(new=NewTaskRun(task_key="t", dynamic_key="0", flow_run_id=uuid4()), state=None, now=NOON)


def test_a_task_run_can_be_renamed():
    run = make_task_run()

    update_task_run(run_id=run.pk, name="better", now=later(1))

    run.refresh_from_db()
    assert run.name == "better"


@pytest.fixture
def full_flow_run():
    """A flow run with everything that can hang below one, and a neighbour that must stay."""
    make_limit("gpu", 5)
    for flow_run in (make_flow_run("RUNNING"), doomed := make_flow_run("RUNNING")):
        task = make_task_run("RUNNING", flow_run=flow_run)
        done = make_state("COMPLETED", cache_key=str(flow_run.pk))
        propose_task_run_state(run_id=task.pk, proposed=done, now=later(1))
        tagged = make_task_run("PENDING", flow_run=flow_run, tags=["gpu"])
        propose_task_run_state(run_id=tagged.pk, proposed=running(), now=later(1))
        make_flow_run("RUNNING", parent_task_run_id=task.pk, flow=flow_run.flow, name="nested")
        make_log(flow_run=flow_run)
    return doomed


def counts():
    return [model.objects.count() for model in (TaskRun, TaskRunState, CacheEntry, Slot, Log)]


def test_a_flow_run_is_deleted_with_everything_that_belongs_to_it(full_flow_run):
    before = counts()

    delete_flow_run(run_id=full_flow_run.pk)

    assert [n * 2 for n in counts()] == before
    assert not FlowRunState.objects.filter(flow_run=full_flow_run.pk).exists()
    orphans = FlowRun.objects.filter(name="nested", parent_task_run=None)
    assert orphans.count() == 1


def test_deletion_takes_a_constant_number_of_queries(full_flow_run, django_assert_max_num_queries):
    for _ in range(30):
        make_task_run("PENDING", flow_run=full_flow_run)

    with django_assert_max_num_queries(17):
        delete_flow_run(run_id=full_flow_run.pk)


def test_a_deleted_flow_takes_its_runs_along(full_flow_run):
    delete_flow(flow_id=full_flow_run.flow_id)

    assert not Flow.objects.filter(pk=full_flow_run.flow_id).exists()
    assert not FlowRun.objects.filter(flow_id=full_flow_run.flow_id).exists()


def test_a_deleted_task_run_frees_its_slot(full_flow_run):
    tagged = TaskRun.objects.get(flow_run=full_flow_run, tags=["gpu"])

    delete_task_run(run_id=tagged.pk)

    assert not Slot.objects.filter(task_run=tagged.pk).exists()


def test_missing_runs_cannot_be_changed_or_deleted():
    missing = uuid4()

    for error, attempt in (
        (FlowNotFound, lambda: update_flow(flow_id=missing, tags=[], now=NOON)),
        (FlowNotFound, lambda: delete_flow(flow_id=missing)),
        (FlowRunNotFound, lambda: update_flow_run(run_id=missing, changes={"name": "x"}, now=NOON)),
        (FlowRunNotFound, lambda: delete_flow_run(run_id=missing)),
        (TaskRunNotFound, lambda: update_task_run(run_id=missing, name="x", now=NOON)),
        (TaskRunNotFound, lambda: delete_task_run(run_id=missing)),
    ):
        with pytest.raises(error, match=str(missing)):
            attempt()
