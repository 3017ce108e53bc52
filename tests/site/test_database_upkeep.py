"""The hourly work on a SQLite file."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from orion_site.database.upkeep import renew_statistics, tidy_database
from runs.models import FlowRun
from tests import warm
from tests.conftest import DATABASE
from tests.factories import NOON, make_flow, make_flow_run
from tests.homes import ready_home
from tests.site.running import environment

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL looks after itself"),
]


def log_of_changes() -> Path:
    return Path(f"{connection.settings_dict['NAME']}-wal")


def test_the_log_of_changes_is_written_back_and_cut():
    make_flow_run()
    assert log_of_changes().stat().st_size > 0

    tidy_database(NOON)

    assert log_of_changes().stat().st_size == 0


def test_a_long_reader_does_not_delay_others():
    make_flow_run()
    reader = sqlite3.connect(connection.settings_dict["NAME"])
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs_flowrun").fetchone()
        make_flow_run()

        tidy_database(NOON)

        assert log_of_changes().stat().st_size > 0
    finally:
        reader.close()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20000,)


@pytest.mark.usefixtures("statistics_of_its_own")
def test_the_planner_knows_how_common_a_state_is_after_a_table_has_grown():
    flow = make_flow()
    FlowRun.objects.bulk_create(
        FlowRun(flow=flow, name=f"run-{number}", state_type="COMPLETED", expected_start_time=NOON)
        for number in range(1500)
    )

    assert renew_statistics() > 0

    with connection.cursor() as cursor:
        cursor.execute("SELECT stat FROM sqlite_stat1 WHERE idx = 'flow_run_by_state'")
        runs, with_one_state, *_ = cursor.fetchone()[0].split()
    assert (int(runs), int(with_one_state)) == (1500, 1500)
    assert renew_statistics() == 0


@pytest.mark.usefixtures("statistics_of_its_own")
@pytest.mark.parametrize("index", ["flow_run_by_state", "flow_run_without_tags"])
def test_a_table_of_which_one_index_alone_was_analyzed_is_not_known(index):
    flow = make_flow()
    FlowRun.objects.bulk_create(
        FlowRun(flow=flow, name=f"run-{number}", state_type="COMPLETED", expected_start_time=NOON)
        for number in range(1500)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {index}")

    renew_statistics()

    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pragma_index_list('runs_flowrun') WHERE NOT partial")
        there = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT idx FROM sqlite_stat1 WHERE tbl = 'runs_flowrun'")
        assert there <= {name for (name,) in cursor.fetchall()}
    assert renew_statistics() == 0


GIVING_BACK = """
import django; django.setup()
from orion_site.database.upkeep import give_space_back
print(give_space_back())
"""


def test_the_space_of_deleted_rows_is_freed(tmp_path):
    ready_home(tmp_path)
    file = tmp_path / "orion.db"
    with closing(sqlite3.connect(file)) as connected:
        connected.execute("CREATE TABLE bulk (content BLOB)")
        connected.executemany("INSERT INTO bulk VALUES (zeroblob(100000))", [()] * 300)
        connected.execute("DELETE FROM bulk")
        connected.commit()
        connected.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.stat().st_size

    settings = environment(tmp_path, DJANGO_SETTINGS_MODULE="orion_site.settings")
    done = warm.run([sys.executable, "-c", GIVING_BACK], env=settings, capture_output=True, text=True, check=True)
    with closing(sqlite3.connect(file)) as connected:
        connected.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    assert int(done.stdout) > 1000
    assert file.stat().st_size < before - 4_000_000
