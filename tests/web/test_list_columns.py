"""The columns of the list of runs: chosen without scripts, kept in its address."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.web.deployments import make_deployment
from tests.web.rows import make_flow, make_run

EVERY = "state,run,deployment,tags,queue,version,made-by,expected,started,ended,attempts,duration"
BY_ADA = {"id": None, "type": "USER", "display_value": "ada"}


def headings(page: str) -> list[str]:
    head = page.partition("<thead>")[2].partition("</thead>")[0]
    return [one.partition(">")[2].partition("<")[0] for one in head.split("<th ")[1:]]


@pytest.fixture
def run(db: None) -> Any:
    deployment = make_deployment("nightly")
    return make_run(
        "brave-otter",
        state="FAILED",
        tags=["prod", "eu"],
        deployment_id=deployment.pk,
        deployment_version="7",
        work_queue_name="fast",
        created_by=BY_ADA,
    )


def test_the_columns_of_an_address_are_shown_in_the_order_of_the_list(browser: Client, run: Any):
    usual = browser.get("/runs").content.decode()
    every = browser.get(f"/runs?columns={EVERY}").content.decode()
    few = browser.get("/runs?columns=ended,deployment,ended", follow=True).content.decode()

    assert headings(usual) == ["State", "Run", "Tags", "Started", "Duration"]
    assert headings(few) == ["State", "Run", "Deployment", "Ended"]
    assert headings(every)[2:6] == ["Deployment", "Tags", "Queue", "Version"]
    assert len(headings(every)) == 12
    for text in ("nightly</a>", ">fast</td>", ">7</td>", ">ada</td>", 'data-label="Attempts">1<'):
        assert text in every
        assert text not in usual
    assert 'name="columns" value="state,run,deployment,tags' in every


def test_the_form_leads_to_one_short_address(browser: Client, run: Any):
    chosen = browser.get("/runs?state=failed&columns=state,run&columns=ended&columns=tags")
    usual = browser.get("/runs?state=failed&columns=state,run&columns=tags&columns=started&columns=duration")
    nothing_else = browser.get("/runs?columns=state,run&columns=tags&columns=started&columns=duration")
    none = browser.get("/runs?columns=state,run")

    assert chosen["location"] == "/runs?state=failed&columns=state%2Crun%2Ctags%2Cended"
    assert usual["location"] == "/runs?state=failed"
    assert nothing_else["location"] == "/runs?view=all"
    assert headings(none.content.decode()) == ["State", "Run"]


def test_an_unknown_column_is_named_beside_the_choice(browser: Client, run: Any):
    page = browser.get("/runs?columns=tags,colour").content.decode()

    assert "There is no column &#x27;colour&#x27;." in page
    assert headings(page) == ["State", "Run", "Tags"]


def test_columns_stay_while_the_filter_changes(browser: Client, run: Any):
    page = browser.get("/runs?columns=state,run,ended&state=failed&tag=prod&tag=eu").content.decode()

    assert '<input type="hidden" name="columns" value="state,run,ended">' in page
    assert 'href="/runs?columns=state%2Crun%2Cended">Clear all</a>' in page
    for name, value in (("state", "failed"), ("tag", "prod"), ("tag", "eu")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in page


def test_columns_cost_no_query_for_each_row(browser: Client, django_assert_max_num_queries: Any):
    for number in range(30):
        deployment = make_deployment(f"nightly-{number}")
        make_run(f"run-{number}", flow=make_flow(f"flow-{number}"), deployment_id=deployment.pk, created_by=BY_ADA)

    with django_assert_max_num_queries(12):
        browser.get(f"/runs?columns={EVERY}")
