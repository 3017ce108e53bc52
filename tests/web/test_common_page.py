"""The page that says what a selection of runs has in common: from the list of runs, and in the answer of the API."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from orionflow.contract.fingerprints import cause_of
from runs.in_common import selectors
from runs.models import Environment, FlowRun, FlowRunState
from tests.factories import make_flow_run, make_state
from tests.web.conftest import HOSTILE
from tests.web.rows import make_flow, make_run


def fleet(number: int = 40, **columns) -> list[FlowRun]:
    """Runs of the last hours, of which those with the region "eu" failed."""
    now = timezone.now()
    runs = []
    for place in range(number):
        bad = place % 4 == 0
        run = make_run(
            f"run-{place}",
            state="FAILED" if bad else "COMPLETED",
            at=now - timedelta(minutes=5 * place + 5),
            **{"parameters": {"region": "eu" if bad else "us", "n": place % 3}, "tags": ["all"], **columns},
        )
        runs.append(run)
    return runs


def page_of(browser: Client, query: str = "?state=failed") -> str:
    answer = browser.get(f"/runs/common{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_common_facts_of_failed_runs_are_listed_with_their_numbers(browser: Client):
    fleet()

    page = page_of(browser)

    assert "parameter region &quot;eu&quot;" in page
    assert "10 of 10" in page
    assert "0 of 30" in page
    assert "only there" in page
    assert "parameter n" not in page.split("Not compared")[0]


def test_of_many_other_runs_the_newest_are_compared_since_the_oldest_of_these(browser: Client, monkeypatch):
    monkeypatch.setattr(selectors, "LOOKED_AT", 12)
    runs = fleet()

    compared = browser.get("/runs/common?state=failed").context["compared"]

    # Read are the newest twelve and as many as were chosen, 22; of these, six failed.
    assert compared.is_cut
    assert compared.begin == runs[21].expected_start_time
    assert (compared.found.chosen, compared.found.others) == (6, 16)


def test_its_number_leads_to_the_runs_that_prove_it(browser: Client):
    fleet()

    (line,) = browser.get("/runs/common?state=failed").context["lines"]

    listed = browser.get(f"/runs{line.address}").context["found"].page.rows
    assert len(listed) == line.finding.chosen_with == 10
    assert {run.parameters["region"] for run in FlowRun.objects.filter(pk__in=[run.pk for run in listed])} == {"eu"}


def test_agents_and_deployments_are_compared_by_name(browser: Client):
    deployment = Deployment.objects.create(name="nightly", flow=make_flow())
    for run in fleet(deployment_id=deployment.pk):
        agent = "agent w3" if run.state_type == "FAILED" else "agent w1"
        FlowRunState.objects.filter(flow_run=run, type="PENDING").update(author=agent)

    page = page_of(browser)

    assert "agent w3" in page
    assert "the same runs as" in page


def test_ticked_runs_can_be_asked_for(browser: Client):
    runs = fleet()
    bad = [run for run in runs if run.state_type == "FAILED"]

    query = "&".join(f"id={run.id}" for run in bad)

    assert "parameter region &quot;eu&quot;" in page_of(browser, f"?id=&{query}")


def test_other_flows_and_plans_are_not_compared_with(browser: Client):
    fleet()
    make_run("of-another", flow=make_flow("load"), at=timezone.now() - timedelta(minutes=1))
    make_run("planned", state="SCHEDULED", at=timezone.now() - timedelta(minutes=1))

    assert "compared with 30 other runs" in page_of(browser)


def test_runs_without_a_difference_show_that_nothing_was_found(browser: Client):
    for run in fleet():
        FlowRun.objects.filter(pk=run.pk).update(parameters={"region": "us"})

    assert "Nothing stands out" in page_of(browser)


def test_an_empty_selection_explains_what_to_do(browser: Client):
    page = page_of(browser)

    assert "No run matches" in page


def test_the_list_of_runs_leads_there_with_its_filter(browser: Client):
    fleet(4)

    page = browser.get("/runs?state=failed&since=-24h").content.decode()

    assert 'href="/runs/common?state=failed&amp;since=-24h"' in page
    assert "What do these have in common?" not in browser.get("/runs").content.decode()


@pytest.mark.parametrize("number", [8, 60])
def test_queries_do_not_depend_on_the_number_of_runs(browser: Client, django_assert_max_num_queries, number):
    deployment = Deployment.objects.create(name="nightly", flow=make_flow())
    fleet(number, deployment_id=deployment.pk)

    with django_assert_max_num_queries(12):
        page_of(browser)


def test_values_of_runs_are_shown_as_text(browser: Client):
    for run in fleet():
        if run.state_type == "FAILED":
            FlowRun.objects.filter(pk=run.pk).update(parameters={HOSTILE: HOSTILE}, flow_version=HOSTILE)

    page = page_of(browser)

    assert "&lt;script&gt;" in page
    assert HOSTILE not in page


def test_large_parameters_are_known_by_their_size(browser: Client):
    for run in fleet():
        if run.state_type == "FAILED":
            FlowRun.objects.filter(pk=run.pk).update(parameters={"text": "x" * 20_000})

    assert "size of parameter all of them" in page_of(browser)


def test_the_api_gives_the_same_answer(browser: Client):
    fleet()

    answer = browser.post(
        "/api/flow_runs/in_common",
        {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}},
        content_type="application/json",
    ).json()

    assert (answer["chosen"], answer["others"], answer["flows"], answer["certainty"]) == (10, 30, ["etl"], 0.99)
    (one,) = answer["findings"]
    assert (one["dimension"], one["value"], one["lift"]) == ("parameter region", '"eu"', None)
    assert one["text"].startswith('parameter region "eu": 100 % of the chosen runs')


def test_the_page_of_a_problem_asks_about_its_runs(browser: Client):
    cause = cause_of("KeyError", "'price'", [("load.py", "load_rows")])
    flow, now = make_flow("etl"), timezone.now()
    for place in range(24):
        state = make_state("FAILED", message="x", cause=cause.as_dict()) if place % 3 == 0 else make_state("COMPLETED")
        region = "eu" if place % 3 == 0 else "us"
        make_flow_run(state, flow=flow, now=now - timedelta(minutes=place + 1), parameters={"region": region})

    page = browser.get(f"/problems/{UUID(cause.fingerprint)}").content.decode()

    address = f"/runs/common?problem={UUID(cause.fingerprint)}"
    assert f'href="{address}"' in page
    assert "parameter region &quot;eu&quot;" in browser.get(address).content.decode()


def test_packages_are_compared_that_differ_between_environments(browser: Client):
    old, new = (
        Environment.objects.create(id=uuid4(), python="3.11.2", packages={"pandas": version, "six": "1.17"})
        for version in ("2.2", "2.3")
    )
    for run in fleet(parameters={}):
        environment = new if run.state_type == "FAILED" else old
        FlowRun.objects.filter(pk=run.pk).update(environment_id=environment.pk)

    answer = browser.get("/runs/common?state=failed")

    assert [line.finding.name for line in answer.context["lines"]] == ["package pandas 2.3"]
