"""Actions on all runs that a filter finds."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from runs.bulk_actions.services import work_on_bulk_actions
from runs.flow_runs.commands import cancel_flow_run, retry_flow_run
from runs.models import BulkAction, FlowRun
from tests.api.conftest import Api
from tests.factories import make_flow, make_flow_run, state_of


def deployed(state: str = "FAILED", **fields: object) -> FlowRun:
    flow = make_flow("etl")
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=flow)
    return make_flow_run(state, flow=flow, deployment_id=deployment.pk, now=timezone.now(), **fields)


def test_the_page_shows_the_runs_to_change_and_those_left_out(browser: Client):
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


def test_many_runs_are_changed_in_the_background_on_a_page_of_their_own(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.bulk_actions.services.FEW", 2)
    runs = [deployed() for _ in range(3)]

    answer = browser.post("/runs/all/retry?flow=etl")

    (bulk,) = BulkAction.objects.all()
    assert answer["location"] == f"/bulk/{bulk.pk}"
    before = browser.get(f"/bulk/{bulk.pk}").content.decode()
    assert "Retry 3 runs · 0 of 3 · Orion" in before
    assert "Under way" in before
    assert {state_of(run) for run in runs} == {"FAILED"}
    work_on_bulk_actions(timezone.now())
    after = browser.get(f"/bulk/{bulk.pk}").content.decode()
    assert "3 done" in after
    assert "Under way" not in after
    assert {state_of(run) for run in runs} == {"SCHEDULED"}


def test_the_button_means_the_runs_of_the_page_and_works_once(browser: Client):
    meant = deployed()
    page = browser.get("/runs/all/retry?flow=etl").context
    sent = {"as_of": page["as_of"], "id": str(page["new_id"])}
    later = deployed()

    browser.post("/runs/all/retry?flow=etl", sent)
    browser.post("/runs/all/retry?flow=etl", sent)

    assert (state_of(meant), state_of(later)) == ("SCHEDULED", "FAILED")
    assert BulkAction.objects.get().total == 1


@pytest.mark.parametrize("as_of", ["2020-01-01T00:00:00+00:00", "yesterday", "2026-01-01T00:00:00"])
def test_the_button_of_a_page_that_is_too_old_only_shows_it_again(browser: Client, as_of: str):
    run = deployed()

    answer = browser.post("/runs/all/retry?flow=etl", {"as_of": as_of})

    assert answer["location"] == "/runs/all/retry?flow=etl"
    assert state_of(run) == "FAILED"


def test_later_refusals_are_shown_with_links_to_the_outcomes(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.bulk.JUDGED", 1)
    deployed("COMPLETED")
    deployed()

    page = browser.post("/runs/all/retry?flow=etl", follow=True).content.decode()

    (bulk,) = BulkAction.objects.all()
    assert "1 stayed as it is: it completed." in page
    assert f'<a href="/bulk/{bulk.pk}">What came of each</a>' in page


def test_what_the_page_leaves_out_is_no_part_of_the_action(browser: Client):
    deployed()
    deployed("COMPLETED")

    browser.post("/runs/all/retry?flow=etl")

    (bulk,) = BulkAction.objects.all()
    assert (bulk.total, bulk.done, bulk.reasons) == (1, 1, {})


def test_a_stopped_action_leaves_runs_as_they_are(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.bulk_actions.services.FEW", 0)
    run = deployed()
    address = browser.post("/runs/all/retry?flow=etl")["location"]

    stopped = browser.post(f"{address}/stop", follow=True).content.decode()
    again = browser.post(f"{address}/stop", follow=True).content.decode()

    work_on_bulk_actions(timezone.now())
    assert "Stopped: no further run is changed." in stopped
    assert "There was nothing left to stop." in again
    assert "1 left" in again
    assert state_of(run) == "FAILED"


def test_the_page_of_an_action_shows_runs_by_their_outcome_with_what_they_are_now(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.pages.bulk.JUDGED", 1)
    retried, ended, deleted = deployed(), deployed("COMPLETED", name="calm-fox"), deployed(name="gone")
    browser.post("/runs/all/retry?flow=etl")
    (bulk,) = BulkAction.objects.all()
    deleted.delete()

    page = browser.get(f"/bulk/{bulk.pk}")
    refused = browser.get(f"/bulk/{bulk.pk}?tab=refused").content.decode()

    rows = {row.name: run and run.state_type for row, run in page.context["found"].rows}
    assert rows == {retried.name: "SCHEDULED", "gone": None}
    assert page.context["found"].reasons == [("it completed", 1)]
    assert 'href="/runs?flow=etl"' in page.content.decode()
    assert f'href="/runs/{ended.pk}"' in refused
    assert "it completed" in refused


def test_actions_are_listed_the_newest_first_and_the_first_visit_teaches(browser: Client):
    nothing = browser.get("/bulk").content.decode()
    deployed()
    browser.post("/runs/all/retry?flow=etl")
    browser.post("/runs/all/cancel?flow=etl")

    page = browser.get("/bulk")

    assert "No bulk action yet" in nothing
    assert [line.words for line in page.context["lines"]] == ["Cancel", "Retry"]
    assert "1 done" in page.content.decode()


def test_a_filter_of_the_api_is_shown_as_it_was_sent(browser: Client):
    deployed("RUNNING")
    one = Api().send("/bulk_actions/", {"action": "cancel", "flows": {"name": {"any_": ["etl"]}}}).json()

    page = browser.get(f"/bulk/{one['id']}").content.decode()

    assert "through the API" in page
    assert "any_" in page


def test_pages_of_actions_cost_the_same_few_queries_for_many_runs(browser: Client, django_assert_max_num_queries):
    for _ in range(30):
        deployed()
    address = browser.post("/runs/all/retry?flow=etl", follow=True) and f"/bulk/{BulkAction.objects.get().pk}"

    with django_assert_max_num_queries(8):
        browser.get(address)
    with django_assert_max_num_queries(8):
        browser.get("/bulk")


def test_of_more_runs_than_an_action_may_concern_the_newest_are_taken(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.bulk.MOST", 2)
    runs = [deployed() for _ in range(3)]

    page = browser.get("/runs/all/delete?flow=etl").content.decode()
    browser.post("/runs/all/delete?flow=etl")

    assert "These are the newest 2 runs that the filter finds; there are more." in page
    assert [FlowRun.objects.filter(pk=run.pk).exists() for run in runs] == [True, False, False]
    assert BulkAction.objects.get().is_cut


def test_a_search_concerns_the_runs_that_it_reached_and_says_how_far_that_was(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.pages.selectors.runs.SEARCHED", 2)
    runs = [deployed(tags=["prod"]) for _ in range(3)]

    answer = browser.get("/runs/all/retry?tag=prod")

    assert [run_id for run_id, _ in answer.context["scope"].chosen.runs] == [runs[2].pk, runs[1].pk]
    assert "older ones are not looked for" in answer.content.decode()


def test_of_many_runs_the_rules_are_asked_about_the_newest(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.bulk.JUDGED", 2)
    for state in ("FAILED", "FAILED", "COMPLETED"):
        deployed(state)

    page = browser.get("/runs/all/retry?flow=etl").content.decode()

    assert "Retry 3 runs?" in page
    assert "The rules were asked about the newest 2." in page
    assert "Left out of the newest 2" in page


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


@pytest.mark.parametrize("path", ["/", "/runs", "/task-runs", "/deployments", "/runs/all/retry"])
def test_more_tags_than_a_filter_takes_are_a_problem(browser: Client, path: str):
    answer = browser.get(f"{path}?{'&'.join(f'tag=t{place}' for place in range(40))}", follow=True)
    page = answer.content.decode()

    assert "A filter takes 12 tags; this address has 40, of which the first 12 are used." in page
    assert answer.redirect_chain == [] or path == "/runs/all/retry"
    assert "t11" in page
    assert 'value="t12"' not in page
    assert len(page) < 200_000
