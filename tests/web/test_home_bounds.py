"""The first page where there are more runs than it reads: numbers say so, and tags choose among all runs."""

from __future__ import annotations

import re
from html import unescape
from types import ModuleType

import pytest
from django.test import Client

from orion_site.home import open_runs, pages, rates, stuck
from runs.pages import list_files
from runs.pages.selectors import failures
from runs.why.selectors import waiting as waits
from tests.web.rows import make_flow, make_run
from tests.web.test_home_page import ago, failed, listed, make_queue, make_worker, needs, waiting

# Each module has the bound under its own name. One that is imported first while a test lowers it would keep it.
ACTIVE, WAITING, FAILED = (open_runs, rates, stuck), (waits, pages), (failures, list_files)


def lower(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    for module in modules:
        monkeypatch.setattr(module, "LOOKED_AT", 2)


def test_waiting_runs_beyond_the_bound_have_a_plus(browser: Client, monkeypatch: pytest.MonkeyPatch):
    lower(monkeypatch, *WAITING)
    queue = make_queue()
    for number in range(3):
        waiting(f"waits-{number}", work_queue_id=queue.pk)

    home, problems = browser.get("/").context, browser.get("/problems").context

    assert str(home["rates"].waiting) == "2+"
    assert [need.extent for need in home["needs"].lines] == ["2+ runs wait"]
    assert [str(line.number) for line in problems["waiting"]] == ["2+"]


def test_active_runs_beyond_the_bound_have_a_plus(browser: Client, monkeypatch: pytest.MonkeyPatch):
    lower(monkeypatch, *ACTIVE)
    for number in range(4):
        make_run(f"paused-{number}", state="PAUSED", at=ago(minutes=1))

    context = browser.get("/").context

    assert str(context["rates"].running) == "0+"
    assert [need.extent for need in context["needs"].lines] == ["3+ runs"]


def test_tags_choose_among_all_runs(browser: Client, monkeypatch: pytest.MonkeyPatch):
    lower(monkeypatch, *ACTIVE, *WAITING, *FAILED)
    for tags, minutes in ((["test"], 8), (["test"], 7), (["test"], 6), (["prod"], 5)):
        name = f"{tags[0]}-{minutes}"
        waiting(name, minutes=minutes, tags=tags)
        make_run(f"running-{name}", state="RUNNING", at=ago(minutes=minutes), tags=tags)
        # The newest failures have the other tag.
        failed(f"failed-{name}", at=ago(minutes=20 - minutes), tags=tags, flow=make_flow(tags[0]))

    context = browser.get("/?tag=prod").context

    assert [str(context["rates"].running), str(context["rates"].waiting)] == ["1", "1"]
    assert [need.extent for need in context["needs"].lines] == ["1 run · prod", "1 run waits"]
    assert listed(browser, context["needs"].lines[0].address) == {"failed-prod-5"}


def test_the_planned_runs_of_a_flow_are_those_of_the_day_with_the_chosen_tags(browser: Client):
    for hours, tags in ((1, ["prod"]), (2, ["test"]), (30, ["prod"])):
        at = ago(hours=-hours)
        make_run(f"in-{hours}", state="SCHEDULED", at=at, next_scheduled_start_time=at, tags=tags)

    for query, expected in (("", {"in-1", "in-2"}), ("?tag=prod", {"in-1"})):
        answer = browser.get(f"/{query}")
        ((row, _),) = answer.context["ahead"].tracks
        (link,) = re.findall(r'href="(/runs\?state=planned&flow=[^"]*)"', answer.content.decode())
        assert row.planned_count.number == len(expected)
        assert listed(browser, unescape(link)) == expected


def test_why_runs_wait_does_not_depend_on_the_chosen_tags(browser: Client):
    queue = make_queue(concurrency_limit=1)
    make_worker(queue)
    make_run("holder", state="RUNNING", work_queue_id=queue.pk)
    waiting("waits", work_queue_id=queue.pk, tags=["prod"])

    every, chosen = ([need.cause for need in needs(browser, query)] for query in ("", "?tag=prod"))

    assert len(every) == 1
    assert chosen == every
