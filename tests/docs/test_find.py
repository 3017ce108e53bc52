"""The table of the commonest tasks: each has a page that begins with the answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orion_site.help.rendering import slug
from tests.homes import ROOT

FIND = ROOT / "docs" / "howto" / "find.md"
_LINK = re.compile(r"\]\(([^)#]+)#([^)]+)\)")
# What a reader sees without scrolling.
SCREEN = 30


def rows() -> list[str]:
    return [line for line in FIND.read_text().splitlines() if line.startswith("| ") and "](" in line]


def answers() -> list[tuple[str, str]]:
    return [found for row in rows() for found in _LINK.findall(row.rsplit(" | ", 1)[1])]


def test_the_table_has_twenty_tasks_and_each_leads_to_a_heading():
    assert len(rows()) == 20
    for row in rows():
        assert _LINK.search(row.rsplit(" | ", 1)[1]), row


@pytest.mark.parametrize(("path", "anchor"), answers(), ids=lambda value: value)
def test_the_answer_is_on_the_first_screen_below_the_heading(path: str, anchor: str):
    page = (FIND.parent / path).resolve()

    below = lines_below(page, anchor)

    assert any(re.match(r"\s*(```|\||1\. )", line) for line in below[:SCREEN]), f"{path}#{anchor}"


def lines_below(page: Path, anchor: str) -> list[str]:
    lines = page.read_text().splitlines()
    at = [place for place, line in enumerate(lines) if re.match(r"#+ ", line) and slug(line.lstrip("# ")) == anchor]
    assert at, f"{page.name} has no heading {anchor}"
    return lines[at[0] + 1 :]
