"""How deep the trees of tables and indexes in a SQLite file are, and how deep they would be with more rows.

python -m benchmarks.depth FILE    the file is only read

What a row costs to write grows with the levels of each tree. Their number follows from the rows in a page.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.measuring import report

TABLES = ("runs_flowrun", "runs_flowrunstate", "runs_taskrun", "runs_taskrunstate")
MORE_ROWS = 20_000_000
# Kinds of inner pages in SQLite's file format: of an index and of a table.
INNER = (2, 5)
SAMPLED = 200


class Pages:
    """The pages of a file. The number of the first is 1."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY)
        self.size = struct.unpack(">H", os.pread(self._file, 2, 16))[0]

    def children(self, number: int) -> list[int]:
        """Return the pages below an inner page; none below a leaf."""
        page = self._read(number)
        if page[0] not in INNER:
            return []
        cells = struct.unpack(f">{_cells(page)}H", page[12 : 12 + 2 * _cells(page)])
        return [_number_at(page, place) for place in (*cells, 8)]

    def rows(self, leaf: int) -> int:
        return _cells(self._read(leaf))

    def _read(self, number: int) -> bytes:
        return os.pread(self._file, self.size, (number - 1) * self.size)


def _cells(page: bytes) -> int:
    return int(struct.unpack(">H", page[3:5])[0])


def _number_at(page: bytes, place: int) -> int:
    return int(struct.unpack(">I", page[place : place + 4])[0])


@dataclass(frozen=True, slots=True)
class Tree:
    """The number of pages on each level, the root first, and of rows in a leaf."""

    levels: Sequence[int]
    rows_of_leaf: float

    @property
    def rows(self) -> float:
        return self.levels[-1] * self.rows_of_leaf

    def levels_with(self, rows: int) -> int:
        pages, levels = rows / max(self.rows_of_leaf, 1), 1
        while pages > 1:
            pages, levels = pages / max(self.levels[-1] / self.levels[-2], 2), levels + 1
        return levels


def tree_at(root: int, pages: Pages) -> Tree:
    level, levels = [root], [1]
    while below := [child for number in level for child in pages.children(number)]:
        level = below
        levels.append(len(level))
    sample = level[:: max(1, len(level) // SAMPLED)]
    return Tree(levels, mean(pages.rows(leaf) for leaf in sample))


def trees_of(file: Path) -> Iterator[tuple[str, Tree]]:
    pages = Pages(file)
    with sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True) as database:
        marks = ", ".join("?" * len(TABLES))
        named = f"SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0 AND tbl_name IN ({marks})"  # noqa: S608
        for name, root in database.execute(named, TABLES):
            yield name, tree_at(root, pages)


def measure(file: Path) -> None:
    inner = 0
    for name, tree in trees_of(file):
        if len(tree.levels) < 3:
            continue
        inner += sum(tree.levels[:-1])
        report(
            "depth",
            tree=name,
            rows=round(tree.rows),
            levels=len(tree.levels),
            levels_at_20_m=tree.levels_with(MORE_ROWS),
        )
    report("depth", inner_megabytes=round(inner * Pages(file).size / 1e6, 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    measure(parser.parse_args().file)
