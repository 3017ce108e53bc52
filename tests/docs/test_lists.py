"""Pages written by hand name what lists in the code have: keys, views, terms of queries, lists of the admin."""

from __future__ import annotations

import re

import click
import pytest
from django.contrib import admin
from django.utils.text import capfirst

from orion_site.operators.commands import Command
from orion_site.operators.groups import GROUPS, NAMES
from orion_site.search.finding import PAGES
from orionflow.cli.query import flow_filters, flow_run_filters, task_run_filters
from orionflow.cli.schedules import SCHEDULE_PARAMS
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import make_clock
from orionflow.cli.topics import FILTERS, TOPICS
from runs.pages import query_box
from runs.pages.saved_views import BUILT_IN
from tests.homes import ROOT

DASHBOARD = (ROOT / "docs" / "reference" / "dashboard.md").read_text()
ADMIN = (ROOT / "docs" / "reference" / "admin.md").read_text()
COMMAND_LINE = (ROOT / "docs" / "reference" / "cli.md").read_text()
DECISIONS = ROOT / "docs" / "decisions"
# What the page of the admin also writes in italics: parts of pages that are neither lists nor commands.
PARTS_OF_PAGES = {"Go", "Only try", "Delete what is old", "Done in the admin", "In the admin", "On its page"}


def test_the_letter_of_every_page_is_on_the_page_about_the_dashboard():
    letters = {f"`{letter}` {page.lower()}" for page, (_, letter) in PAGES.items() if letter}

    assert {one for one in letters if one not in DASHBOARD} == set()


def test_views_that_everybody_has_are_on_the_page_about_the_dashboard():
    names = {name for views in BUILT_IN.values() for name, _ in views}

    assert {one for one in names if f"*{one}*" not in DASHBOARD} == set()


@pytest.mark.parametrize("key", query_box.KEYS)
def test_a_term_of_the_query_box_is_on_the_page_about_the_dashboard(key: str):
    assert re.search(rf"^\| [^|]*`{key}[:<>]", DASHBOARD, re.MULTILINE)


@pytest.mark.parametrize("read", [flow_run_filters, task_run_filters, flow_filters])
def test_every_term_of_commands_is_in_their_help_and_in_the_reference(read):
    with pytest.raises(click.UsageError) as refused:
        read(["qqqq:1"], make_clock(zone_name=None, utc=True))

    keys = re.findall(r"\w+", refused.value.message.partition("use one of")[2])

    assert "state" in keys
    assert [one for one in keys if f"{one}:" not in FILTERS or f"`{one}:" not in COMMAND_LINE] == []


def test_every_option_of_schedules_is_in_their_topic():
    topic = TOPICS["schedules"](current_terminal())

    options = {"/".join([*one.opts, *one.secondary_opts]): {*one.opts, *one.secondary_opts} for one in SCHEDULE_PARAMS}

    assert [
        name for name, ways in options.items() if not any(re.search(rf"{one}(?![\w-])", topic) for one in ways)
    ] == []


def test_lists_and_commands_that_the_page_about_the_admin_names_exist():
    models = admin.site._registry
    lists = {NAMES.get(one._meta.label, capfirst(str(one._meta.verbose_name_plural))) for one in models}
    commands = {one.label for of in models.values() for one in getattr(of, "commands", ()) if isinstance(one, Command)}

    named = set(re.findall(r"(?<!\*)\*([A-Z][a-z ]+)\*(?!\*)", ADMIN))

    assert named - lists - commands - {one.name for one in GROUPS} - PARTS_OF_PAGES == set()


def test_every_decision_is_in_their_index():
    index = (DECISIONS / "README.md").read_text()

    assert [one.name for one in sorted(DECISIONS.glob("0*.md")) if f"]({one.name})" not in index] == []
