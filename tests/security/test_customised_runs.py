"""Who decides how a run is executed: its job variables are code, so its token has no more rights than their author."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.blocks.services.variables import create_variable
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.models import Deployment, Lease
from orchestration.authors import acting_for
from orion_site.accounts.users import set_active, set_roles
from orionflow.contract.credentials import LAST_LINES
from runs.models import Flow, FlowRun
from tests.recorded_runs import RESULT, chain, finish
from tests.security.askers import Asker, key_of
from tests.security.attempts import Agent
from tests.security.test_authors_of_deployments import READ, admin, agent, deployed, secret
from tests.security.test_objects import someone
from tests.web.deployments import add_run, make_deployment

__all__ = ["admin", "agent", "secret"]
pytestmark = pytest.mark.django_db
EVIL = {"python": "/tmp/evil/python", "env": {"LD_PRELOAD": "/tmp/evil.so"}}


@pytest.fixture
def made(admin: Asker, secret: Any) -> dict[str, Any]:
    """A deployment of an admin."""
    return deployed(admin)


@pytest.fixture
def dora(ada: User) -> Asker:
    """A deployer of this deployment alone, who may read no secrets."""
    return Asker(key_of(someone("deployer:deployment:etl/daily", name="dora")))


@pytest.fixture
def theirs() -> Deployment:
    create_variable(name="season", value="summer", tags=[], now=timezone.now())
    return Deployment.objects.create(flow=Flow.objects.create(name="payroll"), name="pay", entrypoint="pay.py:pay")


def started(client: Asker, made: dict[str, Any], **more: Any) -> str:
    answer = client.call("POST", f"/api/deployments/{made['id']}/create_flow_run", more)
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


def claimed(agent: Agent, run: str) -> Asker:
    [one] = agent.call("claim", limit=1, flow_run_id=run).json()
    assert one["flow_run"]["id"] == run
    return Asker(one["run_token"])


def reached(token: Asker, theirs: Deployment) -> tuple[int, int, int, int]:
    """Read a secret and another deployment, start that, and count the listed variables."""
    return (
        token.get(READ).status_code,
        token.get(f"/api/deployments/{theirs.pk}").status_code,
        token.call("POST", f"/api/deployments/{theirs.pk}/create_flow_run", {}).status_code,
        len(token.call("POST", "/api/variables/filter", {}).json()),
    )


ALL, NONE = (200, 200, 201, 1), (403, 404, 404, 0)


def test_a_run_with_job_variables_of_a_named_deployer_reaches_what_both_users_may(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    token = claimed(agent, started(dora, made, job_variables=EVIL))

    assert reached(token, theirs) == NONE
    assert "the roles of dora" in token.get(READ).json()["detail"]
    assert token.get(f"/api/deployments/{made['id']}").status_code == 200


def test_so_does_a_waiting_run_whose_job_variables_were_changed(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    run = started(admin, made)
    assert dora.call("PATCH", f"/api/flow_runs/{run}", {"job_variables": EVIL}).status_code == 204
    # Whoever changes them afterwards cannot lend the run more rights.
    admin.call("PATCH", f"/api/flow_runs/{run}", {"job_variables": {"env": {"DEBUG": "1"}}})

    assert reached(claimed(agent, run), theirs) == NONE


def test_another_author_lends_no_rights_to_a_customised_run(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    dora.call("POST", f"/api/deployments/{made['id']}/adopt")
    run = started(dora, made, job_variables=EVIL)
    deployed(admin)

    assert reached(claimed(agent, run), theirs) == NONE


def test_another_author_lends_no_rights_to_code_that_runs_already(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    dora.call("PATCH", f"/api/deployments/{made['id']}", {"path": "/tmp/evil"})
    token = claimed(agent, started(dora, made))
    assert reached(token, theirs) == NONE

    admin.call("POST", f"/api/deployments/{made['id']}/adopt")
    deployed(admin)

    assert reached(token, theirs) == NONE
    assert reached(claimed(agent, started(admin, made)), theirs) == ALL


@pytest.mark.parametrize("states", [["RUNNING", "COMPLETED"], ["FAILED"], ["RUNNING", "SCHEDULED"]])
def test_another_author_lends_no_rights_to_a_process_that_has_just_ended_its_attempt(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment, states: list[str]
):
    dora.call("PATCH", f"/api/deployments/{made['id']}", {"path": "/tmp/evil"})
    run = started(dora, made)
    token = claimed(agent, run)
    for state in states:
        answer = token.call("POST", f"/api/flow_runs/{run}/set_state", {"state": {"type": state}})
        assert answer.json()["status"] == "ACCEPT"
    assert not Lease.objects.exists()
    assert reached(token, theirs) == NONE

    deployed(admin)

    assert reached(token, theirs) == NONE
    assert token.get(f"/api/deployments/{made['id']}").status_code == 200


def test_another_author_leaves_runs_alone_whose_tokens_are_over(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any]
):
    dora.call("PATCH", f"/api/deployments/{made['id']}", {"path": "/tmp/evil"})
    waiting, ended = started(dora, made), started(dora, made)
    token = claimed(agent, ended)
    for state in ("RUNNING", "COMPLETED"):
        token.call("POST", f"/api/flow_runs/{ended}/set_state", {"state": {"type": state}})
    past = timezone.now() - LAST_LINES
    FlowRun.objects.filter(pk=ended).update(end_time=past, state_timestamp=past)

    deployed(admin)

    assert set(FlowRun.objects.filter(pk__in=[waiting, ended]).values_list("limited_by", flat=True)) == {None}


def test_a_retry_as_a_new_run_keeps_the_limits(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    run = started(dora, made, job_variables=EVIL)
    chain(FlowRun.objects.get(pk=run), "ab")
    finish(FlowRun.objects.get(pk=run), data=RESULT)

    again = admin.call("POST", f"/api/flow_runs/{run}/retry", {"from_tasks": ["b"], "new_run": True})

    assert again.status_code in {200, 201}, again.json()
    new = FlowRun.objects.exclude(pk=run).get()
    assert new.job_variables == EVIL
    assert reached(claimed(agent, str(new.pk)), theirs) == NONE


def test_job_variables_of_a_user_with_more_rights_lend_none(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    dora.call("POST", f"/api/deployments/{made['id']}/adopt")

    assert reached(claimed(agent, started(admin, made, job_variables={"env": {"DEBUG": "1"}})), theirs) == NONE


def test_runs_that_nobody_else_customised_have_the_rights_of_their_author(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    assert reached(claimed(agent, started(dora, made)), theirs) == ALL
    assert reached(claimed(agent, started(admin, made, job_variables={"env": {"DEBUG": "1"}})), theirs) == ALL


def test_a_user_who_customised_a_run_and_was_disabled_lends_it_no_rights(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    token = claimed(agent, started(dora, made, job_variables=EVIL))
    set_active(name="dora", is_active=False)

    assert reached(token, theirs) == NONE
    assert token.get(f"/api/deployments/{made['id']}").status_code == 200


def test_a_run_of_two_named_deployers_reaches_what_both_are_named_for(
    dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    dan = Asker(key_of(someone("deployer:deployment:etl/daily", "deployer:deployment:payroll/pay", name="dan")))
    dan.call("POST", f"/api/deployments/{made['id']}/adopt")
    token = claimed(agent, started(dora, made, job_variables=EVIL))
    assert reached(token, theirs) == NONE

    set_roles(name="dora-group", roles=["deployer:deployment:etl/daily", "operator:deployment:payroll/pay"])

    assert reached(token, theirs) == (403, 200, 201, 0)


def test_job_variables_of_an_automation_are_those_of_its_author(
    dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    asked = RunOptions(job_variables=EVIL, created_by={"id": str(uuid4()), "type": "AUTOMATION", "display_value": "x"})

    with acting_for(User.objects.get(username="dora").pk, "deployments.run", "runs.customise"):
        run, _ = create_run_of_deployment(deployment_id=UUID(made["id"]), options=asked, state=None, now=timezone.now())

    assert reached(claimed(agent, str(run.pk)), theirs) == NONE


def as_an_earlier_version_stored(run: str, **columns: Any) -> None:
    FlowRun.objects.filter(pk=run).update(limited_by=None, **columns)


def by(kind: str, id: UUID | str | None = None) -> dict[str, Any]:
    return {"id": str(id or uuid4()), "type": kind, "display_value": "x"}


def test_runs_of_an_earlier_version_are_limited_by_who_made_them_with_job_variables(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    of_dora, changed, of_admin, plain = (
        started(dora, made, job_variables=EVIL),
        started(dora, made, job_variables=EVIL),
        started(admin, made, job_variables=EVIL),
        started(dora, made),
    )
    for run in (of_dora, changed, of_admin, plain):
        as_an_earlier_version_stored(run)
    admin.call("PATCH", f"/api/flow_runs/{changed}", {"job_variables": {"env": {"DEBUG": "1"}}})

    assert [reached(claimed(agent, run), theirs) for run in (of_dora, changed)] == [NONE, NONE]
    assert [reached(claimed(agent, run), theirs)[:3] for run in (of_admin, plain)] == [ALL[:3], ALL[:3]]


def test_a_retry_as_a_new_run_is_limited_as_a_run_of_an_earlier_version_is(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    run = started(dora, made, job_variables=EVIL)
    chain(FlowRun.objects.get(pk=run), "ab")
    finish(FlowRun.objects.get(pk=run), data=RESULT)
    as_an_earlier_version_stored(run)

    admin.call("POST", f"/api/flow_runs/{run}/retry", {"from_tasks": ["b"], "new_run": True})

    assert reached(claimed(agent, str(FlowRun.objects.exclude(pk=run).get().pk)), theirs) == NONE


def test_a_retry_of_an_earlier_version_is_limited_as_the_retried_run_is(
    admin: Asker, dora: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    of_dora, of_owner, again, again_of_owner = (started(dora, made, job_variables=EVIL) for _ in range(4))
    as_an_earlier_version_stored(of_dora)
    as_an_earlier_version_stored(of_owner, created_by=None)
    as_an_earlier_version_stored(again, created_by=by("RETRY", of_dora))
    as_an_earlier_version_stored(again_of_owner, created_by=by("RETRY", of_owner))

    assert reached(claimed(agent, again), theirs) == NONE
    assert reached(claimed(agent, again_of_owner), theirs) == ALL


@pytest.mark.parametrize("kind", ["AUTOMATION", "DEPLOYMENT", "RETRY"])
def test_job_variables_that_nobody_is_known_to_have_set_leave_a_run_without_rights(
    admin: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment, kind: str
):
    run = started(admin, made, job_variables=EVIL)
    as_an_earlier_version_stored(run, created_by=by(kind))

    token = claimed(agent, run)

    assert reached(token, theirs) == NONE
    assert "did not record who set the job variables" in token.get(READ).json()["detail"]
    assert token.get(f"/api/deployments/{made['id']}").status_code == 200


def test_job_variables_that_the_owner_of_the_server_sets_limit_nothing(
    admin: Asker, agent: Agent, made: dict[str, Any], theirs: Deployment
):
    asked = RunOptions(job_variables=EVIL, created_by=by("AUTOMATION"))

    run, _ = create_run_of_deployment(deployment_id=UUID(made["id"]), options=asked, state=None, now=timezone.now())

    assert reached(claimed(agent, str(run.pk)), theirs) == ALL


def test_without_the_right_a_copy_leaves_out_where_and_how_a_run_is_executed(asker: Callable[..., Asker]):
    nightly = make_deployment("copied")
    old = add_run(nightly, ago=timedelta(hours=1), job_variables={"a": 1}, work_queue_name="gpu", work_queue_id=uuid4())
    address, operator = f"/deployments/{nightly.pk}/run?copy={old.pk}", asker("operator")

    page = operator.get(address).content.decode()
    refused = [operator.post(address, {name: "{}", "raw": "{}"}) for name in ("job_variables", "work_queue")]
    operator.post(address, {"raw": "{}"})

    made = FlowRun.objects.exclude(pk=old.pk).get()
    assert "Its job variables, work queue are left out" in page
    assert 'name="job_variables"' not in page
    assert all("Your role does not allow this" in one.content.decode() for one in refused)
    assert (made.job_variables, made.work_queue_name) == ({}, "default")
