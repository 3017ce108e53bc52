"""Code reaches by its run token no more of other deployments than the author of its own deployment does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from deployments.models import Deployment, WorkQueue
from events.models import Event
from orion_site.accounts.users import create_group, create_user, delete_user, set_active, set_groups, set_roles
from runs.models import FlowRun
from tests.api.blocks import login_schema, make_document
from tests.security.askers import PASSWORD, user_with
from tests.security.attempts import Attempt
from tests.security.test_ids_of_others import event_of
from tests.security.worlds import World

pytestmark = pytest.mark.django_db


def own_deployment(attempt: Attempt) -> Deployment:
    return Deployment.objects.select_related("flow").get(pk=attempt.run.deployment_id)


def authored_by(attempt: Attempt, user: User | None) -> None:
    Deployment.objects.filter(pk=attempt.run.deployment_id).update(author=user.pk if user else None)


def deployer_of(attempt: Attempt, *more: str) -> User:
    """Somebody who may deploy the deployment of the attempt, and has these roles besides."""
    deployment = own_deployment(attempt)
    create_group(name="team", roles=[f"deployer:deployment:{deployment.flow.name}/{deployment.name}", *more])
    return create_user(name="dora", password=PASSWORD, groups=["team"])


def reached(attempt: Attempt, deployment_id: Any) -> tuple[int, int, bool, int]:
    """Read a deployment, its schedules, look for it in the list, and start it."""
    path, client = f"/api/deployments/{deployment_id}", attempt.client
    listed = [one["id"] for one in client.call("POST", "/api/deployments/filter", {}).json()]
    return (
        client.get(path).status_code,
        client.get(f"{path}/schedules").status_code,
        str(deployment_id) in listed,
        client.call("POST", f"{path}/create_flow_run", {"parameters": {}}).status_code,
    )


ALL, NONE = (200, 200, True, 201), (404, 404, False, 404)


def test_code_of_a_deployer_of_one_deployment_reaches_no_other(attempt: Attempt, other: World):
    authored_by(attempt, deployer_of(attempt))
    theirs, before = other.rows["deployments_deployment"], FlowRun.objects.count()

    assert reached(attempt, theirs.pk) == NONE
    assert FlowRun.objects.count() == before
    assert attempt.client.get(f"/api/deployments/name/birch-flow/{theirs.name}").status_code == 404
    assert attempt.client.call("POST", "/api/deployments/count", {}).json() == 1
    assert b"birch" not in b"".join(attempt.client.get("/api/schedules.ics"))
    assert reached(attempt, attempt.run.deployment_id) == ALL


def test_it_reaches_what_its_author_may_start_besides(attempt: Attempt, other: World):
    authored_by(attempt, deployer_of(attempt, "operator:tag:birch-tag"))

    assert reached(attempt, other.id_of("deployments_deployment")) == ALL


def test_it_starts_nothing_that_its_author_only_sees(attempt: Attempt, other: World):
    authored_by(attempt, deployer_of(attempt, "viewer"))

    assert reached(attempt, other.id_of("deployments_deployment")) == (200, 200, True, 404)


@pytest.mark.parametrize("author", [lambda: None, lambda: user_with("deployer"), lambda: user_with("admin")])
def test_code_of_who_may_start_everything_does(attempt: Attempt, other: World, author: Callable[[], User | None]):
    """Deployments of the owner, and those that are older than the column of authors, may do it too."""
    authored_by(attempt, author())

    assert reached(attempt, other.id_of("deployments_deployment")) == ALL


@pytest.mark.parametrize(
    "deed",
    [
        lambda: set_active(name="dora", is_active=False),
        lambda: delete_user(name="dora"),
        lambda: set_groups(name="dora", groups=[]),
        lambda: set_roles(name="team", roles=["viewer:tag:nothing"]),
    ],
)
def test_runs_lose_the_rights_that_their_author_loses(attempt: Attempt, other: World, deed: Callable[[], Any]):
    authored_by(attempt, deployer_of(attempt, "deployer"))
    assert reached(attempt, other.id_of("deployments_deployment")) == ALL

    deed()

    assert reached(attempt, other.id_of("deployments_deployment")) == NONE
    # The attempt continues, and may read its own deployment.
    assert reached(attempt, attempt.run.deployment_id) == (200, 200, True, 404)
    assert attempt.report().json()["status"] == "ACCEPT"


def test_a_run_whose_deployment_no_longer_exists_starts_nothing(attempt: Attempt, other: World):
    FlowRun.objects.filter(pk=attempt.run.pk).update(deployment_id=None)

    assert reached(attempt, other.id_of("deployments_deployment")) == NONE


RESOURCES = [
    ("deployment", "deployments_deployment"),
    ("work-queue", "deployments_workqueue"),
    ("work-pool", "deployments_workpool"),
]


@pytest.mark.parametrize(("kind", "table"), RESOURCES)
def test_no_event_of_a_run_speaks_for_what_its_author_does_not_see(
    attempt: Attempt, other: World, kind: str, table: str
):
    """Otherwise automations of others would act on it as on an event of their own deployment."""
    authored_by(attempt, deployer_of(attempt))
    theirs, own = f"prefect.{kind}.{other.id_of(table)}", own_deployment(attempt)
    of_own = {
        "deployment": own.pk,
        "work-queue": own.work_queue_id,
        "work-pool": WorkQueue.objects.get(pk=own.work_queue_id).work_pool_id,
    }
    before = Event.objects.count()

    def report(*resources: str) -> int:
        return int(attempt.client.call("POST", "/api/events", [event_of(*resources)]).status_code)

    assert (report(theirs), report(f"prefect.flow-run.{uuid4()}", theirs)) == (403, 403)
    assert Event.objects.count() == before
    assert report("my.resource", f"prefect.{kind}.{of_own[kind]}") == 204
    authored_by(attempt, user_with("deployer"))
    assert report("my.resource", theirs) == 204


def test_names_of_all_are_read_as_before(attempt: Attempt, other: World):
    authored_by(attempt, deployer_of(attempt))

    paths = ["variables/filter", "v2/concurrency_limits/filter", "block_types/filter", "block_documents/filter"]

    assert {attempt.client.call("POST", f"/api/{path}", {}).status_code for path in paths} == {200}


LISTS = ["variables/filter", "block_documents/filter"]
COUNTS = ["variables/count", "block_documents/count"]


@pytest.fixture
def names_of_all(attempt: Attempt, api: Any) -> None:
    """A variable and a block that do not belong to any object."""
    assert api.send("/variables/", {"name": "season", "value": "summer"}).status_code == 201
    make_document(api, login_schema(api), "of-others")


def listed(attempt: Attempt) -> tuple[list[int], list[int]]:
    return (
        [len(attempt.client.call("POST", f"/api/{path}", {}).json()) for path in LISTS],
        [attempt.client.call("POST", f"/api/{path}", {}).json() for path in COUNTS],
    )


def test_code_lists_no_variables_and_blocks_that_its_author_could_not(attempt: Attempt, names_of_all: None):
    authored_by(attempt, deployer_of(attempt))

    assert listed(attempt) == ([0, 0], [0, 0])
    assert b"season" not in attempt.client.get("/variables").content
    assert attempt.client.get("/api/block_types/slug/login/block_documents").json() == []
    assert attempt.client.get("/api/variables/name/season").json()["value"] == "summer"
    named = attempt.client.get("/api/block_types/slug/login/block_documents/name/of-others")
    assert named.status_code == 200
    assert attempt.client.get(f"/api/block_documents/{named.json()['id']}").status_code == 200


@pytest.mark.parametrize("author", [lambda: None, lambda: user_with("viewer"), lambda: user_with("deployer")])
def test_code_of_who_reads_all_variables_and_blocks_lists_them(
    attempt: Attempt, names_of_all: None, author: Callable[[], User | None]
):
    authored_by(attempt, author())

    assert listed(attempt) == ([1, 1], [1, 1])
