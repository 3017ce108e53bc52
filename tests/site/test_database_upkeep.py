"""The hourly work on a SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from django.db import connection

from orion_site.database_upkeep import tidy_database
from tests.conftest import DATABASE
from tests.factories import NOON, make_flow_run

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


def test_a_reader_that_stays_delays_nobody():
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
