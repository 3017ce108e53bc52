"""The link to the first page of a list keeps its filter and its tab."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.test import Client

from tests.factories import make_artifact
from tests.web.deployments import make_deployment
from tests.web.rows import make_flow, make_run, make_task_run

FIRST = re.compile(r'class="button"\s+href="([^"]*)">(?:Newest|First page)</a>')


def furnish() -> dict[str, str]:
    """Make two rows for each list, and return the ids in addresses."""
    flow, run = make_flow("etl-0"), make_run(flow=make_flow("etl-1"))
    for number in range(2):
        make_deployment(f"nightly-{number}")
        make_artifact(f"report-{number}")
        make_run(f"run-{number}", flow=flow)
        make_run(f"inner-{number}", parent_task_run=make_task_run(f"load-{number}", flow_run=run))
    return {"flow": str(flow.pk), "run": str(run.pk)}


@pytest.mark.parametrize(
    ("address", "size"),
    [
        ("/flows?q=etl-", "runs.pages.selectors.flows.FLOWS_PER_PAGE"),
        ("/flows/{flow}?since=-24h", "runs.pages.flow.RUNS_PER_PAGE"),
        ("/artifacts?q=report", "runs.pages.selectors.artifacts.KEYS_PER_PAGE"),
        ("/deployments?show=active&sort=name", "deployments.pages.selectors.deployment_lines.LINES_PER_PAGE"),
        ("/runs/{run}?tab=tasks&state=COMPLETED&task=etl.load", "runs.pages.selectors.run.TASKS_PER_PAGE"),
        ("/runs/{run}?tab=subflows", "runs.pages.selectors.run.TASKS_PER_PAGE"),
    ],
)
def test_it_leads_back_to_where_the_reader_began(
    browser: Client, monkeypatch: pytest.MonkeyPatch, address: str, size: str
):
    monkeypatch.setattr(size, 1)
    path, _, query = address.format(**furnish()).partition("?")
    following = browser.get(f"{path}?{query}").context["next"]

    (first,) = FIRST.findall(browser.get(path + following).content.decode())

    assert parse_qs(unescape(first).removeprefix("?")) == parse_qs(query)


def test_the_form_of_states_keeps_the_task_of_a_run(browser: Client):
    task = make_task_run()

    page = browser.get(f"/runs/{task.flow_run_id}?tab=tasks&task=etl.load&state=FAILED").content.decode()

    assert '<input type="hidden" name="task" value="etl.load">' in page
    assert 'href="?tab=tasks&amp;state=FAILED">Those of all tasks</a>' in page
