"""The five calls of agents, as docs/explanation/dispatch.md has them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.models import Worker, WorkQueue
from runs.models import FlowRun
from tests.services.dispatching import make_deployment, make_queue, waiting

pytestmark = pytest.mark.django_db
MISSING = "00000000-0000-4000-8000-000000000000"


class AgentOfApi:
    def __init__(self, api, **fields):
        self.api, self.incarnation = api, str(uuid4())
        body = {"name": "smith", "incarnation": self.incarnation, "work_queues": ["q"], "concurrency": 2, **fields}
        self.registered = api.send("/agents/", body)
        self.id = self.registered.json().get("id")

    def call(self, what, **body):
        return self.api.send(f"/agents/{self.id}/{what}", {"incarnation": self.incarnation, **body})


def due_run(**columns):
    queue = WorkQueue.objects.get(name="q")
    deployment = make_deployment(queue, **columns)
    return waiting(queue, timezone.now(), deployment, job_variables={"env": {"B": "run"}, "timeout_seconds": 9})


def state_of(run):
    return FlowRun.objects.values_list("state_type", flat=True).get(pk=run.pk)


def test_registering_creates_the_queues_and_returns_the_intervals(api):
    answer = AgentOfApi(api).registered

    queue = WorkQueue.objects.get(name="q")
    body = answer.json()
    assert answer.status_code == 201
    assert body == {
        "id": str(Worker.objects.get().pk),
        "lease_seconds": 120.0,
        "heartbeat_seconds": 15.0,
        "poll_seconds": 10.0,
        "work_queues": [{"id": str(queue.pk), "name": "q", "hint_queue": f"orion-runs.{queue.pk}"}],
    }


def test_a_claim_contains_everything_to_execute_the_run(api, counted):
    agent = AgentOfApi(api)
    run = due_run(
        path="/code",
        pull_steps=[{"git": {}}],
        version="7",
        tags=["x"],
        job_variables={"env": {"A": "deployment", "B": "deployment"}, "python": "py"},
    )

    with counted("claim a run"):
        answer = agent.call("claim", limit=1)

    (claimed,) = answer.json()
    assert answer.status_code == 200
    assert claimed["flow_run"]["id"] == str(run.pk)
    assert claimed["flow_run"]["state_type"] == "PENDING"
    assert claimed["flow_name"] == run.flow.name
    assert claimed["epoch"] == 1
    assert claimed["deployment"] == {
        "id": str(run.deployment_id),
        "name": "nightly",
        "version": "7",
        "tags": ["x"],
        "entrypoint": "flows.py:etl",
        "path": "/code",
        "pull_steps": [{"git": {}}],
        "job_variables": {"env": {"A": "deployment", "B": "run"}, "python": "py", "timeout_seconds": 9},
    }


def test_nothing_to_do_is_an_empty_answer(api, counted):
    agent = AgentOfApi(api)

    with counted("claim nothing"):
        answer = agent.call("claim", limit=5)

    assert (answer.status_code, answer.json()) == (200, [])
    assert agent.call("claim", flow_run_id=MISSING).json() == []


def test_a_run_is_claimed_by_its_id(api, counted):
    agent = AgentOfApi(api)
    due_run()
    wanted = due_run(name="wanted")
    WorkQueue.objects.update(concurrency_limit=5)

    with counted("claim a run by its id"):
        answer = agent.call("claim", flow_run_id=str(wanted.pk))

    assert [one["flow_run"]["id"] for one in answer.json()] == [str(wanted.pk)]


def test_a_heartbeat_of_an_agent_of_a_whole_pool_returns_queues_created_later(api):
    of_pool, of_queue = AgentOfApi(api, work_queues=[]), AgentOfApi(api, name="other")
    later = make_queue("later")

    answer = of_pool.call("heartbeat").json()["work_queues"]

    assert {"id": str(later.pk), "name": "later", "hint_queue": f"orion-runs.{later.pk}"} in answer
    assert of_queue.call("heartbeat").json()["work_queues"] == []


def test_a_heartbeat_is_answered_with_orders(api, counted):
    agent = AgentOfApi(api)
    runs = [due_run(name=f"n{n}") for n in range(3)]
    agent.call("claim", limit=3)
    api.send(f"/flow_runs/{runs[0].pk}/set_state", {"state": {"type": "CANCELLING"}})

    with counted("heartbeat"):
        answer = agent.call("heartbeat", runs=[{"id": str(r.pk), "epoch": n or 1} for n, r in enumerate(runs)])

    orders = {one["id"]: one["order"] for one in answer.json()["orders"]}
    assert [orders[str(run.pk)] for run in runs] == ["cancel", "ok", "lost"]
    assert answer.json()["lease_seconds"] == 120.0


def test_an_end_is_reported_and_answered_with_the_state(api):
    agent = AgentOfApi(api)
    run = due_run()
    agent.call("claim", limit=1)

    answer = agent.call("ended", flow_run_id=str(run.pk), epoch=1, exit_code=3)
    again = agent.call("ended", flow_run_id=str(run.pk), epoch=1, exit_code=3)

    assert (answer.status_code, answer.json()["type"]) == (200, "CRASHED")
    assert "exited with code 3" in answer.json()["message"]
    assert again.json() == answer.json()
    assert agent.call("ended", flow_run_id=str(run.pk), epoch=0, exit_code=3).status_code == 409
    assert agent.call("ended", flow_run_id=MISSING, epoch=1).status_code == 404


def test_leaving_returns_what_was_held_and_can_be_repeated(api):
    agent = AgentOfApi(api)
    run = due_run()
    agent.call("claim", limit=1)

    assert agent.call("leave").status_code == 204
    assert agent.call("leave").status_code == 204
    assert state_of(run) == "SCHEDULED"
    assert agent.call("claim").status_code == 409
    assert agent.call("heartbeat").status_code == 409


def test_a_name_that_is_alive_elsewhere_is_refused(api):
    AgentOfApi(api, host="a")

    refused = AgentOfApi(api, host="b").registered

    assert refused.status_code == 409
    assert "'smith' is running on a" in refused.json()["detail"]
    assert AgentOfApi(api, host="a").registered.status_code == 201


def test_missing_and_malformed_objects_are_refused(api):
    agent = AgentOfApi(api)

    assert AgentOfApi(api, work_pool_name="none").registered.status_code == 404
    assert AgentOfApi(api, incarnation="x").registered.status_code == 422
    assert AgentOfApi(api, concurrency=0).registered.status_code == 422
    assert agent.call("claim", limit=-1).status_code == 422
    agent.id = MISSING
    assert agent.call("claim").status_code == agent.call("heartbeat").status_code == 404
    assert agent.call("leave").status_code == 204


def test_an_agent_of_too_many_queues_is_asked_to_serve_fewer(api):
    agent = AgentOfApi(api, work_queues=[f"q{number}" for number in range(101)])

    assert agent.registered.status_code == 422
    assert not WorkQueue.objects.exists()


def test_a_restarted_agent_continues_with_what_outlived_it(api):
    agent = AgentOfApi(api)
    survivor, gone = due_run(), due_run()
    assert len(agent.call("claim", limit=2).json()) == 2

    again = AgentOfApi(api, survivors=[{"id": str(survivor.pk), "epoch": 1}])

    (adopted,) = again.registered.json()["adopted"]
    assert (adopted["flow_run"]["id"], adopted["epoch"]) == (str(survivor.pk), 1)
    assert (state_of(survivor), state_of(gone)) == ("PENDING", "SCHEDULED")
    held = again.call("heartbeat", runs=[{"id": str(survivor.pk), "epoch": 1}])
    assert held.json()["orders"] == [{"id": str(survivor.pk), "order": "ok"}]


def test_a_survivor_whose_attempt_was_replaced_is_not_adopted(api):
    agent = AgentOfApi(api)
    run = due_run()
    agent.call("claim", limit=1)

    again = AgentOfApi(api, survivors=[{"id": str(run.pk), "epoch": 7}, {"id": MISSING, "epoch": 1}])

    assert "adopted" not in again.registered.json()
    assert state_of(run) == "SCHEDULED"


def test_an_agent_of_another_name_does_not_adopt_runs(api):
    agent = AgentOfApi(api)
    run = due_run()
    agent.call("claim", limit=1)

    thief = AgentOfApi(api, name="jones", survivors=[{"id": str(run.pk), "epoch": 1}])

    assert "adopted" not in thief.registered.json()
    assert state_of(run) == "PENDING"
    assert agent.call("heartbeat", runs=[{"id": str(run.pk), "epoch": 1}]).status_code == 200
