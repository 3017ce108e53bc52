"""The levels of trees are read from a file as SQLite wrote it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.depth import trees_of

ROWS = 100_000


def test_trees_of_a_file_have_its_rows_and_grow_by_levels(tmp_path: Path):
    file = tmp_path / "orion.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE runs_flowrun (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute("CREATE INDEX by_name ON runs_flowrun (name)")
        database.executemany("INSERT INTO runs_flowrun (name) VALUES (?)", ((f"run {i:09}",) for i in range(ROWS)))
    database.close()

    trees = dict(trees_of(file))

    assert trees.keys() == {"runs_flowrun", "by_name"}
    table = trees["runs_flowrun"]
    assert abs(table.rows - ROWS) < ROWS / 50
    assert table.levels_with(ROWS) == len(table.levels)
    assert table.levels_with(ROWS * 1000) == len(table.levels) + 1
    # An index keeps rows in its inner pages as well.
    assert 0.9 * ROWS < trees["by_name"].rows <= ROWS
