"""The figures of the code, counted on a file that is small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks import house

SOURCE = '''"""One module.

Three lines of it.
"""

from __future__ import annotations

import os  # why


def public() -> str:
    """Say where."""
    # A comment of its own.
    return _once() + _twice() + _twice()


def _once() -> str:
    return os.sep


def _twice() -> str:
    return os.sep
'''


def figures_of(path: Path) -> dict[str, str]:
    figures = house.Figures()
    figures.read(path)
    return dict(zip(house.COLUMNS, ["it", *figures.row()], strict=True))


def test_figures_of_one_file(tmp_path):
    path = tmp_path / "one.py"
    path.write_text(SOURCE)

    figures = figures_of(path)

    assert (figures["files"], figures["lines"], figures["functions"]) == ("1", "22", "3")
    assert figures["function median / p90 / p99 / max"] == "2 / 4 / 4 / 4"
    assert figures["comments /100"] == f"{200 / 22:.1f}"
    assert figures["docstring lines /100"] == f"{500 / 22:.1f}"
    assert figures["import lines"] == f"{200 / 22:.1f} %"
    assert (figures["private functions"], figures["called once"]) == ("2", "50 %")
