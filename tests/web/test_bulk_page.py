"""Actions on all runs that a filter finds."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from runs.flow_runs.commands import cancel_flow_run, retry_flow_run
from runs.models import FlowRun
from tests.factories import make_flow, make_flow_run, state_of


def deployed(state: str = "FAILED", **fields: object) -> FlowRun:
    flow = make_flow("etl")
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=flow)
    return make_flow_run(state, flow=flow, deployment_id=deployment.pk, now=timezone.now(), **fields)


def test_the_page_says_what_will_be_done_and_what_is_left_out(browser: Client):
    retried, ended = deployed(), deployed("COMPLETED")
    by_hand = make_flow_run("FAILED", flow=make_flow("etl"), now=timezone.now())

    page = browser.get("/runs/all/retry?flow=etl")

    scope = page.context["scope"]
    assert [run.pk for run in scope.runs] == [retried.pk]
    assert dict(scope.refused) == {
        "it completed": 1,
        "this run has no deployment, so nothing could start it again at a scheduled time": 1,
    }
    assert "Retry 1 run?" in page.content.decode()
    assert [state_of(run) for run in (retried, ended, by_hand)] == ["FAILED", "COMPLETED", "FAILED"]


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_what_the_page_leaves_out_is_what_is_refused(browser: Client, action: str):
    states = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    runs = [deployed(state) for state in states]
    scope = browser.get(f"/runs/all/{action}?flow=etl").context["scope"]
    concerned = {run.pk for run in scope.runs}
    before = {run.pk: state_of(run) for run in runs}
    commands = {"retry": retry_flow_run, "cancel": cancel_flow_run}

    refused = {run.pk for run in runs if commands[action](run_id=run.pk, now=timezone.now()).refusal}

    assert {run.pk: state_of(run) for run in runs if run.pk in refused} == {pk: before[pk] for pk in refused}
    completed = {runs[states.index("COMPLETED")].pk}
    assert concerned == {run.pk for run in runs} - refused - completed


def test_a_preview_writes_nothing(browser: Client):
    runs = [deployed("RUNNING"), deployed("SCHEDULED"), deployed("FAILED")]

    browser.get("/runs/all/cancel?flow=etl")

    assert [state_of(run) for run in runs] == ["RUNNING", "SCHEDULED", "FAILED"]
    assert not FlowRun.objects.exclude(refusal=None).exists()


def test_retrying_concerns_only_what_failed(browser: Client):
    retried, ended = deployed(), deployed("COMPLETED")

    answer = browser.post("/runs/all/retry?flow=etl", follow=True)

    assert (state_of(retried), state_of(ended)) == ("SCHEDULED", "COMPLETED")
    assert "1 run will be tried again." in answer.content.decode()
    assert answer.redirect_chain[-1][0] == "/runs?flow=etl"


def test_cancelling_and_deleting(browser: Client):
    running, other = deployed("RUNNING"), deployed("RUNNING", tags=["other"])

    browser.post(f"/runs/all/cancel?id={running.pk}")
    browser.post("/runs/all/delete?tag=other")

    assert state_of(running) in {"CANCELLING", "CANCELLED"}
    assert not FlowRun.objects.filter(pk=other.pk).exists()


def test_many_runs_are_changed_in_steps(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.bulk.STEP", 2)
    runs = [deployed() for _ in range(3)]

    first = browser.post("/runs/all/retry?flow=etl")
    second = browser.post("/runs/all/retry?flow=etl")

    assert (first["location"], second["location"]) == ("/runs/all/retry?flow=etl", "/runs?flow=etl")
    assert {state_of(run) for run in runs} == {"SCHEDULED"}


def test_a_filter_that_cannot_be_read_changes_nothing(browser: Client):
    run = deployed()

    answer = browser.post("/runs/all/delete?state=broken")

    assert answer["location"] == "/runs?state=broken"
    assert state_of(run) == "FAILED"


def test_where_nothing_is_left_the_page_offers_no_button(browser: Client):
    deployed("COMPLETED")

    page = browser.get("/runs/all/retry?flow=etl").content.decode()

    assert "Nothing to retry" in page
    assert '<form method="post"' not in page


def test_an_action_that_is_none_is_not_found(browser: Client):
    assert browser.get("/runs/all/burn").status_code == 404


def test_the_list_leads_to_what_is_shown_and_the_first_page_to_what_failed_alike(browser: Client):
    runs = [deployed() for _ in range(3)]

    shown = browser.get("/runs?state=failed").context["only_shown"]
    (need,) = browser.get("/").context["needs"].lines

    assert {run.pk for run in browser.get(f"/runs/all/retry{shown}").context["scope"].runs} == {run.pk for run in runs}
    assert need.action == "Retry 3…"
    assert len(browser.get(need.action_address).context["scope"].runs) == 3


def test_the_page_costs_the_same_few_queries_for_many_runs(browser: Client, django_assert_max_num_queries):
    for _ in range(30):
        deployed()

    with django_assert_max_num_queries(10):
        browser.get("/runs/all/retry?flow=etl")
