"""Roles as a table of actions; and what a role allows in part: fields of a request, states of a run, secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments.models import BlockDocument
from orion_site.accounts.errors import LastAdmin
from orion_site.accounts.permissions import Action
from orion_site.accounts.roles import ACTIONS, Role
from orion_site.accounts.users import (
    create_group,
    create_user,
    delete_group,
    delete_user,
    set_active,
    set_groups,
    set_roles,
)
from runs.models import FlowRun
from tests.api.blocks import login_schema, make_document
from tests.security.askers import PASSWORD, Asker, key_of, user_with
from tests.security.test_walk import ADDRESSES, SOME_ID
from tests.web.deployments import make_deployment
from tests.web.rows import make_run
from tests.web.test_home_page import make_action, make_automation, make_block, make_message

pytestmark = pytest.mark.django_db

# v o d g a: viewer, operator, deployer, agent, admin; m: monitor.
TABLE = {
    Action.PROBE: "vodgam",
    Action.READ_RUNS: "vodga",
    Action.READ_LIMITS: "vodga",
    Action.READ_VARIABLES: "vodga",
    Action.READ_BLOCKS: "vodga",
    Action.READ_DEPLOYMENTS: "vodga",
    Action.READ_QUEUES: "vodga",
    Action.READ_EVENTS: "vodga",
    Action.READ_NOTIFICATIONS: "vod.a",
    Action.READ_AUTOMATIONS: "vod.a",
    Action.READ_SETTINGS: "vod.a",
    Action.RUN_DEPLOYMENTS: ".odga",
    Action.CHANGE_BACKFILLS: ".od.a",
    Action.CHANGE_RUNS: ".od.a",
    Action.CUSTOMISE_RUNS: "..d.a",
    Action.CHANGE_LIMITS: "..d.a",
    Action.CHANGE_VARIABLES: "..d.a",
    Action.CHANGE_BLOCKS: "..d.a",
    Action.CHANGE_DEPLOYMENTS: "..d.a",
    Action.CHANGE_QUEUES: "..d.a",
    Action.CHANGE_NOTIFICATIONS: "..d.a",
    Action.CHANGE_AUTOMATIONS: "..d.a",
    Action.READ_SECRETS: "..dga",
    Action.REPORT_RUNS: "..dga",
    Action.REPORT_ANY_RUN: "..d.a",
    Action.CREATE_RUNS: "..dga",
    Action.SEND_INPUTS: "..dga",
    Action.FORCE_STATES: "..dga",
    Action.TAKE_SLOTS: "..dga",
    Action.REPORT_EVENTS: "..dga",
    Action.SERVE_QUEUES: "..dga",
    Action.READ_METRICS: "vod.am",
    Action.READ_AUDIT: "....a",
    Action.CHANGE_SETTINGS: "....a",
    Action.OPERATE: "....a",
    Action.KEEP_KEYS: "....a",
    Action.MANAGE_USERS: "....a",
    Action.ANYBODY: "....a",
}
LETTERS = {"m": Role.MONITOR} | {
    "v": Role.VIEWER,
    "o": Role.OPERATOR,
    "d": Role.DEPLOYER,
    "g": Role.AGENT,
    "a": Role.ADMIN,
}


def test_the_table_names_every_action():
    """A new action is allowed to admins only, until a role and this table name it."""
    assert set(TABLE) == set(Action)


@pytest.mark.parametrize("action", TABLE)
def test_each_role_allows_what_its_table_lists(action: Action):
    allowed = {role for role in Role if action in ACTIONS[role]}

    assert allowed == {LETTERS[letter] for letter in TABLE[action] if letter != "."}


def test_each_role_but_the_agents_has_what_the_one_before_has():
    assert ACTIONS[Role.MONITOR] < ACTIONS[Role.VIEWER]
    assert ACTIONS[Role.VIEWER] < ACTIONS[Role.OPERATOR] < ACTIONS[Role.DEPLOYER] < ACTIONS[Role.ADMIN]
    assert ACTIONS[Role.AGENT] < ACTIONS[Role.DEPLOYER]


# --- runs ---


@pytest.mark.parametrize("field", ["job_variables", "infrastructure_document_id"])
@pytest.mark.parametrize(("role", "status"), [("operator", 403), ("agent", 403), ("deployer", None), ("admin", None)])
def test_only_users_who_may_deploy_choose_how_a_run_is_executed(
    asker: Callable[..., Asker], field: str, role: str, status: Any
):
    path = f"/api/deployments/{make_deployment().id}/create_flow_run"
    value = {"env": {"A": "1"}} if field == "job_variables" else "0199f1a2-0000-7000-8000-000000000001"

    answer = asker(role).call("POST", path, {field: value})

    assert (answer.status_code == 403) == (status == 403)
    if status:
        assert field in answer.json()["detail"]
        assert not FlowRun.objects.exists()


def test_an_operator_deletes_no_flow(asker: Callable[..., Asker]):
    """Its deployments would go with it."""
    path = f"/api/flows/{make_deployment().flow_id}"

    assert asker("operator").call("DELETE", path).status_code == 403
    assert asker("deployer").call("DELETE", path).status_code == 204


@pytest.mark.parametrize("empty", [{}, {"job_variables": {}}, {"job_variables": None}])
def test_an_operator_starts_runs(asker: Callable[..., Asker], empty: dict[str, Any]):
    path = f"/api/deployments/{make_deployment().id}/create_flow_run"

    answer = asker("operator").call("POST", path, {"parameters": {"x": 1}, **empty})

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("role", "changes", "status"),
    [
        ("operator", {"name": "calm-otter", "tags": ["a"]}, 204),
        ("operator", {"job_variables": {"env": {"A": "1"}}}, 403),
        ("operator", {"infrastructure_pid": "7"}, 403),
        ("agent", {"infrastructure_pid": "7"}, 204),
        ("agent", {"job_variables": {"env": {"A": "1"}}}, 403),
        ("agent", {"parameters": {"x": 1}}, 403),
        ("operator", {"parameters": {"x": 1}}, 204),
        ("viewer", {"name": "calm-otter"}, 403),
    ],
)
def test_a_role_changes_its_own_fields_of_a_run(asker: Callable[..., Asker], role: str, changes: Any, status: int):
    run = make_run(state="SCHEDULED")

    assert asker(role).call("PATCH", f"/api/flow_runs/{run.pk}", changes).status_code == status


@pytest.mark.parametrize(
    ("role", "state", "force", "is_allowed"),
    [
        ("viewer", "CANCELLING", False, False),
        ("operator", "CANCELLING", False, True),
        ("operator", "SCHEDULED", False, True),
        ("operator", "PAUSED", False, True),
        ("operator", "COMPLETED", False, False),
        ("operator", "RUNNING", False, False),
        ("operator", "CANCELLED", True, False),
        ("agent", "COMPLETED", False, True),
        ("agent", "CANCELLED", True, True),
        ("deployer", "COMPLETED", True, True),
    ],
)
@pytest.mark.parametrize("kind", ["flow_runs", "task_runs"])
def test_people_move_runs_and_processes_report_them(
    asker: Callable[..., Asker], kind: str, role: str, state: str, force: bool, is_allowed: bool
):
    path = f"/api/{kind}/0199f1a2-0000-7000-8000-000000000001/set_state"

    answer = asker(role).call("POST", path, {"state": {"type": state}, "force": force})

    assert answer.status_code == (404 if is_allowed else 403)


# --- secrets ---


@pytest.fixture
def secret(api: Any) -> str:
    """The id of a block whose secret is a canary."""
    data = {"user": "ada", "password": "canary-8c41"}
    return str(make_document(api, login_schema(api), data=data).json()["id"])


@pytest.mark.parametrize("role", Role)
def test_secrets_are_for_those_who_execute_code(asker: Callable[..., Asker], secret: str, role: str):
    client, path = asker(role), f"/api/block_documents/{secret}"

    shown, asked = client.get(path), client.get(f"{path}?include_secrets=true")

    assert "canary-8c41" not in shown.content.decode()
    if Action.READ_SECRETS in ACTIONS[role]:
        assert "canary-8c41" in asked.content.decode()
    else:
        assert asked.status_code == 403
    assert BlockDocument.objects.count() == 1


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_no_page_shows_a_secret(asker: Callable[..., Asker], secret: str, role: str):
    client = asker(role)

    pages = [client.get(path) for path in ("/blocks", f"/blocks/{secret}", "/")]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert all("canary-8c41" not in page.content.decode() for page in pages)


# --- the last admin ---


@pytest.mark.parametrize(
    "deed",
    [
        lambda: delete_user(name="ada"),
        lambda: set_active(name="ada", is_active=False),
        lambda: set_groups(name="ada", groups=[]),
        lambda: delete_group(name="admins"),
        lambda: set_roles(name="admins", roles=["viewer"]),
    ],
    ids=["deleted", "disabled", "in no group", "without the group", "without the role"],
)
def test_the_last_admin_stays(ada: User, deed: Callable[[], None]):
    create_user(name="machine", roles=["admin"])
    with pytest.raises(LastAdmin):
        deed()

    create_group(name="others", roles=["admin"])
    create_user(name="bob", password=PASSWORD, groups=["others"])
    deed()


def test_no_page_shows_an_agent_the_automations_and_messages_that_it_may_not_read(ada: User):
    make_run()
    automation, block = make_automation("birch-automation"), make_block("birch-block")
    make_action(automation, 5, "birch-error")
    make_message(block, 5)
    pages = [path for path in ADDRESSES if not path.startswith("/api/") and SOME_ID not in path]
    pages.append("/search?q=birch")
    hidden = (b"birch-automation", b"birch-error", b"through &#x27;birch-block")

    def showing(role: str) -> set[str]:
        client = Asker(key_of(user_with(role)))
        return {path for path in pages if any(word in b"".join(client.get(path)) for word in hidden)}

    assert showing("viewer") >= {"/", "/automations", "/search?q=birch"}
    assert showing("agent") == set()
