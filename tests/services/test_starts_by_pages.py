"""On PostgreSQL task runs are found by their start by the pages that they lie in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from runs.models import TaskRun
from tests.conftest import DATABASE
from tests.factories import NOON, make_task_run

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite has one kind of index"),
]
FILTERS = [
    {"start_time__lt": NOON - timedelta(days=400)},
    {"start_time__gte": NOON, "start_time__lt": NOON + timedelta(hours=1)},
]


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_filter_by_start_reads_pages_by_the_index(wanted):
    for hours in range(3):
        make_task_run("RUNNING", now=NOON + timedelta(hours=hours))
    with connection.cursor() as cursor:
        # Of so few rows it would read all, by whatever index it knew to be smaller.
        for way in ("seqscan", "indexscan", "indexonlyscan"):
            cursor.execute(f"SET LOCAL enable_{way} = off")

        plan = TaskRun.objects.filter(**wanted).order_by().explain()

    assert "task_run_by_start" in plan
    assert TaskRun.objects.filter(**wanted).count() == ("start_time__gte" in wanted)


def test_the_index_has_no_entry_for_each_row():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'task_run_by_start'")
        ((definition,),) = cursor.fetchall()

    assert "USING brin (start_time)" in definition
