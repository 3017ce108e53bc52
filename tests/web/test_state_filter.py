"""The states of a list: chosen by links, by the form and in the query box, they mean the same runs and numbers."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.rows import make_run, make_task_run

ANY_ID = "019b0000-0000-7000-8000-000000000000"


def make_runs() -> None:
    make_run("good")
    make_run("bad", state="FAILED")
    make_run("slow", state="FAILED", state_name="TimedOut")
    make_run("due", state="SCHEDULED")
    make_run("late", state="SCHEDULED", state_name="Late")


def listed(browser: Client, query: str, page: str = "/runs") -> set[str]:
    return {run.name for run in browser.get(f"{page}?{query}").context["found"].page.rows}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=state:failed",
        "q=good+state:failed+-flow:other",
        "q=-state:completed",
        "q=-state:failed&state=failed",
        "state=late",
        "q=state:late&state=completed",
    ],
)
def test_the_number_of_a_choice_is_that_of_its_list(browser: Client, query: str):
    make_runs()

    choices = browser.get(f"/runs?{query}").context["choices"]

    for choice in choices:
        if choice.count is not None and not choice.is_chosen:
            assert len(listed(browser, choice.address.removeprefix("?"))) == choice.count.number, choice.words


def test_a_choice_keeps_the_other_terms_of_the_query(browser: Client):
    make_runs()

    choices = browser.get("/runs?q=flow:etl+state:late").context["choices"]

    assert [choice.words for choice in choices if choice.is_chosen] == ["Late"]
    assert {choice.address for choice in choices if choice.words in {"Late", "Running"}} == {
        "?q=flow%3Aetl",
        "?q=flow%3Aetl&state=running",
    }


@pytest.mark.parametrize("page", ["/runs", "/task-runs"])
@pytest.mark.parametrize(
    "query",
    [
        "q=state:failed+-state:failed",
        "state=failed&q=-state:failed",
        "state=failed&q=-state:failed+-state:crashed",
        "q=state:failed+-state:failed+-state:failed",
    ],
)
def test_a_filter_that_excludes_each_state_that_it_chooses_finds_nothing(browser: Client, page: str, query: str):
    make_runs()
    make_task_run()

    assert listed(browser, query, page) == set()


def test_nothing_is_deleted_by_a_filter_that_excludes_every_state(browser: Client):
    make_runs()

    assert browser.get("/runs/all/delete?q=state:failed+-state:failed").context["scope"].found == 0


def test_names_go_with_the_state_that_is_excluded(browser: Client):
    make_runs()

    assert listed(browser, "state=completed,late&q=-state:scheduled") == {"good"}


@pytest.mark.parametrize("state", ["waiting,failed", "failed,planned"])
def test_what_cannot_be_combined_is_reported(browser: Client, state: str):
    make_runs()

    requested = browser.get(f"/runs?state={state}").context["requested"]

    assert "cannot be combined with other states" in " ".join(requested.problems)


@pytest.mark.parametrize("query", ["state=waiting", "q=state:planned", "error=a", "queue=none", f"deployment={ANY_ID}"])
def test_the_list_of_task_runs_reports_what_only_flow_runs_have(browser: Client, query: str):
    assert len(browser.get(f"/task-runs?{query}").context["requested"].problems) == 1
