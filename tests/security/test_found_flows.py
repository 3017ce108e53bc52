"""Looking for flows executes code that parameters name: only the page for it may set these parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.blocks.services.variables import create_variable
from deployments.definitions.core.code_sources import CodeSource, SourceKind
from deployments.definitions.services.discovery import ask_for_flows
from deployments.models import Deployment, Schedule
from orion_site.accounts.permissions import Actor, answer_to
from orion_site.accounts.users import actor_of_user, set_roles
from orionflow.contract.kinds import FINDER_ENTRYPOINT
from runs.models import Flow, FlowRun
from tests.security.askers import Asker, key_of, user_with
from tests.security.attempts import Agent
from tests.security.test_authors_of_deployments import READ, admin, secret
from tests.security.test_objects import someone
from tests.services.dispatching import make_queue

__all__ = ["admin", "secret"]
pytestmark = pytest.mark.django_db
SOURCE = CodeSource(SourceKind.FOLDER, "/srv/flows")
SHELL = {"pull_steps": [{"orion.run_shell_script": {"script": "id"}}]}


def asked_by(actor: Actor | None) -> FlowRun:
    make_queue()
    answer_to(actor)
    try:
        return ask_for_flows(
            source=SOURCE,
            pool_name="default-agent-pool",
            queue_name="q",
            now=timezone.now(),
        )
    finally:
        answer_to(None)


@pytest.fixture
def run(ada: User) -> FlowRun:
    return asked_by(actor_of_user(ada)[0])


@pytest.mark.parametrize("role", ["operator", "deployer", "admin", "agent"])
def test_other_requests_cannot_set_what_is_executed(run: FlowRun, asker: Callable[[str], Asker], role: str):
    client, deployment = asker(role), Deployment.objects.get()

    answers = [
        client.call("POST", f"/api/deployments/{deployment.pk}/create_flow_run", {"parameters": SHELL}),
        client.call("PATCH", f"/api/flow_runs/{run.pk}", {"parameters": SHELL}),
    ]

    assert [one.status_code for one in answers] == [403, 403]
    assert FlowRun.objects.get().parameters == run.parameters


OF_CODE = [
    SHELL,
    {"job_variables": {"env": {"LD_PRELOAD": "/tmp/x.so"}}},
    {"parameters": SHELL},
    {"path": "/tmp"},
    {"entrypoint": "x.py:find"},
    {"enforce_parameter_schema": False},
    {"parameter_openapi_schema": None},
    {"schedules": [{"schedule": {"interval": 3600}, "parameters": SHELL}]},
]


@pytest.mark.parametrize("change", OF_CODE, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("role", ["deployer:work-pool:default-agent-pool", "deployer", "admin"])
def test_nobody_changes_what_the_deployment_executes(run: FlowRun, role: str, change: dict[str, Any]):
    client, deployment = Asker(key_of(someone(role))), Deployment.objects.get()
    again = {"flow_id": str(deployment.flow_id), "name": deployment.name, "entrypoint": deployment.entrypoint, **change}
    before = Deployment.objects.values().get()

    answers = [
        client.call("PATCH", f"/api/deployments/{deployment.pk}", change),
        client.call("POST", "/api/deployments/", again),
    ]

    assert [(one.status_code, one.json().get("code")) for one in answers] == [(403, "code_in_parameters")] * 2
    assert Deployment.objects.values().get() == before
    assert not Schedule.objects.exists()


def test_nobody_schedules_searches(run: FlowRun, asker: Callable[[str], Asker]):
    """Their parameters would name code, and nobody would be responsible for it."""
    deployment = Deployment.objects.get()
    stored = Schedule.objects.create(deployment=deployment, definition={"interval": 3600}, active=False)
    path, client = f"/api/deployments/{deployment.pk}/schedules", asker("deployer")

    answers = [
        client.call("POST", path, [{"schedule": {"interval": 3600}, "parameters": SHELL}]),
        client.call("PATCH", f"{path}/{stored.pk}", {"parameters": SHELL}),
    ]

    assert [one.status_code for one in answers] == [403, 403]
    assert Schedule.objects.get().parameters == {}


def test_schedules_of_earlier_versions_may_be_paused(run: FlowRun, asker: Callable[[str], Asker]):
    deployment = Deployment.objects.get()
    stored = Schedule.objects.create(deployment=deployment, definition={"interval": 3600}, active=True)
    path, client = f"/api/deployments/{deployment.pk}/schedules/{stored.pk}", asker("deployer")

    changes = [{"active": False, "parameters": SHELL}, {"active": False}, {"active": True}]
    answers = [client.call("PATCH", path, change).status_code for change in changes]

    assert answers == [403, 204, 403]
    assert (Schedule.objects.get().active, Schedule.objects.get().parameters) == (False, {})


def test_no_other_deployment_gets_the_code_of_searches(run: FlowRun, asker: Callable[[str], Asker]):
    """Its runs would have the rights of whoever started them, also if that was before."""
    client = asker("deployer")
    flow = client.call("POST", "/api/flows/", {"name": "etl"}).json()
    body = {"name": "daily", "flow_id": flow["id"], "work_queue_name": "q", "entrypoint": "flows.py:etl"}
    made = client.call("POST", "/api/deployments/", body).json()
    finder = {"entrypoint": FINDER_ENTRYPOINT}

    answers = [
        client.call("PATCH", f"/api/deployments/{made['id']}", finder),
        client.call("POST", "/api/deployments/", {**body, **finder}),
        client.call("POST", "/api/deployments/", {**body, **finder, "name": "other"}),
    ]

    assert [one.status_code for one in answers] == [403] * 3


def test_it_may_be_paused_described_and_tagged(run: FlowRun, asker: Callable[[str], Asker]):
    client, path = asker("deployer"), f"/api/deployments/{Deployment.objects.get().pk}"
    stored = client.get(path).json()
    same = {name: stored[name] for name in ("parameters", "infra_overrides", "pull_steps", "path", "entrypoint")}

    answer = client.call("PATCH", path, {**same, "tags": ["ours"], "description": "x", "paused": True})

    assert answer.status_code == 204
    assert Deployment.objects.get().tags == ["ours"]


def test_job_variables_of_a_search_are_settled(run: FlowRun, asker: Callable[[str], Asker]):
    answer = asker("deployer").call("PATCH", f"/api/flow_runs/{run.pk}", {"job_variables": {"python": "/tmp/python"}})

    assert (answer.status_code, FlowRun.objects.get().job_variables) == (403, {})


def test_a_search_executes_nothing_that_was_stored_before(run: FlowRun, ada: User):
    """Before such changes were refused, somebody may have made them."""
    FlowRun.objects.all().delete()
    odd = {**SHELL, "path": "/tmp", "job_variables": {"env": {"LD_PRELOAD": "/tmp/x.so"}}, "parameters": SHELL}
    Deployment.objects.update(**odd, manifest_path="/tmp/m", storage_document_id=uuid4())
    Schedule.objects.create(deployment=Deployment.objects.get(), definition={"interval": 3600}, parameters=SHELL)

    asked_by(actor_of_user(ada)[0])
    agent = Agent(Asker(key_of(user_with("agent", "smith"))), "smith")
    [claimed] = agent.call("claim", limit=1).json()

    deployment = claimed["deployment"]
    assert (deployment["pull_steps"], deployment["path"], deployment["job_variables"]) == (None, None, {})
    assert claimed["flow_run"]["parameters"] == run.parameters
    assert Deployment.objects.get().storage_document_id is None
    assert not Schedule.objects.exists()


def attempt(ada: User) -> Asker:
    agent = Agent(Asker(key_of(user_with("agent", "smith"))), "smith")
    return Asker(agent.call("claim", limit=1).json()[0]["run_token"])


def test_it_reads_the_secrets_of_the_requesting_user(run: FlowRun, ada: User, secret: Any):
    assert attempt(ada).get(READ).json()["data"]["password"] == "open sesame"


def test_found_flows_cannot_read_secrets_of_others(run: FlowRun, ada: User, secret: Any):
    """The deployment is shared, and an admin used it before."""
    FlowRun.objects.all().delete()
    dora = user_with("deployer", "dora")
    set_roles(name="deployers", roles=["viewer", "deployer:work-pool:default-agent-pool"])
    asked_by(Actor("dora", frozenset(), user_id=dora.pk))

    assert attempt(ada).get(READ).status_code == 403


@pytest.mark.parametrize("kind", ["DEPLOYMENT", "RETRY", "FLOW_RUN"])
def test_searches_that_no_user_started_reach_nothing(run: FlowRun, ada: User, secret: Any, kind: str):
    FlowRun.objects.update(created_by={"id": str(uuid4()), "type": kind, "display_value": "x"})
    create_variable(name="season", value="summer", tags=[], now=timezone.now())
    flow = Flow.objects.create(name="payroll")
    theirs = Deployment.objects.create(flow=flow, name="pay", entrypoint="pay.py:pay")
    token = attempt(ada)

    assert token.get(READ).status_code == 403
    assert token.get(f"/api/deployments/{theirs.pk}").status_code == 404
    assert token.call("POST", f"/api/deployments/{theirs.pk}/create_flow_run", {}).status_code == 404
    assert token.call("POST", "/api/variables/filter", {}).json() == []


def test_the_owner_asks_with_every_secret(ada: User, secret: Any):
    asked_by(None)

    assert attempt(ada).get(READ).status_code == 200
