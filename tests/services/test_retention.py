"""Old rows are deleted, some at a time; rows that are still needed are not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection

from deployments.models import Deadline, Lease
from deployments.upkeep.selectors import old_rows
from deployments.upkeep.selectors.old_rows import Ages, count_purgeable, old_families
from deployments.upkeep.services import retention
from deployments.upkeep.services.retention import purge
from events.models import Event
from events.recording.record import record_event
from orchestration.facts import cached_states
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orionflow.contract.kinds import RESOURCE_ID
from runs.models import Artifact, CacheEntry, FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from tests.conftest import DATABASE
from tests.factories import NOON, make_artifact, make_flow_run, make_log, make_state, make_task_run

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
OLD, RECENT = NOON - 100 * DAY, NOON - 10 * DAY
AGES = Ages(runs=90 * DAY, logs=30 * DAY, events=14 * DAY)


def ended_run(at: datetime = OLD, state: str = "COMPLETED", **fields) -> FlowRun:
    run = make_flow_run("RUNNING", now=at, **fields)
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=at)
    return run


def with_everything_below(run: FlowRun) -> FlowRun:
    task = make_task_run("RUNNING", flow_run=run, now=OLD)
    propose_task_run_state(run_id=task.pk, proposed=make_state("COMPLETED"), now=OLD, force=True)
    make_log(flow_run=run, now=OLD)
    make_artifact(None, flow_run_id=run.pk, now=OLD)
    Deadline.objects.create(flow_run=run, kind="start", due=OLD)
    return run


def purged(now: datetime = NOON, ages: Ages = AGES) -> dict[str, int]:
    return dict(+purge(ages=ages, now=now, pause_seconds=0))


def left() -> set:
    return set(FlowRun.objects.values_list("pk", flat=True))


def test_an_old_run_is_deleted_with_everything_below_it():
    with_everything_below(ended_run())
    recent = ended_run(RECENT)

    gone = purged()

    assert gone == {"flow runs": 1, "task runs": 1, "logs": 1, "artifacts": 1}
    assert left() == {recent.pk}
    for model in (TaskRun, TaskRunState, Log, Artifact, Deadline):
        assert not model.objects.exists(), model
    assert FlowRunState.objects.count() == 2


def test_a_dry_run_counts_the_same_and_deletes_nothing():
    with_everything_below(ended_run())

    counted = dict(count_purgeable(ages=AGES, now=NOON))

    assert counted == {"flow runs": 1, "task runs": 1, "logs": 1, "artifacts": 1}
    assert purged() == counted


@pytest.mark.parametrize("state", ["RUNNING", "SCHEDULED", "PAUSED", "PENDING", "CANCELLING"])
def test_unfinished_runs_of_any_age_are_kept(state: str):
    run = make_flow_run(state, now=OLD)
    task = make_task_run("COMPLETED", flow_run=run, now=OLD)
    make_log(flow_run=run, now=OLD)

    assert purged() == {}

    assert left() == {run.pk}
    assert TaskRun.objects.filter(pk=task.pk).exists()


def nested_in(parent: FlowRun, state: str = "COMPLETED", now: datetime = OLD) -> FlowRun:
    place = make_task_run("RUNNING", flow_run=parent, now=OLD)
    run = make_flow_run("RUNNING", now=now, parent_task_run_id=place.pk)
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=now, force=True)
    return run


def test_nested_runs_go_with_the_outer_one():
    parent = make_flow_run("RUNNING", now=OLD)
    nested_in(nested_in(parent))
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("COMPLETED"), now=OLD)

    assert purged() == {"flow runs": 3, "task runs": 2}


@pytest.mark.parametrize("outer", ["RUNNING", "COMPLETED"])
def test_a_nested_run_stays_with_an_outer_one_that_stays(outer: str):
    parent = make_flow_run("RUNNING", now=OLD)
    nested = nested_in(parent)
    propose_flow_run_state(run_id=parent.pk, proposed=make_state(outer), now=RECENT, force=True)

    assert purged() == {}

    assert left() == {parent.pk, nested.pk}


@pytest.mark.parametrize(("state", "at"), [("RUNNING", OLD), ("COMPLETED", RECENT)])
def test_an_outer_run_stays_while_a_nested_run_is_active_or_recent(state: str, at: datetime):
    parent = make_flow_run("RUNNING", now=OLD)
    nested_in(nested_in(parent), state, at)
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("COMPLETED"), now=OLD)

    purged()

    assert len(left()) == 3


def test_a_result_that_the_cache_gives_out_survives_its_run():
    run = make_flow_run("RUNNING", now=OLD)
    kept, expired = (_cached_task(run, key, until) for key, until in (("kept", None), ("expired", OLD + DAY)))
    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=OLD)

    gone = purged()

    assert gone["flow runs"] == 1
    assert list(TaskRun.objects.values_list("pk", "flow_run_id")) == [(kept.pk, None)]
    assert cached_states(["kept"], NOON)["kept"].name == "Completed"
    assert not CacheEntry.objects.filter(cache_key="expired").exists()
    assert expired.pk not in set(TaskRunState.objects.values_list("task_run_id", flat=True))


def test_task_runs_kept_for_a_cache_are_deleted_when_it_expires():
    run = make_flow_run("RUNNING", now=OLD)
    _cached_task(run, "kept", NOON + DAY)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=OLD)
    purged()
    assert TaskRun.objects.count() == 1

    purged(now=NOON + 2 * DAY)
    purged(now=NOON + 2 * DAY)

    assert not TaskRun.objects.exists()
    assert not TaskRunState.objects.exists()


def _cached_task(run: FlowRun, key: str, until: datetime | None) -> TaskRun:
    task = make_task_run("RUNNING", flow_run=run, now=OLD, cache_key=key)
    done = make_state("COMPLETED", cache_key=key, cache_expiration=until, data={"type": "reference"})
    propose_task_run_state(run_id=task.pk, proposed=done, now=OLD, force=True)
    state = TaskRunState.objects.filter(task_run=task).latest("seq")
    CacheEntry.objects.update_or_create(cache_key=key, defaults={"expires_at": until, "task_run_state": state})
    return task


def test_the_newest_artifact_of_a_key_stays():
    run = ended_run()
    make_artifact("report", flow_run_id=run.pk, now=OLD)
    newest = make_artifact("report", flow_run_id=run.pk, now=OLD + DAY)

    purged()

    assert list(Artifact.objects.values_list("pk", flat=True)) == [newest.pk]


def test_logs_and_events_go_by_their_own_age():
    run, open_run = ended_run(NOON - 40 * DAY), make_flow_run("RUNNING", now=OLD)
    make_log("old", flow_run=run, now=NOON - 31 * DAY)
    make_log("recent", flow_run=run, now=NOON - 29 * DAY)
    make_log("of an open run", flow_run=open_run, now=NOON - 31 * DAY)
    make_log("of nobody", now=NOON - 31 * DAY)
    for days in (13, 15):
        record_event("tested", resource={RESOURCE_ID: "test"}, now=NOON - days * DAY)

    gone = purged()

    assert gone == {"logs": 2, "events": 1}
    assert set(Log.objects.values_list("message", flat=True)) == {"recent", "of an open run"}
    assert Event.objects.get().occurred == NOON - 13 * DAY


@pytest.mark.parametrize("years", [100, 10_000])
def test_an_age_that_reaches_before_all_times_keeps_rows_and_deletes_those_of_other_ages(years: int):
    run, age = with_everything_below(ended_run()), timedelta(days=365 * years)
    record_event("tested", resource={RESOURCE_ID: "test"}, now=OLD)
    ages = Ages(runs=age, logs=age, events=14 * DAY)

    counted = dict(count_purgeable(ages=ages, now=NOON))

    assert counted == purged(ages=ages) == {"events": 1}
    assert left() == {run.pk}


def test_without_ages_nothing_is_deleted():
    with_everything_below(ended_run())

    assert purged(ages=Ages()) == {}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    monkeypatch.setattr(old_rows, "RUNS_AT_ONCE", 3)


@pytest.mark.usefixtures("small_chunks")
def test_no_transaction_deletes_more_than_a_chunk():
    for _ in range(4):
        run = ended_run()
        for _ in range(12):
            make_log(flow_run=run, now=OLD)
            make_task_run("COMPLETED", flow_run=run, now=OLD)
    make_flow_run("RUNNING", now=OLD)

    with connection.execute_wrapper(_noting_sizes(sizes := [])):
        gone = purged()

    assert (gone["logs"], gone["task runs"], gone["flow runs"]) == (48, 48, 4)
    assert max(sizes) == 10
    assert left() == {FlowRun.objects.get().pk}


@pytest.mark.usefixtures("small_chunks")
def test_no_statement_names_all_runs_of_a_large_family():
    outer = make_flow_run("RUNNING", now=OLD)
    for nested in [nested_in(outer) for _ in range(10)]:
        nested_in(nested)
    propose_flow_run_state(run_id=outer.pk, proposed=make_state("COMPLETED"), now=OLD)

    with connection.execute_wrapper(noting_values(numbers := [])):
        counted, gone = dict(count_purgeable(ages=AGES, now=NOON)), purged()

    assert counted == gone == {"flow runs": 21, "task runs": 20}
    assert max(numbers) < 20


def noting_values(numbers: list[int]):
    """Note how many values each statement has."""

    def note(execute, sql, params, many, context):
        numbers.append(len(params or ()))
        return execute(sql, params, many, context)

    return note


def _noting_sizes(sizes: list[int]):
    def note(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            sizes.append(context["cursor"].rowcount)
        return result

    return note


@pytest.mark.usefixtures("small_chunks")
def test_runs_that_stay_do_not_hide_those_behind_them():
    for _ in range(7):
        parent = make_flow_run("RUNNING", now=OLD)
        nested_in(parent, "RUNNING")
        propose_flow_run_state(run_id=parent.pk, proposed=make_state("COMPLETED"), now=OLD)
    behind = [ended_run(OLD + DAY).pk for _ in range(4)]

    families = list(old_families(before=NOON - 90 * DAY))

    assert sorted(run_id for family in families for run_id in family) == sorted(behind)


def test_a_run_that_is_taken_up_again_meanwhile_stays(monkeypatch: pytest.MonkeyPatch):
    run = with_everything_below(ended_run(state="FAILED"))
    families = list(old_families(before=NOON - 90 * DAY))
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=NOON)
    monkeypatch.setattr(retention, "old_families", lambda **_: families)

    assert purged(ages=Ages(runs=90 * DAY)) == {}

    assert TaskRun.objects.filter(flow_run=run).exists()
    assert not Lease.objects.exists()


def test_with_nothing_old_it_costs_a_handful_of_queries(django_assert_max_num_queries):
    ended_run(RECENT)

    # PostgreSQL is asked of which days logs and events consist.
    with django_assert_max_num_queries(10 if DATABASE == "sqlite" else 12):
        purged()
