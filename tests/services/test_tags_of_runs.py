"""The rows of tags agree with the tags of the runs, however these are created, changed or deleted."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection

from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from orchestration.tables import FLOW_RUNS, TASK_RUNS
from runs.beyond_models import is_complete
from runs.flow_runs.services import delete_flow_run, update_flow_run
from runs.models import FlowRun, FlowRunTag, TaskRun, TaskRunTag
from runs.tag_rows.install import install, trigger_names
from runs.triggers import drop_triggers, missing_triggers
from tests.conftest import DATABASE
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run

pytestmark = pytest.mark.django_db

TABLES = (FLOW_RUNS, TASK_RUNS)
TAGS = ["prod", 'quo"te', "ünï", "a'b", "[]", ""]


def recounted(runs):
    rows = runs.objects.values_list("tags", "id", "expected_start_time")
    return {(tag, run_id, expected) for tags, run_id, expected in rows for tag in tags}


def kept(tags):
    return set(tags.objects.values_list("tag", "run_id", "expected_start_time"))


def assert_kept():
    assert kept(FlowRunTag) == recounted(FlowRun)
    assert kept(TaskRunTag) == recounted(TaskRun)


def test_a_run_has_a_row_for_each_tag_and_loses_it_with_the_tag():
    run = make_flow_run(tags=["prod", "gpu", "prod"])
    make_task_run(flow_run=run, tags=["db"])
    make_flow_run()

    assert {tag for tag, *_ in kept(FlowRunTag)} == {"prod", "gpu"}
    assert {tag for tag, *_ in kept(TaskRunTag)} == {"db"}

    update_flow_run(run_id=run.pk, changes={"tags": ["gpu", "night"]}, now=later())

    assert {tag for tag, *_ in kept(FlowRunTag)} == {"gpu", "night"}
    assert_kept()

    update_flow_run(run_id=run.pk, changes={"tags": []}, now=later())

    assert not kept(FlowRunTag)


def test_a_run_that_is_expected_at_another_time_moves_among_those_of_its_tags():
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=later(3600)), tags=["prod", "gpu"])

    FlowRun.objects.filter(pk=run.pk).update(expected_start_time=later(7200))

    assert {expected for _, _, expected in kept(FlowRunTag)} == {later(7200)}


def test_after_anything_the_rows_are_those_of_a_recount():
    randomly = random.Random(7)
    flow = make_flow()
    runs = []
    for number in range(120):
        tags = randomly.sample(TAGS, randomly.randrange(4))
        match randomly.randrange(6) if runs else 0:
            case 0 | 1:
                runs.append(make_flow_run("COMPLETED", flow=flow, tags=tags, now=later(number)))
            case 2:
                make_task_run("COMPLETED", flow_run=randomly.choice(runs), tags=tags, now=later(number))
            case 3:
                update_flow_run(run_id=randomly.choice(runs).pk, changes={"tags": tags}, now=later(number))
            case 4:
                one = randomly.choice(runs)
                FlowRun.objects.filter(pk=one.pk).update(expected_start_time=later(1000 * number), tags=tags)
            case 5:
                delete_flow_run(run_id=runs.pop(randomly.randrange(len(runs))).pk, now=later(number))

    assert_kept()
    assert kept(FlowRunTag)
    assert kept(TaskRunTag)

    purge(ages=Ages(runs=timedelta(days=1)), now=NOON + timedelta(days=40), pause_seconds=0)

    assert FlowRun.objects.count() == 0
    assert not kept(FlowRunTag)
    assert not kept(TaskRunTag)


def missing():
    with connection.cursor() as cursor:
        return {name for tables in TABLES for name in missing_triggers(cursor, trigger_names(tables))}


def test_after_triggers_were_lost_all_rows_are_written_again():
    gone = make_flow_run(tags=["prod"])
    with connection.cursor() as cursor:
        for tables in TABLES:
            drop_triggers(cursor, trigger_names(tables))
    run = make_flow_run(tags=["gpu", "prod"])
    make_task_run(flow_run=run, tags=["db"])
    FlowRun.objects.filter(pk=gone.pk).update(tags=[])
    assert kept(FlowRunTag) != recounted(FlowRun)

    install()

    assert_kept()
    make_flow_run(tags=["night"])
    assert_kept()


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'runs_flowrun'")
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(DATABASE != "sqlite", reason="only SQLite has tables made again, and drops their triggers")
def test_a_table_that_is_created_again_has_its_triggers_and_indexes_after_the_migration():
    make_flow_run(tags=["prod"])
    with connection.schema_editor() as editor:
        before = indexes()
        editor._remake_table(FlowRun)
    assert missing() == set(trigger_names(FLOW_RUNS))
    assert not is_complete()

    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")

    assert missing() == set()
    assert is_complete()
    assert indexes() == before
    make_flow_run(tags=["gpu"])
    assert_kept()
