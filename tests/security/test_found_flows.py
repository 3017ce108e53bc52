"""Looking for flows executes code that parameters name: only the page for it may set these parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.definitions.core.code_sources import CodeSource, SourceKind
from deployments.definitions.services.discovery import ask_for_flows
from deployments.models import Deployment
from orion_site.accounts.permissions import Actor, answer_to
from orion_site.accounts.users import actor_of_user, set_roles
from runs.models import FlowRun
from tests.security.askers import Asker, key_of, user_with
from tests.security.attempts import Agent
from tests.security.test_authors_of_deployments import READ, admin, secret
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


def test_the_owner_asks_with_every_secret(ada: User, secret: Any):
    asked_by(None)

    assert attempt(ada).get(READ).status_code == 200
