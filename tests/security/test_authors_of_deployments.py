"""Who made a deployment: by the rights of its author its planned runs begin, and its runs read secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment
from orion_site.accounts.users import delete_user, set_active, set_groups, set_roles
from orion_site.audit.models import Entry
from runs.models import FlowRun
from tests.security.askers import Asker, key_of, user_with
from tests.security.attempts import Agent

pytestmark = pytest.mark.django_db

CODE = {"entrypoint": "flows.py:etl", "path": "/srv"}
HOURLY = {"schedules": [{"schedule": {"interval": 3600}}]}


@pytest.fixture
def dora(ada: User) -> Asker:
    return Asker(key_of(user_with("deployer", "dora")))


@pytest.fixture
def admin(asker: Callable[[str], Asker]) -> Asker:
    return asker("admin")


@pytest.fixture
def agent(ada: User) -> Agent:
    return Agent(Asker(key_of(user_with("agent", "smith"))), "smith")


def deployed(client: Any, **more: Any) -> dict[str, Any]:
    flow = client.call("POST", "/api/flows/", {"name": "etl"}).json()
    body = {"name": "daily", "flow_id": flow["id"], "work_queue_name": "q", **CODE, **more}
    answer = client.call("POST", "/api/deployments/", body)
    assert answer.status_code in {200, 201}, answer.json()
    made: dict[str, Any] = answer.json()
    return made


def make_due() -> FlowRun:
    """The first planned run, whose hour has come."""
    run = FlowRun.objects.filter(auto_scheduled=True).order_by("expected_start_time")[0]
    FlowRun.objects.filter(pk=run.pk).update(next_scheduled_start_time=timezone.now() - timedelta(seconds=30))
    return run


def reasons(client: Any, run: Any) -> dict[str, str]:
    return {one["code"]: one["text"] for one in client.get(f"/api/flow_runs/{run}/why").json()["reasons"]}


def test_a_deployment_and_its_schedules_name_who_made_and_changed_them(dora: Asker, admin: Asker):
    made = deployed(dora, **HOURLY)
    assert (made["created_by"]["display_value"], made["author"]) == ("dora", "dora")
    assert made["schedules"][0]["created_by"]["display_value"] == "dora"

    admin.call(
        "PATCH",
        f"/api/deployments/{made['id']}",
        {"description": "x", "schedules": [{"schedule": {"interval": 3600}, "max_scheduled_runs": 5}]},
    )

    found = dora.get(f"/api/deployments/{made['id']}").json()
    assert found["created_by"]["display_value"] == "dora"
    assert found["updated_by"]["display_value"] == "admin-account"
    assert found["schedules"][0]["updated_by"]["display_value"] == "admin-account"
    # Who changes a description says nothing of its code.
    assert found["author"] == "dora"


def test_the_user_who_sets_the_code_is_the_author(dora: Asker, admin: Asker):
    made = deployed(dora)

    admin.call("PATCH", f"/api/deployments/{made['id']}", {"entrypoint": "other.py:etl"})

    assert dora.get(f"/api/deployments/{made['id']}").json()["author"] == "admin-account"


def test_a_planned_run_begins_by_the_rights_of_its_author(dora: Asker, agent: Agent):
    deployed(dora, **HOURLY)
    run = make_due()

    assert [one["flow_run"]["id"] for one in agent.call("claim", limit=1).json()] == [str(run.pk)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: set_active(name="dora", is_active=False), "the user dora is disabled."),
        (lambda: delete_user(name="dora"), "the user was deleted."),
        (lambda: set_groups(name="dora", groups=[]), "the roles of dora do not allow it (deployments.run)."),
        (lambda: set_roles(name="deployers", roles=["operator:deployment:x/y"]), "the roles of dora do not allow it"),
    ],
    ids=["disabled", "deleted", "without roles", "of another"],
)
def test_runs_that_the_author_may_no_longer_start_are_held(
    dora: Asker, agent: Agent, asker: Callable[[str], Asker], change: Callable[[], None], reason: str
):
    deployed(dora, **HOURLY)
    run = make_due()
    change()

    assert agent.call("claim", limit=1).json() == []
    refused = agent.client.call("POST", f"/api/flow_runs/{run.pk}/set_state", {"state": {"type": "PENDING"}}).json()

    assert refused["status"] == "REJECT"
    assert reason in refused["details"]["reason"]
    assert reason in reasons(asker("viewer"), run.pk)["author_refused"]


def test_held_runs_start_after_another_deploy(dora: Asker, agent: Agent, asker: Callable[[str], Asker]):
    deployed(dora, **HOURLY)
    run = make_due()
    set_active(name="dora", is_active=False)

    deployed(asker("deployer"), **HOURLY)

    FlowRun.objects.filter(pk=run.pk).update(next_scheduled_start_time=timezone.now() - timedelta(seconds=30))
    assert len(agent.call("claim", limit=1).json()) == 1


def test_another_user_becomes_the_author(dora: Asker, agent: Agent, admin: Asker):
    made = deployed(dora, **HOURLY)
    make_due()
    set_active(name="dora", is_active=False)

    assert admin.call("POST", f"/api/deployments/{made['id']}/adopt").status_code == 204

    assert admin.get(f"/api/deployments/{made['id']}").json()["author"] == "admin-account"
    assert len(agent.call("claim", limit=1).json()) == 1


def test_rights_on_the_deployment_are_enough(dora: Asker, agent: Agent):
    deployed(dora, **HOURLY)
    make_due()

    set_roles(name="deployers", roles=["operator:deployment:etl/daily"])

    assert len(agent.call("claim", limit=1).json()) == 1


def test_runs_on_request_are_not_held(dora: Asker, agent: Agent, asker: Callable[[str], Asker]):
    made = deployed(dora)
    set_active(name="dora", is_active=False)

    started = asker("operator").call("POST", f"/api/deployments/{made['id']}/create_flow_run", {}).json()

    assert [one["flow_run"]["id"] for one in agent.call("claim", limit=1).json()] == [started["id"]]


def test_held_runs_keep_no_others_from_being_found(dora: Asker, agent: Agent, asker: Callable[[str], Asker]):
    deployed(dora, **HOURLY)
    FlowRun.objects.update(next_scheduled_start_time=timezone.now() - timedelta(seconds=60))
    made = deployed(asker("deployer"), name="other")
    set_active(name="dora", is_active=False)
    started = asker("operator").call("POST", f"/api/deployments/{made['id']}/create_flow_run", {}).json()

    assert [one["flow_run"]["id"] for one in agent.call("claim", limit=1).json()] == [started["id"]]


def test_the_owner_of_the_server_answers_for_what_it_deployed(api: Any, agent: Agent):
    flow = api.send("/flows/", {"name": "etl"}).json()
    made = api.send("/deployments/", {"name": "d", "flow_id": flow["id"], "work_queue_name": "q", **CODE, **HOURLY})
    make_due()

    assert {made.json()[name] for name in ("created_by", "updated_by")} == {None}
    assert "author" not in made.json()
    assert len(agent.call("claim", limit=1).json()) == 1


# --- Secrets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(admin: Asker) -> dict[str, Any]:
    """A block with a password: login/mine."""
    block_type = admin.call("POST", "/api/block_types/", {"name": "Login", "slug": "login"}).json()
    fields = {"properties": {"password": {"type": "string", "format": "password"}}, "secret_fields": ["password"]}
    schema = admin.call("POST", "/api/block_schemas/", {"block_type_id": block_type["id"], "fields": fields}).json()
    body = {
        "name": "mine",
        "block_type_id": block_type["id"],
        "block_schema_id": schema["id"],
        "data": {"password": "open sesame"},
    }
    document: dict[str, Any] = admin.call("POST", "/api/block_documents/", body).json()
    return document


READ = "/api/block_types/slug/login/block_documents/name/mine?include_secrets=true"


def attempt_of(agent: Agent, made: dict[str, Any], starter: Asker) -> Asker:
    started = starter.call("POST", f"/api/deployments/{made['id']}/create_flow_run", {}).json()
    [claimed] = agent.call("claim", limit=1).json()
    assert claimed["flow_run"]["id"] == started["id"]
    return Asker(claimed["run_token"])


def in_part(name: str = "dora") -> None:
    """A deployer of this deployment alone, who may read no secrets."""
    set_roles(name="deployers", roles=["deployer:deployment:etl/daily", "viewer"])


def test_a_run_reads_what_its_author_may_read(dora: Asker, agent: Agent, secret: Any):
    attempt = attempt_of(agent, deployed(dora), dora)

    assert attempt.get(READ).json()["data"]["password"] == "open sesame"


def test_a_run_whose_author_may_read_no_secrets_reads_what_its_deployment_declares(
    dora: Asker, agent: Agent, secret: Any, admin: Asker
):
    made = deployed(dora)
    admin.call("PATCH", f"/api/deployments/{made['id']}", {"secrets": ["login/mine"]})
    in_part()
    attempt = attempt_of(agent, made, dora)

    assert attempt.get(READ).json()["data"]["password"] == "open sesame"
    assert attempt.get(f"/api/block_documents/{secret['id']}?include_secrets=true").status_code == 200


def test_a_run_reads_no_other_secrets(dora: Asker, agent: Agent, secret: Any):
    made = deployed(dora)
    in_part()
    attempt = attempt_of(agent, made, dora)

    asked = [
        attempt.get(READ),
        attempt.get(f"/api/block_documents/{secret['id']}?include_secrets=true"),
        attempt.get("/api/block_types/slug/login/block_documents?include_secrets=true"),
        attempt.call("POST", "/api/block_documents/filter", {"include_secrets": True}),
    ]

    assert [one.status_code for one in asked] == [403] * 4
    assert "secrets: [login/mine]" in asked[0].json()["detail"]
    assert not any(b"open sesame" in one.content for one in asked)
    assert attempt.get(READ.partition("?")[0]).json()["data"]["password"] == "********"
    refused = Entry.objects.filter(action="blocks.secrets", result="refused")
    assert refused.count() == 4
    assert "login/mine" in refused[0].reason


@pytest.mark.parametrize("field", ["secrets", "storage_document_id", "infrastructure_document_id"])
def test_users_cannot_lend_secrets_that_they_may_not_read(dora: Asker, agent: Agent, secret: Any, field: str):
    made = deployed(dora)
    in_part()
    value = ["login/mine"] if field == "secrets" else secret["id"]

    refused = dora.call("PATCH", f"/api/deployments/{made['id']}", {field: value})

    assert (refused.status_code, refused.json()["code"]) == (403, "secrets_not_yours")
    assert Deployment.objects.get().secrets == []


def test_declared_secrets_stay_declared_after_another_deploy(dora: Asker, admin: Asker, secret: Any):
    made = deployed(dora)
    admin.call("PATCH", f"/api/deployments/{made['id']}", {"secrets": ["login/mine"]})
    in_part()

    assert deployed(dora, secrets=["login/mine"])["secrets"] == ["login/mine"]


def test_a_run_reads_nothing_more_when_its_deployment_no_longer_exists(
    dora: Asker, agent: Agent, secret: Any, admin: Asker
):
    made = deployed(dora)
    attempt = attempt_of(agent, made, dora)

    admin.call("DELETE", f"/api/deployments/{made['id']}")

    assert attempt.get(READ).status_code == 403


def test_the_page_names_them_and_offers_to_answer_for_what_is_held(dora: Asker, browser: Client, admin: Asker):
    made = deployed(dora, **HOURLY)
    admin.call("PATCH", f"/api/deployments/{made['id']}", {"secrets": ["login/mine"]})
    page = f"/deployments/{made['id']}"
    shown = browser.get(page).content.decode()
    assert "by dora" in shown
    assert "by admin-account" in shown
    assert "login/mine" in shown
    assert "Answer for it" not in shown
    set_active(name="dora", is_active=False)

    assert "the user dora is disabled." in browser.get(page).content.decode()
    browser.post(f"{page}/adopt")

    assert "Answer for it" not in browser.get(page).content.decode()
    assert Deployment.objects.get().author is None


def test_the_form_takes_names_of_blocks(browser: Client, dora: Asker):
    page = f"/deployments/{deployed(dora)['id']}/edit"
    form = {"work_pool": "default-agent-pool", "work_queue": "q", "overlap": "allow"}

    assert "names no block" in browser.post(page, {**form, "secrets": "mine"}).content.decode()
    browser.post(page, {**form, "secrets": "login/mine, login/other"})

    assert Deployment.objects.get().secrets == ["login/mine", "login/other"]
