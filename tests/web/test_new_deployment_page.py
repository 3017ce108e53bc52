"""A deployment without code: its source is said, an agent answers with flows, and one of them is deployed."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment, WorkPool
from orchestration.core.states import StateType
from orchestration.services import propose_flow_run_state
from orionflow.contract.discovery import ARTIFACT_TYPE
from orionflow.contract.kinds import FINDER_ENTRYPOINT, FINDER_NAME
from runs.models import Artifact, FlowRun
from tests.factories import make_artifact, make_state
from tests.services.dispatching import make_agent
from tests.web.conftest import HOSTILE

GIT = {
    "kind": "git",
    "address": "https://git.example/team/flows.git",
    "branch": "main",
    "folder": "jobs",
    "queue": "default-agent-pool / default",
}
ETL = {
    "name": "nightly-etl",
    "entrypoint": "etl.py:etl",
    "description": "Loads a day.",
    "version": "7",
    "tags": ["prod"],
    "parameters": {
        "type": "object",
        "properties": {"day": {"type": "string"}, "limit": {"type": "integer", "default": 5}},
        "required": ["day"],
    },
}
ANSWER = {"flows": [ETL], "problems": [{"file": "broken.py", "reason": "No module named 'x'"}], "files": 3}
DEPLOYED = {
    "name": "prod",
    "queue": "default-agent-pool / default",
    "when": "never",
    "parameters": '{"day": "today"}',
    "enforce_parameter_schema": "on",
    "description": "Loads.",
}
STEPS = [
    {
        "orionflow.storage.git_clone": {
            "repository": "https://git.example/team/flows.git",
            "branch": "main",
            "directory": "jobs",
        }
    }
]


def asked(browser: Client, **more: str) -> FlowRun:
    answer = browser.post("/deployments/new", {**GIT, **more})
    assert answer.status_code == 302, answer.content.decode()
    return FlowRun.objects.get(flow__name=FINDER_NAME)


def answered(run: FlowRun, answer: Any = ANSWER) -> None:
    data = answer if isinstance(answer, str) else json.dumps(answer)
    make_artifact(None, type=ARTIFACT_TYPE, data=data, flow_run_id=run.pk)
    end(run, "COMPLETED")


def end(run: FlowRun, state: str, message: str | None = None) -> None:
    proposed = make_state(state, message=message)
    propose_flow_run_state(run_id=run.pk, proposed=proposed, now=timezone.now(), force=True)


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_the_list_of_deployments_leads_here(browser: Client):
    assert 'href="/deployments/new"' in browser.get("/deployments").content.decode()
    assert "orion agent start" in browser.get("/deployments/new").content.decode()


def test_a_source_becomes_a_run_that_an_agent_takes(browser: Client):
    run = asked(browser)

    deployment = Deployment.objects.get()
    assert run.parameters == {"pull_steps": STEPS}
    assert (run.deployment_id, run.state_type) == (deployment.pk, StateType.SCHEDULED)
    assert (deployment.entrypoint, deployment.work_queue.name) == (FINDER_ENTRYPOINT, "default")


def test_one_deployment_asks_for_each_queue(browser: Client):
    for _ in range(2):
        browser.post("/deployments/new", GIT)

    assert Deployment.objects.count() == 1
    assert FlowRun.objects.count() == 2


def test_a_pool_that_requires_job_variables_says_where_to_set_them(browser: Client):
    variables: dict[str, Any] = {"properties": {"cpus": {"type": "integer"}}, "required": ["cpus"]}
    template = {"job_configuration": {"cpus": "{{ cpus }}"}, "variables": variables}
    # Creates the pool.
    asked(browser)
    WorkPool.objects.update(base_job_template=template)

    answer = browser.post("/deployments/new", GIT)

    assert answer.status_code == 422
    assert "is a required property. A search for flows sets none, so give each required variable a default" in text_of(
        answer
    )
    variables["properties"]["cpus"]["default"] = 1
    WorkPool.objects.update(base_job_template=template)
    assert browser.post("/deployments/new", GIT).status_code == 302


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        ({"kind": "module", "address": "team.flows"}, {"module": "team.flows"}),
        (
            {"kind": "folder", "address": "/srv/flows"},
            {"pull_steps": [{"orionflow.storage.set_working_directory": {"directory": "/srv/flows"}}]},
        ),
        (
            {"kind": "remote", "address": "s3://bucket/flows", "folder": ""},
            {"pull_steps": [{"orionflow.storage.pull_from_remote_storage": {"url": "s3://bucket/flows"}}]},
        ),
        (
            {"secret": "github", "branch": "", "folder": ""},
            {
                "pull_steps": [
                    {
                        "orionflow.storage.git_clone": {
                            "repository": GIT["address"],
                            "access_token": "{{ prefect.blocks.secret.github }}",
                        }
                    }
                ]
            },
        ),
    ],
)
def test_each_kind_of_source_is_fetched_as_deployments_fetch_theirs(browser: Client, more, parameters):
    run = asked(browser, **more)

    assert run.parameters == parameters
    page = browser.get(f"/deployments/new/{run.pk}")
    assert page.context["found"].source.kind == more.get("kind", "git")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"address": ""}, "required"),
        ({"address": "flows"}, "Write an address such as"),
        ({"address": "https://me:hunter2@git.example/x.git"}, "name a secret instead"),
        ({"kind": "folder", "address": "flows"}, "whole path"),
        ({"kind": "module", "address": "no module"}, "as Python imports it"),
        ({"kind": "remote", "address": "bucket"}, "s3://bucket/flows"),
        ({"kind": "nothing"}, "Select a valid choice"),
        ({"queue": "nowhere / at all"}, "Select a valid choice"),
        ({"address": "https://git.example/\x00"}, "Null characters"),
    ],
)
def test_what_is_no_source_is_refused_with_the_reason(browser: Client, more, words):
    answer = browser.post("/deployments/new", {**GIT, **more})

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not FlowRun.objects.exists()


def test_the_page_without_an_agent_explains_how_to_start_one(browser: Client):
    page = text_of(browser.get(f"/deployments/new/{asked(browser).pk}"))

    assert "No agent serves this queue" in page
    assert "orion agent start -q default" in page


def test_the_page_with_an_agent_shows_that_it_searches(browser: Client):
    run = asked(browser)
    make_agent(queues=("default",), now=timezone.now())

    assert "An agent is about to look" in text_of(browser.get(f"/deployments/new/{run.pk}"))


def test_the_answer_is_listed_with_what_cannot_be_loaded(browser: Client):
    run = asked(browser)
    answered(run)

    page = text_of(browser.get(f"/deployments/new/{run.pk}"))

    assert "<title>1 flow found · Orion</title>" in page
    assert "etl.py:etl" in page
    assert "<code>day</code>, <code>limit</code>" in page
    assert "broken.py" in page
    assert f'href="/deployments/new/{run.pk}/0"' in page


def test_code_without_flows_is_reported(browser: Client):
    run = asked(browser)
    answered(run, {"flows": [], "files": 12})

    assert "No flow in 12 files" in text_of(browser.get(f"/deployments/new/{run.pk}"))


def test_a_failed_search_shows_the_reason(browser: Client):
    run = asked(browser)
    end(run, "FAILED", "CodeUnavailable: Cloning https://git.example/team/flows.git failed")

    page = text_of(browser.get(f"/deployments/new/{run.pk}"))

    assert "Cloning https://git.example/team/flows.git failed" in page
    assert "<title>No flows found · Orion</title>" in page


@pytest.mark.parametrize(
    "answer",
    [
        "nothing",
        "[]",
        '{"flows": 7}',
        '{"flows": [{"name": "a/b", "entrypoint": "x"}]}',
        '{"flows": [{"name": "a\\u0000", "entrypoint": "x"}]}',
        '{"flows": [{"name": "a", "entrypoint": "x", "parameters": []}]}',
        '{"flows": [], "extra": 1}',
        json.dumps({"flows": [{**ETL, "description": "x" * 3_000}]}),
        json.dumps({"flows": [ETL] * 201}),
        '{"flows": ' + "[" * 200 + "]" * 200 + "}",
        "x" * 800_000,
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(browser: Client, answer: str):
    run = asked(browser)
    answered(run, answer)

    page = browser.get(f"/deployments/new/{run.pk}")

    assert page.status_code == 200
    assert "cannot be read" in page.content.decode()
    assert browser.get(f"/deployments/new/{run.pk}/0").status_code == 404


def test_texts_of_an_answer_are_texts(browser: Client):
    run = asked(browser)
    hostile = {**ETL, "name": "flow {{ 7|add:7 }}", "entrypoint": HOSTILE, "description": HOSTILE}
    answered(run, {"flows": [hostile], "problems": [{"file": HOSTILE, "reason": HOSTILE}], "files": 1})

    for path in (f"/deployments/new/{run.pk}", f"/deployments/new/{run.pk}/0"):
        page = browser.get(path).content.decode()
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_a_found_flow_is_deployed_with_its_source(browser: Client):
    run = asked(browser)
    answered(run)

    browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "when": "cron", "cron": "0 6 * * *"})

    made = Deployment.objects.select_related("flow").get(name="prod")
    assert (made.flow.name, made.entrypoint, made.pull_steps) == ("nightly-etl", "etl.py:etl", STEPS)
    assert (made.version, made.tags, made.description) == ("7", ["prod"], "Loads.")
    assert made.parameter_openapi_schema == ETL["parameters"]
    assert (made.parameters, made.enforce_parameter_schema) == ({"day": "today"}, True)
    assert made.schedules.get().definition["cron"] == "0 6 * * *"
    assert "prod</a>" in browser.get(f"/deployments/new/{run.pk}").content.decode()


def test_deployed_and_run_it_is_due_at_once(browser: Client):
    run = asked(browser)
    answered(run)

    answer = browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "do": "run"})

    made = FlowRun.objects.get(flow__name="nightly-etl")
    assert answer.url == f"/runs/{made.pk}"
    assert made.parameters == {"day": "today"}


def test_a_run_that_needs_parameters_is_asked_for_them(browser: Client):
    run = asked(browser)
    answered(run)

    answer = browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "do": "run", "parameters": "{}"}, follow=True)

    made = Deployment.objects.get(name="prod")
    assert answer.redirect_chain == [(f"/deployments/{made.pk}/run", 302)]
    assert "day" in answer.content.decode()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": ""}, "required"),
        ({"name": "a/b"}, "A name must not contain"),
        ({"when": "interval", "every": ""}, "Say when it is to run."),
        ({"when": "cron", "cron": "nonsense"}, "nonsense"),
        ({"when": "interval", "every": "1", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"parameters": '{"limit": "many"}'}, "limit"),
        ({"parameters": "["}, "not JSON"),
    ],
)
def test_an_invalid_deployment_is_explained_and_not_created(browser: Client, more, words):
    run = asked(browser)
    answered(run)

    answer = browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "unit": "hours", **more})

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert Deployment.objects.count() == 1


def test_a_name_that_is_taken_changes_nothing(browser: Client):
    run = asked(browser)
    answered(run)
    browser.post(f"/deployments/new/{run.pk}/0", DEPLOYED)

    answer = browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "description": "Another."})

    assert answer.status_code == 422
    assert "choose another name" in answer.content.decode()
    assert Deployment.objects.get(name="prod").description == "Loads."


def test_a_schema_that_is_none_is_refused(browser: Client):
    run = asked(browser)
    answered(run, {"flows": [{**ETL, "parameters": {"type": "nonsense"}}], "files": 1})

    answer = browser.post(f"/deployments/new/{run.pk}/0", DEPLOYED)

    assert answer.status_code == 422
    assert not Deployment.objects.filter(name="prod").exists()


def test_pages_take_a_constant_number_of_queries(browser: Client, django_assert_max_num_queries):
    run = asked(browser)
    answered(run, {"flows": [{**ETL, "name": f"f-{number}"} for number in range(200)], "files": 200})

    for path in ("/deployments/new", f"/deployments/new/{run.pk}", f"/deployments/new/{run.pk}/7"):
        with django_assert_max_num_queries(12):
            assert browser.get(path).status_code == 200


def test_only_searches_are_shown(browser: Client):
    run = asked(browser)
    answered(run)
    browser.post(f"/deployments/new/{run.pk}/0", {**DEPLOYED, "do": "run"})
    other = FlowRun.objects.get(flow__name="nightly-etl")

    for path in (f"/deployments/new/{other.pk}", f"/deployments/new/{uuid4()}", f"/deployments/new/{run.pk}/1"):
        assert browser.get(path).status_code == 404
    assert Artifact.objects.count() == 1
