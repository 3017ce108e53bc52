"""The list of all task runs: the same filter as that of runs, each row with its flow run, by an index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from runs.models import TaskRun
from tests.web.conftest import HOSTILE
from tests.web.rows import make_flow, make_run, make_task_run

pytestmark = pytest.mark.undivided


def names(browser: Client, query: str = "") -> list[str]:
    return [one.name for one in browser.get(f"/task-runs{query}").context["found"].page.rows]


@pytest.fixture
def some(db: None) -> None:
    now = timezone.now()
    run = make_run("brave-otter", at=now)
    make_task_run("extract", flow_run=run, at=now - timedelta(hours=3))
    make_task_run("load", flow_run=run, state="FAILED", message="It raised KeyError.", at=now - timedelta(hours=2))
    make_task_run("cached", flow_run=run, state_name="Cached", at=now - timedelta(minutes=50))
    other = make_run("calm-fox", flow=make_flow("ml"), at=now)
    make_task_run("train", flow_run=other, state="RUNNING", tags=["gpu"], at=now - timedelta(minutes=5))


def test_task_runs_stand_newest_first_with_their_flow_runs_and_reasons(browser: Client, some: None):
    page = browser.get("/task-runs")

    text = page.content.decode()
    assert [one.name for one in page.context["found"].page.rows] == ["train", "cached", "load", "extract"]
    assert str(page.context["found"].count) == "4"
    for words in ("ml › calm-fox", "It raised KeyError.", 'href="/task-runs?tag=gpu"', "Flow runs"):
        assert words in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=failed,crashed", ["load"]),
        ("?state=running", ["train"]),
        ("?state=failed,running", ["train", "load"]),
        ("?state=completed", ["cached", "extract"]),
        ("?flow=ml", ["train"]),
        ("?tag=gpu", ["train"]),
        ("?q=-tag:gpu -flow:ml", ["cached", "load", "extract"]),
        (f"?q={'+'.join(f'-tag:t{number}' for number in range(1200))}+-tag:gpu", ["cached", "load", "extract"]),
        ("?q=loa", ["load"]),
        ("?since=-1h", ["train", "cached"]),
        ("?q=dur>4m state:running", ["train"]),
        ("?q=nothing", []),
        ("?q=agent:w3", []),
        ("?q=param.customer=7", []),
    ],
)
def test_the_filter_is_that_of_runs(browser: Client, some: None, query: str, found: list[str]):
    assert names(browser, query) == found


def test_a_list_without_hits_says_which_filter_to_remove(browser: Client, some: None, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        page = browser.get("/task-runs?tag=gpu&state=failed,completed")

    without = page.context["without"]
    assert [(one.words, one.count.number) for one in without] == [("tag gpu", 3), ("state failed,completed", 1)]
    for one in without:
        assert len(names(browser, one.address)) == one.count.number


def test_pages_follow_each_other(browser: Client, monkeypatch: pytest.MonkeyPatch, some: None):
    monkeypatch.setattr("runs.pages.task_runs.PAGE_SIZE", 3)

    first = browser.get("/task-runs?state=failed,completed,running")
    second = browser.get(f"/task-runs{first.context['next']}")

    assert [one.name for one in first.context["found"].page.rows] == ["train", "cached", "load"]
    assert [one.name for one in second.context["found"].page.rows] == ["extract"]


def test_a_search_shows_how_far_it_looked(browser: Client, monkeypatch: pytest.MonkeyPatch, some: None):
    monkeypatch.setattr("runs.pages.selectors.task_runs.SEARCHED", 1)

    page = browser.get("/task-runs?q=extract").content.decode()

    assert "No task run matches so far" in page
    assert "Look further back" in page


def test_a_search_by_parameters_passes_task_runs_without_a_flow_run(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.selectors.task_runs.SEARCHED", 5)
    for place in range(12):
        make_task_run(f"alone-{place}", at=timezone.now() - timedelta(minutes=place))
    TaskRun.objects.update(flow_run=None)

    page = browser.get("/task-runs?q=param.x=1").content.decode()

    assert "No task run matches so far" in page
    assert "because the parameters are large" not in page


def test_a_search_reads_the_parameters_of_a_flow_run_once(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.selectors.reach.BYTES_SEARCHED", 4_000)
    run = make_run(parameters={"n": 1, "text": "x" * 500})
    for place in range(20):
        make_task_run(f"task-{place}", flow_run=run, at=timezone.now() - timedelta(minutes=place))

    page = browser.get("/task-runs?q=param.n=1")

    assert len(page.context["found"].page.rows) == 20
    assert "Look further back" not in page.content.decode()


def test_a_search_by_parameters_finds_all_task_runs_of_the_moments_at_which_it_stops(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.pages.selectors.reach.BYTES_SEARCHED", 1_500)
    monkeypatch.setattr("runs.pages.task_runs.PAGE_SIZE", 3)
    now = timezone.now()
    for place in range(20):
        run = make_run(parameters={"n": place % 5 and 1, "text": "x" * 500})
        make_task_run(f"task-{place:02}", flow_run=run, at=now - timedelta(minutes=place // 5))

    found: list[str] = []
    after = "?q=param.n=1"
    while after:
        page = browser.get(f"/task-runs{after}")
        found += [one.name for one in page.context["found"].page.rows]
        after = page.context["next"]

    assert sorted(found) == [f"task-{place:02}" for place in range(20) if place % 5]


def test_an_id_leads_to_its_page(browser: Client):
    task = make_task_run()

    assert browser.get(f"/task-runs?q={task.pk}")["location"] == f"/task-runs/{task.pk}"


def test_the_page_without_task_runs_explains_what_one_is(browser: Client):
    assert "Each call of a function with <code>@task</code>" in browser.get("/task-runs").content.decode()


def test_texts_of_others_are_text(browser: Client):
    make_task_run(HOSTILE, tags=[HOSTILE], state="FAILED", message=HOSTILE)

    assert HOSTILE not in browser.get("/task-runs").content.decode()


def test_the_number_of_queries_does_not_grow(browser: Client, django_assert_max_num_queries: Any):
    run = make_run()
    for number in range(30):
        make_task_run(f"bad-{number}", flow_run=run, state="FAILED")

    with django_assert_max_num_queries(8):
        browser.get("/task-runs?q=bad+flow:etl+-tag:x&state=failed,running")
