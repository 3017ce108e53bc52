"""Lists that have nothing to show: they say what would be there, and how it comes there."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from django.test import Client

from tests.cli.commands import parse, words_of
from tests.homes import ROOT

LISTS = [
    "", "runs", "task-runs", "flows", "deployments", "schedule", "work", "agents", "limits", "events", "automations",
    "notifications", "blocks", "variables", "artifacts", "calendars", "archive", "bulk", "problems",
    "settings/users", "settings/groups",
]  # fmt: skip
EMPTY = re.compile(r'<div class="empty">.*?</div>\s*\n', re.DOTALL)
# A command, a piece of code, a button, or a link to what explains it.
WAY = re.compile(r'<pre>|data-copy=|class="button|href="/help/')
LINE = re.compile(r"<pre>(?:<code>)?(.*?)<", re.DOTALL)


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_explains_how_to_fill_it(browser: Client, path: str):
    page = browser.get(f"/{path}").content.decode()

    empty = EMPTY.findall(page)

    assert 'class="empty"' in page
    assert [one for one in empty if not WAY.search(one)] == []


def commands() -> list[str]:
    """The lines of templates that begin with our own command, without what stands for a name."""
    templates = Path(ROOT / "templates").rglob("*.html")
    shown = "\n".join(unescape(text) for one in templates for text in LINE.findall(one.read_text()))
    return sorted(line for line in shown.splitlines() if line.startswith("orion "))


def test_commands_that_pages_show_are_there():
    assert len(commands()) > 8
    assert all(parse(words_of(line)) for line in commands())
