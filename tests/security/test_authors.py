"""Automations act with the rights of the user who created or last changed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.backfills.services.making import make_runs_of_backfills
from deployments.definitions.services.runs import create_run_of_deployment
from deployments.models import Backfill, Deployment
from events.models import ActionRun, Automation
from orion_site.accounts.permissions import Action, who_asks
from orion_site.accounts.users import create_group, delete_user, set_active, set_groups, set_roles
from runs.bulk_actions import services as bulk
from runs.models import BulkAction, FlowRun
from tests.events.automations import NOTHING, act, happen, make_deployment, trigger
from tests.factories import NOON, make_flow_run
from tests.security.askers import Asker, key_of, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("events.automations.api.automations.current_time", lambda: NOON)


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def author(ada: User, deployment: Deployment) -> User:
    """A deployer, who made an automation that runs the deployment."""
    user = user_with("deployer", "dora")
    assert making(Asker(key_of(user)), deployment).status_code == 201
    return user


def making(client: Any, deployment: Deployment, **more: Any) -> Any:
    action = {"type": "run-deployment", "deployment_id": str(deployment.pk), **more}
    body = {"name": "a", "trigger": trigger(expect=["sensor.read"]), "actions": [action]}
    return client.call("POST", "/api/automations/", body)


def outcome() -> tuple[int, str]:
    """How many runs there are, and the problem of the newest action."""
    happen()
    act()
    return FlowRun.objects.count(), ActionRun.objects.latest("created", "id").error


def test_an_automation_does_what_its_author_may(author: User):
    assert Automation.objects.get().author == author.pk
    assert outcome() == (1, "")


def in_viewers(deployment: Deployment) -> None:
    set_roles(name="deployers", roles=["viewer"])


def of_another(deployment: Deployment) -> None:
    set_roles(name="deployers", roles=["viewer", "deployer:deployment:other/other"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: set_active(name="dora", is_active=False), "the user dora is disabled."),
        (lambda one: delete_user(name="dora"), "the user was deleted."),
        (lambda one: set_groups(name="dora", groups=[]), "the roles of dora do not allow it (deployments.run)."),
        (in_viewers, "the roles of dora do not allow it (deployments.run)."),
        (of_another, "the roles of dora do not allow it (deployments.run)."),
    ],
    ids=["disabled", "deleted", "in no group", "less", "other objects"],
)
def test_actions_that_the_author_may_no_longer_do_are_refused(
    author: User, deployment: Deployment, change: Callable[[Deployment], None], reason: str
):
    change(deployment)

    assert outcome() == (0, f"Its author may not do that: {reason}")


def test_rights_on_the_deployment_are_enough(author: User, deployment: Deployment):
    named = f"operator:deployment:{deployment.flow.name}/{deployment.name}"
    create_group(name="night", roles=[named])
    set_groups(name="dora", groups=["night"])

    assert outcome() == (1, "")


def test_the_last_user_who_changed_an_automation_is_its_author(author: User, ada: User):
    one = Automation.objects.get()
    body = {"name": "b", "trigger": trigger(expect=["sensor.read"]), "actions": one.actions}

    assert Asker(key_of(ada)).call("PUT", f"/api/automations/{one.pk}", body).status_code == 204
    set_active(name="dora", is_active=False)

    assert Automation.objects.get().author == ada.pk


def test_the_owner_has_every_right(deployment: Deployment, api: Any):
    api.send("/automations/", {"name": "a", "trigger": trigger(expect=["sensor.read"]), "actions": [NOTHING]})

    assert Automation.objects.get().author is None


def test_an_automation_acts_by_no_more_rights_than_its_action_needs(author: User, monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []

    def watched(**asked: Any) -> Any:
        seen.append(who_asks())
        return create_run_of_deployment(**asked)

    monkeypatch.setattr("events.automations.services.actions.create_run_of_deployment", watched)

    assert outcome() == (1, "")
    assert [(one.name, one.user_id, one.actions, one.objects) for one in seen] == [
        ("dora", author.pk, {Action.RUN_DEPLOYMENTS}, ())
    ]
    assert who_asks() is None


# --- bulk actions and backfills --------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done at once, and two runs a step, however slow the machine."""
    monkeypatch.setattr("runs.bulk_actions.services.FEW", 0)
    monkeypatch.setattr(bulk, "STEP", 2)
    monkeypatch.setattr(bulk, "STEP_SECONDS", 60)
    monkeypatch.setattr(bulk, "TICK_SECONDS", 0.0)


def test_a_bulk_action_stops_when_its_author_is_disabled(ada: User, slow: None, browser: Any):
    for _ in range(5):
        make_flow_run("RUNNING", now=timezone.now())
    olga = Asker(key_of(user_with("operator", "olga")))
    begun = olga.call("POST", "/api/bulk_actions/", {"action": "delete", "flow_runs": {}}).json()
    bulk.work_on_bulk_actions(timezone.now())
    set_active(name="olga", is_active=False)

    bulk.work_on_bulk_actions(timezone.now())

    stopped = BulkAction.objects.get()
    assert (stopped.status, stopped.done, FlowRun.objects.count()) == ("stopped", 2, 3)
    assert stopped.problem == "olga may no longer do this: the user olga is disabled."
    assert stopped.problem in browser.get(f"/bulk/{begun['id']}").content.decode()


def test_a_bulk_action_leaves_alone_what_its_author_may_not_change_any_more(ada: User, slow: None):
    mine, other = (make_flow_run("RUNNING", tags=[tag], now=timezone.now()) for tag in ("mine", "other"))
    olga = Asker(key_of(user_with("operator", "olga")))
    olga.call("POST", "/api/bulk_actions/", {"action": "delete", "flow_runs": {}})
    set_roles(name="operators", roles=["operator:tag:mine"])

    bulk.work_on_bulk_actions(timezone.now())

    assert [run.pk for run in FlowRun.objects.all()] == [other.pk]
    assert BulkAction.objects.get().reasons == {"the roles of olga do not allow it": 1}


def test_a_bulk_action_of_the_owner_continues(db: None, slow: None, api: Any):
    make_flow_run("RUNNING", now=timezone.now())
    api.send("/bulk_actions/", {"action": "delete", "flow_runs": {}})

    bulk.work_on_bulk_actions(timezone.now())

    assert FlowRun.objects.count() == 0


def test_a_backfill_is_paused_when_its_author_loses_the_right(ada: User, deployment: Deployment):
    olga = Asker(key_of(user_with("operator", "olga")))
    days = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z", "schedule": {"interval": 86400}}
    made = olga.call("POST", "/api/backfills/", {"deployment_id": str(deployment.pk), **days}).json()
    set_active(name="olga", is_active=False)

    make_runs_of_backfills(timezone.now())

    paused = Backfill.objects.get(pk=made["id"])
    assert (paused.status, FlowRun.objects.count()) == ("paused", 0)
    assert "the user olga is disabled." in paused.problem
    Asker(key_of(ada)).call("POST", f"/api/backfills/{paused.pk}/resume")
    assert make_runs_of_backfills(timezone.now()) == 1
