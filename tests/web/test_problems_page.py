"""The pages of problems: one line for each cause, what it is, its runs, and what people decide about it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from orchestration.services import propose_flow_run_state
from orionflow.contract.fingerprints import cause_of
from runs.models import Flow, FlowRun, Problem
from runs.problems.services.counting import work_on_problems
from runs.problems.services.decisions import mute_problem
from tests.factories import make_flow, make_flow_run, make_log, make_state
from tests.web.conftest import HOSTILE

CAUSE = cause_of("KeyError", "'price'", [("load.py", "load_rows")])
OTHER = cause_of("ValueError", "boom", [("load.py", "parse")])
ID = UUID(CAUSE.fingerprint)


def failed(flow: Flow | None = None, *, cause=CAUSE, message="The flow raised KeyError: 'price'", **fields) -> FlowRun:
    state = make_state("FAILED", message=message, cause=cause.as_dict())
    return make_flow_run(state, flow=flow or make_flow("etl"), now=timezone.now(), **fields)


def shown(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_an_empty_page_teaches(browser: Client):
    page = shown(browser.get("/problems"))

    assert "No open problem" in page
    assert "those with the same cause become one line" in page
    assert "No problem has this status" in shown(browser.get("/problems?status=muted"))


def test_each_cause_is_one_line_with_its_extent(browser: Client):
    flow = make_flow("etl")
    for _ in range(3):
        failed(flow, flow_version="1.8")
    failed(make_flow("report"))
    failed(cause=OTHER, message="The flow raised ValueError: boom")

    answer = browser.get("/problems")

    lines = answer.context["lines"]
    assert [(line.problem.title, str(line.runs), line.flows) for line in lines] == [
        ("ValueError: boom", "1", "etl"),
        ("KeyError: 'price'", "4", "etl, report"),
    ]
    assert "version <span" in shown(answer)
    assert lines[1].spark


def test_the_number_of_runs_is_that_of_the_list_behind_it(browser: Client):
    for _ in range(3):
        failed()
    failed(cause=OTHER)

    line = browser.get("/problems").context["lines"][1]
    found = browser.get(line.runs_address).context["found"]

    assert (str(line.runs), str(found.count), len(found.page.rows)) == ("3", "3", 3)


@pytest.mark.parametrize("few", [1, 1_000])
def test_runs_that_fail_by_another_problem_by_now_are_not_failed_by_it(browser: Client, monkeypatch, few: int):
    monkeypatch.setattr("runs.pages.selectors.runs.FEW_IDS", few)
    failed(name="stays")
    moved = failed(name="moved")
    for state in (make_state("RUNNING"), make_state("FAILED", message="boom", cause=OTHER.as_dict())):
        propose_flow_run_state(run_id=moved.pk, proposed=state, now=timezone.now())

    line = browser.get(f"/problems/{ID}").context["line"]
    runs, failures = (browser.get(one).context["found"] for one in (line.runs_address, line.failed_address))
    retried = browser.get(line.retry_address).context["scope"]

    assert (str(line.runs), {run.name for run in runs.page.rows}) == ("2", {"stays", "moved"})
    assert (str(line.failed), [run.name for run in failures.page.rows]) == ("1", ["stays"])
    assert [name for _, name in retried.chosen.runs] == ["stays"]


def test_the_choice_of_failed_runs_counts_those_that_are_failed_by_the_problem(browser: Client):
    failed()
    moved = failed()
    for state in (make_state("RUNNING"), make_state("FAILED", message="boom", cause=OTHER.as_dict())):
        propose_flow_run_state(run_id=moved.pk, proposed=state, now=timezone.now())

    choices = browser.get(f"/runs?problem={ID}").context["choices"]

    failures = next(choice for choice in choices if choice.words == "Failed")
    assert failures.count.number == len(browser.get(f"/runs{failures.address}").context["found"].page.rows) == 1


def test_many_runs_of_a_problem_are_listed_without_numbers_of_states(browser: Client, monkeypatch):
    monkeypatch.setattr("runs.pages.selectors.runs.FEW_IDS", 2)
    for _ in range(3):
        failed()
    work_on_problems(timezone.now())

    answer = browser.get(f"/runs?problem={ID}")

    assert len(answer.context["found"].page.rows) == 3
    assert {choice.count for choice in answer.context["choices"]} == {None}


def test_the_page_of_a_problem_describes_it(browser: Client):
    run = failed(flow_version="1.8")
    make_log(
        "The flow raised an exception:\nTraceback (most recent call last):\n"
        '  File "/srv/load.py", line 7, in load_rows\n    row["price"]\nKeyError: \'price\'',
        flow_run=run,
        level=40,
    )

    page = shown(browser.get(f"/problems/{ID}"))

    assert "<h1>KeyError: &#x27;price&#x27;</h1>" in page
    assert "<code>load.py:load_rows</code>" in page
    assert run.name in page
    assert "1 failed now" in page
    assert "Traceback of the newest run" in page
    issue = browser.get(f"/problems/{ID}").context["issue"]
    assert issue.startswith("## KeyError: 'price' in load.py:load_rows\n")
    assert f"http://127.0.0.1:4200/problems/{ID}" in issue
    assert 'row["price"]' in issue


def test_a_fence_in_a_traceback_does_not_end_that_of_the_issue(browser: Client):
    failed(message="The flow raised KeyError: ````\n# Not a heading\n```")

    issue = browser.get(f"/problems/{ID}").context["issue"]

    assert issue.count("`````") == 2


def test_a_problem_that_is_not_there_is_404(browser: Client):
    assert browser.get(f"/problems/{UUID(int=4)}").status_code == 404
    assert browser.post(f"/problems/{UUID(int=4)}/resolve").status_code == 404
    assert browser.get(f"/problems/{ID}/resolve").status_code == 405


@pytest.mark.parametrize(
    ("path", "expected", "status", "words"),
    [
        ("mute", {"how": "grows-10"}, "muted", "Muted until it has failed 10 times more."),
        ("mute", {"how": "version"}, "muted", "Muted until another version fails by it."),
        ("mute", {"how": "week"}, "muted", "Muted for a week."),
        ("mute", {"how": "always"}, "muted", "Muted until it is unmuted."),
        ("mute", {"how": "<script>"}, "new", "Nothing was done"),
        ("mute", {}, "new", "Nothing was done"),
        ("resolve", {}, "resolved", "Resolved."),
        ("unmute", {}, "new", "It is open again."),
        ("assign", {"assignee": "ada\x00  lovelace "}, "new", "Assigned to ada lovelace."),
        ("assign", {}, "new", "Assigned to nobody."),
    ],
)
def test_people_decide_about_it(browser: Client, path: str, expected: dict[str, str], status: str, words: str):
    failed()
    work_on_problems(timezone.now())

    answer = browser.post(f"/problems/{ID}/{path}", expected, follow=True)

    assert Problem.objects.get().status == status
    assert words in shown(answer)


def test_its_failed_runs_are_retried_by_a_preview(browser: Client):
    flow = make_flow("etl")
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=flow)
    can, cannot = failed(flow, deployment_id=deployment.pk), failed(flow)
    failed(flow, cause=OTHER, deployment_id=deployment.pk)

    line = browser.get(f"/problems/{ID}").context["line"]
    scope = browser.get(line.retry_address).context["scope"]

    assert str(line.failed) == "2"
    assert [run.pk for run in scope.runs] == [can.pk]
    assert [number for _, number in scope.refused] == [1]
    assert cannot.pk not in {run.pk for run in scope.runs}


def test_hostile_texts_stay_texts(browser: Client):
    hostile = cause_of(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)])
    failed(make_flow("etl"), cause=hostile, message=HOSTILE, flow_version=HOSTILE)
    work_on_problems(timezone.now())
    Problem.objects.update(assignee=HOSTILE, resolution=HOSTILE)

    for address in ("/problems", f"/problems/{UUID(hostile.fingerprint)}", "/", "/problems?status=%3Cscript%3E"):
        assert HOSTILE not in browser.get(address).content.decode()


@pytest.mark.parametrize("query", ["?status=nonsense", "?after=nonsense", "?after=2026-01-01T00:00:00Z~1"])
def test_odd_addresses_show_the_first_page(browser: Client, query: str):
    failed()

    assert len(browser.get(f"/problems{query}").context["lines"]) == 1


def test_pages_take_a_constant_number_of_queries(browser: Client, django_assert_max_num_queries):
    flow = make_flow("etl")
    for number in range(40):
        failed(flow, cause=cause_of("KeyError", "x", [(f"f{number}.py", "load")]))
    for _ in range(15):
        failed(flow)
    browser.get("/problems")

    with django_assert_max_num_queries(12):
        page = browser.get("/problems")
    with django_assert_max_num_queries(12):
        browser.get(f"/problems/{ID}")
    with django_assert_max_num_queries(12):
        browser.get(f"/runs?problem={ID}")

    assert len(page.context["lines"]) == 25
    assert len(browser.get(f"/problems{page.context['next']}").context["lines"]) == 16


def test_waiting_runs_are_grouped_below(browser: Client):
    past = timezone.now() - timedelta(hours=1)
    flow = make_flow("etl")
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=flow)
    make_flow_run(make_state("SCHEDULED", scheduled_time=past), flow=flow, deployment_id=deployment.pk, now=past)

    assert [len(line.group.runs) for line in browser.get("/problems").context["waiting"]] == [1]


# --- where else they are named ----------------------------------------------------------------------------------------


def test_the_first_page_names_the_problem(browser: Client):
    for _ in range(2):
        failed()
    work_on_problems(timezone.now())

    page = browser.get("/")

    need = page.context["needs"].lines[0]
    assert (need.cause, need.cause_address) == ("KeyError: 'price'", f"/problems/{ID}")
    assert need.extent == "2 runs · etl · new"


def test_muted_and_resolved_problems_need_no_attention(browser: Client):
    failed()
    failed(cause=OTHER)
    work_on_problems(timezone.now())
    mute_problem(problem_id=ID, now=timezone.now())

    needs = browser.get("/").context["needs"]

    assert needs.total == 1
    assert needs.lines[0].cause_address == f"/problems/{UUID(OTHER.fingerprint)}"


def test_a_failed_run_names_its_problem(browser: Client):
    runs = [failed() for _ in range(3)]
    work_on_problems(timezone.now())

    page = shown(browser.get(f"/runs/{runs[0].pk}"))

    assert "Same cause as 2 other runs, the first" in page
    assert f'href="/problems/{ID}"' in page
