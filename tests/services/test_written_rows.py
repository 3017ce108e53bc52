"""Conditions that SQLite checks at every row that is written have no lists of values."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from tests.conftest import DATABASE

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL does not mind lists"),
]

A_LIST = re.compile(r"\bIN\s*\(\s*(?!SELECT\b)", re.IGNORECASE)
HINT = (
    "SQLite fills a table for each list in a CHECK, in the condition of an index or in a trigger, at every row that is "
    "written: spell the condition by `is_one_of` and `is_none_of` of runs/querysets.py"
)


def test_no_check_no_index_and_no_trigger_has_a_list_of_values():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%%'", [])
        found = [name for name, sql in cursor.fetchall() if A_LIST.search(sql)]
    assert found == [], HINT
