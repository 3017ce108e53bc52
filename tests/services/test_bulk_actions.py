"""Bulk actions: each run is tried once, by any worker, and its outcome is stored."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from deployments.models import Deployment
from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from orion_site.audit.models import Entry
from orionflow.contract.ids import uuid7
from runs.bulk_actions import services
from runs.bulk_actions.services import (
    NewBulkAction,
    begin_bulk_action,
    finish_at_once,
    stop_bulk_action,
    work_on_bulk_actions,
)
from runs.errors import BulkActionNotFound, NothingToChange
from runs.flow_runs.commands import retry_flow_run
from runs.models import BulkAction, BulkRun, FlowRun, FlowRunState
from tests.factories import NOON, later, make_flow, make_flow_run, state_of
from tests.recorded_runs import call, deployed_run, finish
from tests.services.threads import before_statement, race

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """On a busy machine a step would end before its number of runs."""
    monkeypatch.setattr(services, "STEP_SECONDS", 60)


def begun(action: str, runs: list[FlowRun], **more) -> BulkAction:
    chosen = [(run.pk, run.name) for run in runs]
    asked = {"runs": chosen, "filter": {"query": ""}, "author": "ada", "entrance": "page", **more}
    return begin_bulk_action(new=NewBulkAction(action=action, **asked), now=NOON)


def failed_runs(number: int) -> list[FlowRun]:
    flow = make_flow()
    deployment = Deployment.objects.create(name="prod", flow=flow)
    return [make_flow_run("FAILED", flow=flow, deployment_id=deployment.pk) for _ in range(number)]


def as_it_is(bulk: BulkAction) -> BulkAction:
    return BulkAction.objects.get(pk=bulk.pk)


def outcomes(bulk: BulkAction) -> list[tuple[str, str]]:
    return list(BulkRun.objects.filter(bulk_action=bulk).order_by("number").values_list("outcome", "reason"))


def test_runs_are_changed_and_what_the_rules_refuse_is_counted_by_its_reason():
    running, ended, gone = make_flow_run("RUNNING"), make_flow_run("COMPLETED"), make_flow_run("RUNNING")
    bulk = begun("cancel", [running, ended, gone])
    gone.delete()

    assert work_on_bulk_actions(NOON) == 3

    bulk = as_it_is(bulk)
    assert state_of(running) in {"CANCELLING", "CANCELLED"}
    assert (bulk.status, bulk.done, bulk.refused, bulk.failed, bulk.left) == ("done", 1, 2, 0, 0)
    assert bulk.ended_at == NOON
    assert sum(bulk.reasons.values()) == 2
    assert bulk.reasons["it was deleted in the meantime"] == 1
    assert [outcome for outcome, _ in outcomes(bulk)] == ["done", "refused", "refused"]


def test_retrying_leaves_out_what_completed():
    (failed,), ended = failed_runs(1), make_flow_run("COMPLETED")

    bulk = finish_at_once(bulk_id=begun("retry", [failed, ended]).pk, now=NOON)

    assert (state_of(failed), state_of(ended)) == ("SCHEDULED", "COMPLETED")
    assert bulk.reasons == {"it completed": 1}


def test_deleted_runs_keep_their_names_there():
    run = make_flow_run("FAILED", name="brave-otter")

    bulk = finish_at_once(bulk_id=begun("delete", [run]).pk, now=NOON)

    assert bulk.done == 1
    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert BulkRun.objects.get(bulk_action=bulk).name == "brave-otter"


def test_one_tick_after_the_other_continues_where_the_last_one_stopped(monkeypatch):
    monkeypatch.setattr(services, "STEP", 2)
    monkeypatch.setattr(services, "TICK_SECONDS", 0.0001)
    bulk = begun("retry", failed_runs(5))

    progress = []
    while as_it_is(bulk).status == "active":
        work_on_bulk_actions(NOON)
        progress.append(as_it_is(bulk).done)

    assert progress == [2, 4, 5, 5]


def test_several_actions_take_turns(monkeypatch):
    monkeypatch.setattr(services, "STEP", 1)
    first, second = begun("retry", failed_runs(3)), begun("delete", [make_flow_run("FAILED") for _ in range(3)])
    order = []
    step = services._step
    monkeypatch.setattr(services, "_step", lambda bulk_id, now: (order.append(bulk_id), step(bulk_id, now))[1])

    work_on_bulk_actions(NOON)

    assert order[:4] == [first.pk, second.pk, first.pk, second.pk]


def test_stopped_it_leaves_the_rest_as_they_are(monkeypatch):
    monkeypatch.setattr(services, "STEP", 2)
    monkeypatch.setattr(services, "TICK_SECONDS", 0.0001)
    runs = failed_runs(4)
    bulk = begun("retry", runs)
    work_on_bulk_actions(NOON)

    assert stop_bulk_action(bulk_id=bulk.pk, now=NOON)

    assert work_on_bulk_actions(NOON) == 0
    bulk = as_it_is(bulk)
    assert (bulk.status, bulk.done, bulk.left) == ("stopped", 2, 2)
    assert [state_of(run) for run in runs] == ["SCHEDULED", "SCHEDULED", "FAILED", "FAILED"]
    assert not stop_bulk_action(bulk_id=bulk.pk, now=NOON)
    with pytest.raises(BulkActionNotFound):
        stop_bulk_action(bulk_id=uuid4(), now=NOON)


def test_an_error_with_one_run_does_not_stop_others(monkeypatch):
    runs = [make_flow_run("FAILED") for _ in range(3)]
    delete = services.COMMANDS["delete"]

    def broken(run_id, now, author):
        delete(run_id, now, author)
        if run_id == runs[1].pk:
            raise ValueError("the disk is on fire")
        return ""

    monkeypatch.setitem(services.COMMANDS, "delete", broken)

    bulk = finish_at_once(bulk_id=begun("delete", runs).pk, now=NOON)

    assert (bulk.done, bulk.failed, bulk.status) == (2, 1, "done")
    assert bulk.reasons == {"ValueError: the disk is on fire": 1}
    assert [FlowRun.objects.filter(pk=run.pk).exists() for run in runs] == [False, True, False]


def test_an_interrupted_step_leaves_no_change(monkeypatch):
    runs = failed_runs(3)
    bulk = begun("retry", runs)
    retry = services.COMMANDS["retry"]

    def killed(run_id, now, author):
        if run_id == runs[2].pk:
            raise KeyboardInterrupt
        return retry(run_id, now, author)

    with monkeypatch.context() as patched:
        patched.setitem(services.COMMANDS, "retry", killed)
        with pytest.raises(KeyboardInterrupt):
            work_on_bulk_actions(NOON)
    assert {outcome for outcome, _ in outcomes(bulk)} == {"left"}
    assert {state_of(run) for run in runs} == {"FAILED"}

    work_on_bulk_actions(NOON)

    assert as_it_is(bulk).done == 3
    assert FlowRunState.objects.filter(flow_run__in=runs, type="SCHEDULED").count() == 3


def test_a_run_that_changed_since_its_retry_was_planned_is_refused_in_words_that_others_share():
    runs = [deployed_run(), deployed_run()]
    for run in runs:
        call(run, "load", state="FAILED")
        finish(run, "FAILED")
    bulk = begun("retry", runs, from_tasks=["load"])

    with before_statement("SAVEPOINT", lambda: retry_flow_run(run_id=runs[0].pk, now=later(200))):
        finish_at_once(bulk_id=bulk.pk, now=later(200))

    assert outcomes(bulk) == [("refused", "it changed in the meantime"), ("done", "")]


def test_a_retry_that_cannot_be_planned_does_not_stop_others(monkeypatch):
    runs = [deployed_run(), deployed_run()]
    for run in runs:
        call(run, "load", state="FAILED")
        finish(run, "FAILED")
    weigh = services.weigh_one_of_many

    def broken(*, run_id, **asked):
        if run_id == runs[0].pk:
            raise ValueError("the records are torn")
        return weigh(run_id=run_id, **asked)

    monkeypatch.setattr(services, "weigh_one_of_many", broken)

    bulk = finish_at_once(bulk_id=begun("retry", runs, from_tasks=["load"]).pk, now=later(200))

    assert (bulk.done, bulk.failed, bulk.status) == (1, 1, "done")


@pytest.mark.django_db(transaction=True)
def test_any_number_of_servers_retry_each_run_once_from_its_tasks(monkeypatch):
    monkeypatch.setattr(services, "STEP", 3)
    runs = [deployed_run() for _ in range(10)]
    for run in runs:
        call(run, "load", state="FAILED")
        finish(run, "FAILED")
    bulk = begun("retry", runs, from_tasks=["load"])

    race(work_on_bulk_actions, [later(200)] * 3)
    while as_it_is(bulk).status == "active":
        work_on_bulk_actions(later(200))

    bulk = as_it_is(bulk)
    assert (bulk.done, bulk.refused) == (10, 0)
    assert FlowRunState.objects.filter(flow_run__in=runs, name="AwaitingRetry").count() == 10


@pytest.mark.django_db(transaction=True)
def test_any_number_of_servers_try_each_run_once(monkeypatch):
    monkeypatch.setattr(services, "STEP", 3)
    runs = failed_runs(20)
    bulk = begun("retry", runs)

    tried = race(work_on_bulk_actions, [NOON] * 4)
    while as_it_is(bulk).status == "active":
        tried.append(work_on_bulk_actions(NOON))

    bulk = as_it_is(bulk)
    assert sum(tried) == bulk.done == 20
    assert FlowRunState.objects.filter(flow_run__in=runs, type="SCHEDULED").count() == 20


def test_the_same_command_sent_twice_is_one():
    runs, id = failed_runs(1), uuid7()

    first, second = begun("retry", runs, id=id), begun("retry", runs, id=id)

    assert first.pk == second.pk == id
    assert BulkAction.objects.count() == 1


def test_a_bulk_action_without_runs_is_refused():
    with pytest.raises(NothingToChange):
        begun("cancel", [])


def test_reasons_beyond_the_most_frequent_are_counted_together(monkeypatch):
    monkeypatch.setattr(services, "MOST_REASONS", 2)
    monkeypatch.setitem(services.COMMANDS, "cancel", lambda run_id, now, author: f"no {run_id}")

    bulk = finish_at_once(bulk_id=begun("cancel", [make_flow_run() for _ in range(5)]).pk, now=NOON)

    assert bulk.refused == 5
    assert bulk.reasons["other reasons"] == 3


def test_each_run_is_in_the_audit_log_as_changed_by_who_asked_for_it():
    run, ended = make_flow_run("SCHEDULED", name="brave-otter"), make_flow_run("COMPLETED", name="calm-fox")

    bulk = finish_at_once(bulk_id=begun("cancel", [run, ended]).pk, now=NOON)

    entries = {one.object_name: one for one in Entry.objects.filter(object_kind="flow-run")}
    changed, refused = entries["brave-otter"], entries["calm-fox"]
    assert (changed.actor, changed.entrance, changed.action, changed.result) == ("ada", "page", "runs.change", "done")
    assert changed.operation == f"bulk-action {bulk.pk}"
    assert json.loads(changed.after)["state"] == "CANCELLED Cancelled"
    assert refused.result == "refused"
    assert refused.reason


def test_old_actions_are_deleted_with_their_runs():
    old, recent, active = (begun("cancel", [make_flow_run()]) for _ in range(3))
    for bulk, days in ((old, 100), (recent, 10)):
        BulkAction.objects.filter(pk=bulk.pk).update(status="done", ended_at=NOON - timedelta(days=days))

    purge(ages=Ages(runs=timedelta(days=30)), now=NOON)

    assert set(BulkAction.objects.values_list("pk", flat=True)) == {recent.pk, active.pk}
    assert BulkRun.objects.count() == 2
