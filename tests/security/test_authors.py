"""Automations act with the rights of whoever made or changed them last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments.models import Deployment
from events.models import ActionRun, Automation
from orion_site.accounts.users import create_group, delete_user, set_active, set_groups, set_roles
from runs.models import FlowRun
from tests.events.automations import NOTHING, act, happen, make_deployment, trigger
from tests.factories import NOON
from tests.security.askers import Asker, key_of, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.automations.api.automations.timezone.now", lambda: NOON)


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
def test_what_the_author_may_not_any_more_is_refused(
    author: User, deployment: Deployment, change: Callable[[Deployment], None], reason: str
):
    change(deployment)

    assert outcome() == (0, f"Its author may not do that: {reason}")


def test_rights_on_the_deployment_are_enough(author: User, deployment: Deployment):
    named = f"operator:deployment:{deployment.flow.name}/{deployment.name}"
    create_group(name="night", roles=[named])
    set_groups(name="dora", groups=["night"])

    assert outcome() == (1, "")


def test_whoever_changes_an_automation_is_its_author(author: User, ada: User):
    one = Automation.objects.get()
    body = {"name": "b", "trigger": trigger(expect=["sensor.read"]), "actions": one.actions}

    assert Asker(key_of(ada)).call("PUT", f"/api/automations/{one.pk}", body).status_code == 204
    set_active(name="dora", is_active=False)

    assert Automation.objects.get().author == ada.pk


def test_the_owner_has_every_right(deployment: Deployment, api: Any):
    api.send("/automations/", {"name": "a", "trigger": trigger(expect=["sensor.read"]), "actions": [NOTHING]})

    assert Automation.objects.get().author is None
