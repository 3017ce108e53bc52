"""Ids of other runs where a report may name them: in bodies, as ids that its sender chose, as keys."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from runs.models import Artifact, FlowRun, Log, TaskRun
from tests.security.askers import Asker, key_of
from tests.security.test_objects import someone
from tests.security.test_run_tokens import Attempt, sent_at, state_of, task_run_of
from tests.security.worlds import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def attempt(ada: User) -> Attempt:
    return Attempt()


@pytest.fixture
def other(attempt: Attempt) -> World:
    return make_world("birch")


def test_what_is_called_new_is_no_way_to_the_task_runs_of_others(attempt: Attempt, other: World):
    victim = other.id_of("runs_taskrun")
    items = [
        {"task_run_id": victim, "task_run": task_run_of(attempt.id)},
        {"task_run_id": victim, "state": state_of("FAILED")},
    ]

    answer = attempt.client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": sent_at()})

    assert answer.status_code == 403
    assert "RUNNING" not in answer.content.decode()
    assert TaskRun.objects.get(pk=victim).state_type == "RUNNING"


def test_nor_for_a_deployer_of_one_deployment(ada: User):
    own, other = make_world("alder"), make_world("birch")
    client, victim = Asker(key_of(someone("deployer:deployment:alder-flow/alder-daily"))), other.id_of("runs_taskrun")
    items = [
        {"task_run_id": victim, "task_run": task_run_of(own.id_of("runs_flowrun"))},
        {"task_run_id": victim, "state": state_of("FAILED")},
    ]

    answer = client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": sent_at()})

    assert answer.status_code == 403
    assert TaskRun.objects.get(pk=victim).state_type == "RUNNING"


def test_a_known_key_or_id_gives_nobody_elses_run(attempt: Attempt, other: World):
    run = other.id_of("runs_flowrun")
    FlowRun.objects.filter(pk=run).update(idempotency_key="2026-01-01", parameters={"x": "birch-parameter"})
    attempt.report()
    task = attempt.client.call("POST", "/api/task_runs/", task_run_of(attempt.id)).json()
    asked = {"flow_id": other.id_of("runs_flow"), "parent_task_run_id": task["id"]}

    by_key = attempt.client.call("POST", "/api/flow_runs/", {**asked, "idempotency_key": "2026-01-01"})
    by_id = attempt.client.call("POST", "/api/flow_runs/", {**asked, "id": run})
    own = attempt.client.call("POST", "/api/flow_runs/", {**asked, "idempotency_key": "own"})
    again = attempt.client.call("POST", "/api/flow_runs/", {**asked, "idempotency_key": "own"})

    assert (by_key.status_code, by_id.status_code) == (403, 403)
    assert "birch" not in (by_key.content + by_id.content).decode()
    assert (own.status_code, again.status_code, own.json()["id"]) == (201, 200, again.json()["id"])


def test_a_known_id_gives_nobody_elses_artifact(attempt: Attempt, other: World):
    artifact = other.id_of("runs_artifact")

    answer = attempt.client.call("POST", "/api/artifacts/", {"id": artifact, "type": "text", "flow_run_id": attempt.id})

    assert answer.status_code == 403
    assert "birch" not in answer.content.decode()


def test_lines_and_artifacts_get_into_nobody_elses_task_run(attempt: Attempt, other: World):
    victim, client = other.id_of("runs_taskrun"), attempt.client
    before = (Log.objects.count(), Artifact.objects.count())
    line = {"name": "x", "level": 20, "message": "m", "timestamp": sent_at(), "flow_run_id": attempt.id}
    artifact = {"key": "x", "type": "text", "flow_run_id": attempt.id, "task_run_id": victim}

    assert client.call("POST", "/api/logs/", [{**line, "task_run_id": victim}]).status_code == 403
    assert client.call("POST", "/api/artifacts/", artifact).status_code == 403
    assert (Log.objects.count(), Artifact.objects.count()) == before
    # Of a task run that is recorded later.
    assert client.call("POST", "/api/logs/", [{**line, "task_run_id": str(uuid4())}]).status_code == 201
