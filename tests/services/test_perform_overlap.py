"""Flow runs that exclude each other: which others count, and what happens to them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestration.core.states import running
from orchestration.core.verdicts import Accept, Wait
from orchestration.services import propose_flow_run_state
from tests.factories import later, make_flow, make_flow_run, make_task_run, state_of

pytestmark = pytest.mark.django_db


def start(run):
    return propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1))


def test_the_older_run_is_cancelled_through_the_rules():
    flow = make_flow()
    old = make_flow_run("RUNNING", flow=flow)
    new = make_flow_run("PENDING", flow=flow, overlap="cancel_old")

    outcome = start(new)

    assert isinstance(outcome.verdict, Accept)
    assert (state_of(old), state_of(new)) == ("CANCELLING", "RUNNING")


def test_a_run_never_waits_for_the_one_that_it_is_nested_in():
    flow = make_flow()
    outer = make_flow_run("RUNNING", flow=flow)
    middle = make_flow_run("RUNNING", parent_task_run_id=make_task_run("RUNNING", flow_run=outer).pk)
    inner_task = make_task_run("RUNNING", flow_run=middle)
    inner = make_flow_run("PENDING", flow=flow, overlap="queue", parent_task_run_id=inner_task.pk)

    outcome = start(inner)

    assert isinstance(outcome.verdict, Accept)


def test_a_nested_run_waits_for_others_of_its_flow():
    flow = make_flow()
    make_flow_run("RUNNING", flow=flow)
    task = make_task_run("RUNNING")
    nested = make_flow_run("PENDING", flow=flow, overlap="queue", parent_task_run_id=task.pk)

    assert isinstance(start(nested).verdict, Wait)


def test_an_overlap_rule_of_the_deployment_ignores_runs_of_other_deployments():
    flow, deployment = make_flow(), uuid4()
    make_flow_run("RUNNING", flow=flow, deployment_id=uuid4())
    policy = {"overlap": "queue", "overlap_scope": "deployment"}
    first = make_flow_run("PENDING", flow=flow, deployment_id=deployment, empirical_policy=policy)
    second = make_flow_run("PENDING", flow=flow, deployment_id=deployment, empirical_policy=policy)

    verdicts = [start(first).verdict, start(second).verdict]

    assert isinstance(verdicts[0], Accept)
    assert isinstance(verdicts[1], Wait)
