"""Linear scheduling with real rows: which runs count as the others, and what becomes of them."""

from __future__ import annotations

import pytest

from orchestration.core.states import running
from orchestration.core.verdicts import Accept, Reject, Wait
from orchestration.services import propose_flow_run_state
from tests.factories import later, make_flow, make_flow_run, state_of
from tests.services.threads import race

pytestmark = pytest.mark.django_db


def start(run):
    return propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1))


def test_a_queued_run_waits_for_the_running_one_and_names_it():
    flow = make_flow()
    first = make_flow_run("RUNNING", flow=flow)
    second = make_flow_run("PENDING", flow=flow, overlap="queue")

    outcome = start(second)

    assert isinstance(outcome.verdict, Wait)
    assert str(first.pk) in outcome.verdict.reason


def test_runs_of_other_flows_and_finished_runs_are_not_waited_for():
    flow = make_flow()
    make_flow_run("RUNNING")
    make_flow_run("COMPLETED", flow=flow)
    make_flow_run("PAUSED", flow=flow)
    run = make_flow_run("PENDING", flow=flow, overlap="queue")

    assert isinstance(start(run).verdict, Accept)


def test_the_new_run_is_cancelled_when_the_old_one_keeps_its_place():
    flow = make_flow()
    make_flow_run("RUNNING", flow=flow)
    new = make_flow_run("PENDING", flow=flow, overlap="cancel_new")

    outcome = start(new)

    assert isinstance(outcome.verdict, Reject)
    assert state_of(new) == "CANCELLED"


@pytest.mark.django_db(transaction=True)
def test_of_runs_that_start_together_only_one_runs():
    flow = make_flow()
    runs = [make_flow_run("PENDING", flow=flow, overlap="queue") for _ in range(6)]

    outcomes = race(start, runs)

    assert sum(isinstance(outcome.verdict, Accept) for outcome in outcomes) == 1
    assert [state_of(run) for run in runs].count("RUNNING") == 1
