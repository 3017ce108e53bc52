"""Agents and the keys by which they came: what one holds, no other can renew, report or end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.models import GlobalLimit, GlobalSlot, Lease, Worker
from orion_site.accounts.users import create_user
from runs.models import FlowRun, TaskRun
from tests.factories import make_artifact, make_flow_run, make_task_run
from tests.security.askers import Asker, key_of, user_with
from tests.security.attempts import Agent
from tests.services.dispatching import make_deployment, make_queue, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(ada: User) -> Callable[[str], Agent]:
    return lambda name: Agent(Asker(key_of(user_with("agent", name))), name)


@pytest.fixture
def held(agent: Callable[[str], Agent]) -> tuple[Agent, dict[str, Any]]:
    """An agent with a run that it executes."""
    run = waiting(make_queue())
    smith = agent("smith")
    claimed = smith.call("claim", limit=1).json()
    assert [one["flow_run"]["id"] for one in claimed] == [str(run.pk)]
    return smith, {"flow_run_id": str(run.pk), "epoch": claimed[0]["epoch"]}


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("claim", {"limit": 1}),
        ("heartbeat", {"runs": [], "draining": True}),
        ("orders", {"runs": []}),
        ("leave", {}),
    ],
)
def test_an_agent_answers_to_the_key_that_registered_it(
    held: tuple[Agent, Any], agent: Callable[[str], Agent], what: str, body: Any
):
    smith, _ = held
    jones, before = agent("jones"), Worker.objects.filter(name="smith").values().get()

    answer = smith.call(what, client=jones.client, **body)

    assert (answer.status_code, "another user" in answer.json()["detail"]) == (403, True)
    assert Worker.objects.filter(name="smith").values().get() == before
    assert Lease.objects.count() == 1


def test_an_agent_ends_no_run_of_another(held: tuple[Agent, dict[str, Any]], agent: Callable[[str], Agent]):
    smith, run = held
    jones = agent("jones")

    answers = [smith.call("ended", client=jones.client, exit_code=1, **run), jones.call("ended", exit_code=1, **run)]

    assert [answer.status_code for answer in answers] == [403, 409]
    assert "does not hold run" in answers[1].json()["detail"]
    assert FlowRun.objects.get(pk=run["flow_run_id"]).state_type == "PENDING"
    assert smith.call("ended", exit_code=1, **run).status_code == 200


THEN = "2026-01-01T00:00:00Z"
EVENT = {"id": "{task}", "occurred": THEN}
REPORTS: list[tuple[str, str, Any]] = [
    ("POST", "/api/flow_runs/{run}/set_state", {"state": {"type": "COMPLETED"}}),
    ("POST", "/api/flow_runs/{run}/set_state", {"state": {"type": "CANCELLED"}, "force": True}),
    ("POST", "/api/flow_runs/{nested}/set_state", {"state": {"type": "FAILED"}}),
    ("POST", "/api/task_runs/{task}/set_state", {"state": {"type": "FAILED"}}),
    ("PATCH", "/api/flow_runs/{run}", {"name": "x"}),
    ("PATCH", "/api/task_runs/{task}", {"name": "x"}),
    ("POST", "/api/task_runs/", {"flow_run_id": "{run}", "task_key": "t", "dynamic_key": "k"}),
    ("POST", "/api/artifacts/", {"key": "x", "type": "text", "task_run_id": "{task}"}),
    ("POST", "/api/logs/", [{"name": "x", "level": 20, "message": "m", "timestamp": THEN, "flow_run_id": "{run}"}]),
    ("POST", "/api/task_runs/transitions", {
        "items": [{"task_run_id": "{task}", "state": {"id": "{task}", "type": "FAILED", "timestamp": THEN}}],
        "sent_at": THEN,
    }),
    ("PATCH", "/api/artifacts/{artifact}", {"data": "forged"}),
    ("PATCH", "/api/artifacts/{of_task}", {"data": "forged"}),
    ("POST", "/api/events", [
        {**EVENT, "event": "prefect.flow-run.Failed", "resource": {"prefect.resource.id": "prefect.flow-run.{run}"}},
    ]),
    ("POST", "/api/events", [
        {**EVENT, "event": "seen", "resource": {"prefect.resource.id": "x"}, "related": [
            {"prefect.resource.id": "prefect.task-run.{task}", "prefect.resource.role": "task-run"},
        ]},
    ]),
    ("POST", "/api/v2/concurrency_limits/increment", {
        "names": ["db"], "slots": 1, "holder": {"task_run_id": "{task}"}, "seconds": 60,
    }),
    ("POST", "/api/v2/concurrency_limits/renew", {"lease_ids": ["{slot}"], "seconds": 60}),
    ("POST", "/api/v2/concurrency_limits/release", {"lease_ids": ["{slot}"]}),
    ("POST", "/api/deployments/{deployment}/create_flow_run", {"parent_task_run_id": "{task}"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), REPORTS)
def test_a_key_of_agents_reports_no_run_that_others_hold(
    held: tuple[Agent, dict[str, Any]], agent: Callable[[str], Agent], method: str, path: str, body: Any
):
    """The keys of the agent's own user and of deployers may report it."""
    smith, run = held
    task = make_task_run(flow_run=FlowRun.objects.get(pk=run["flow_run_id"]))
    nested = make_flow_run(parent_task_run_id=task.pk)
    limit, until = GlobalLimit.objects.create(name="db", limit=10), timezone.now() + timedelta(minutes=1)
    rows = {
        "task": task,
        "nested": nested,
        "artifact": make_artifact(flow_run_id=run["flow_run_id"]),
        "of_task": make_artifact(task_run_id=task.pk),
        "deployment": make_deployment(),
        "slot": GlobalSlot.objects.create(limit=limit, task_run_id=task.pk, expires_at=until),
    }
    names = {"{run}": run["flow_run_id"], **{f"{{{name}}}": str(row.pk) for name, row in rows.items()}}
    sent = json.dumps(body)
    for name, value in names.items():
        path, sent = path.replace(name, value), sent.replace(name, value)
    before = FlowRun.objects.filter(pk=run["flow_run_id"]).values().get()

    answer = agent("jones").client.call(method, path, json.loads(sent))

    assert (answer.status_code, "another user" in answer.json()["detail"]) == (403, True)
    assert FlowRun.objects.filter(pk=run["flow_run_id"]).values().get() == before
    for client in (smith.client, Asker(key_of(user_with("deployer")))):
        assert client.call(method, path, json.loads(sent)).status_code < 300


def test_a_task_run_that_an_agent_calls_new_is_reported_by_its_holder_only(
    held: tuple[Agent, dict[str, Any]], agent: Callable[[str], Agent]
):
    """A batch may call a task run new that exists and is held by the agent of another user."""
    task = make_task_run(flow_run=FlowRun.objects.get(pk=held[1]["flow_run_id"]))
    named = {"flow_run_id": str(make_flow_run().pk), "task_key": "t", "dynamic_key": "k", "name": "t"}
    state = {"id": str(uuid4()), "type": "FAILED", "timestamp": THEN}
    items = [{"task_run_id": str(task.pk), "task_run": named}, {"task_run_id": str(task.pk), "state": state}]

    answer = agent("jones").client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": THEN})

    task.refresh_from_db()
    assert (answer.status_code, task.state_type == "FAILED") == (403, False)


def test_the_nearest_lease_identifies_the_reporter(held: tuple[Agent, dict[str, Any]], agent: Callable[[str], Agent]):
    """An attempt may not report a run that it started and that the agent of another user holds."""
    _, run = held
    task = make_task_run(flow_run=FlowRun.objects.get(pk=run["flow_run_id"]))
    called = waiting(make_queue(), parent_task_run_id=task.pk)
    jones = agent("jones")
    assert [one["flow_run"]["id"] for one in jones.call("claim", limit=1).json()] == [str(called.pk)]
    body = {"state": {"type": "RUNNING"}}

    assert held[0].client.call("POST", f"/api/flow_runs/{called.pk}/set_state", body).status_code == 403
    assert jones.client.call("POST", f"/api/flow_runs/{called.pk}/set_state", body).status_code == 201


def test_a_user_who_also_operates_moves_runs_of_others_and_reports_none(held: tuple[Agent, dict[str, Any]]):
    path = f"/api/flow_runs/{held[1]['flow_run_id']}/set_state"
    both = Asker(key_of(create_user(name="both", roles=["agent", "operator"])))

    assert both.call("POST", path, {"state": {"type": "COMPLETED"}}).status_code == 403
    assert both.call("POST", path, {"state": {"type": "CANCELLED"}, "force": True}).status_code == 403
    assert both.call("POST", path, {"state": {"type": "CANCELLING"}}).status_code == 201


def test_an_agent_ends_no_run_that_no_agent_holds(agent: Callable[[str], Agent]):
    run = make_flow_run("RUNNING", now=timezone.now())

    answer = agent("jones").call("ended", flow_run_id=str(run.pk), epoch=run.epoch, exit_code=1)

    assert answer.status_code == 409
    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_the_name_of_a_live_agent_cannot_be_taken(held: tuple[Agent, Any], agent: Callable[[str], Agent]):
    """Registering again revokes what the earlier start held."""
    smith, run = held

    answer = smith.register(agent("jones").client, incarnation=str(uuid4()))

    assert answer.status_code == 403
    assert FlowRun.objects.get(pk=run["flow_run_id"]).state_type == "PENDING"
    assert Worker.objects.get(name="smith").incarnation is not None


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_heartbeat_of_another_user_takes_no_agents_name(agent: Callable[[str], Agent], is_alive: bool):
    smith, jones = agent("smith"), agent("jones")
    row = Worker.objects.select_related("work_pool").get(name="smith")
    if not is_alive:
        Worker.objects.filter(pk=row.pk).update(offline_at=timezone.now() - timedelta(hours=1))
    before = Worker.objects.filter(pk=row.pk).values().get()
    path, body = f"/api/work_pools/{row.work_pool.name}/workers/heartbeat", {"name": "smith"}

    answer = jones.client.call("POST", path, body)

    assert (answer.status_code, "another user" in answer.json()["detail"]) == (403, True)
    assert "Choose another name" in answer.json()["detail"]
    assert Worker.objects.filter(pk=row.pk).values().get() == before
    assert [one.client.call("POST", path, {"name": "w"}).status_code for one in (smith, jones)] == [204, 204]
    assert smith.client.call("POST", path, body).status_code == 204


def test_a_new_key_of_the_same_user_speaks_for_its_agents(held: tuple[Agent, dict[str, Any]]):
    smith, run = held
    renewed = Asker(key_of(User.objects.get(username="smith")))

    answer = smith.call("heartbeat", renewed, runs=[{"id": run["flow_run_id"], "epoch": run["epoch"]}])

    assert (answer.status_code, answer.json()["orders"][0]["order"]) == (200, "ok")


def test_a_batch_forces_no_task_run_that_the_agent_neither_serves_nor_made(agent: Callable[[str], Agent]):
    task, jones = make_task_run(flow_run=make_flow_run("RUNNING")), agent("jones")
    state = {"id": str(uuid4()), "type": "FAILED", "timestamp": THEN}
    batch = {"items": [{"task_run_id": str(task.pk), "state": state, "force": True}], "sent_at": THEN}

    answer = jones.client.call("POST", "/api/task_runs/transitions", batch)

    task.refresh_from_db()
    assert (answer.status_code, task.state_type == "FAILED") == (403, False)
    assert Asker(key_of(user_with("deployer"))).call("POST", "/api/task_runs/transitions", batch).status_code == 200


def reported(task: TaskRun) -> dict[str, Any]:
    state = {"id": str(uuid4()), "type": "RUNNING", "timestamp": THEN}
    return {"task_run_id": str(task.pk), "state": state}


def test_a_batch_with_a_forced_state_of_an_own_run_may_report_about_others(
    held: tuple[Agent, dict[str, Any]], agent: Callable[[str], Agent]
):
    smith, run = held
    own = make_task_run(flow_run=FlowRun.objects.get(pk=run["flow_run_id"]))
    other = make_task_run(flow_run=make_flow_run("RUNNING"))
    batch = {"items": [reported(other), {**reported(own), "force": True}], "sent_at": THEN}

    answer = smith.client.call("POST", "/api/task_runs/transitions", batch)

    assert (answer.status_code, [one["status"] for one in answer.json()["results"]]) == (200, ["ACCEPT", "ACCEPT"])


def test_a_batch_forces_no_task_run_that_it_creates_in_a_run_of_others(agent: Callable[[str], Agent]):
    run, task, jones = make_flow_run("RUNNING"), str(uuid4()), agent("jones")
    made = {"flow_run_id": str(run.pk), "task_key": "t", "dynamic_key": "0"}
    state = {"id": str(uuid4()), "type": "FAILED", "timestamp": THEN}
    items = [{"task_run_id": task, "task_run": made}, {"task_run_id": task, "state": state, "force": True}]

    answer = jones.client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": THEN})

    assert answer.status_code == 403
    assert not run.task_runs.exists()


FORCED = {"state": {"type": "CRASHED"}, "force": True}


def reaching(client: Asker, run: Any) -> tuple[int, int]:
    """Force a state of a run, and hand it a value: the statuses of the answers."""
    forced = client.call("POST", f"/api/flow_runs/{run}/set_state", FORCED).status_code
    return forced, client.call("POST", f"/api/flow_runs/{run}/input", {"key": str(uuid4()), "value": "1"}).status_code


def test_an_agent_reaches_no_run_that_it_neither_serves_nor_made(agent: Callable[[str], Agent]):
    program, other = make_flow_run("RUNNING"), waiting(make_queue("other"))
    jones = agent("jones")

    assert {reaching(jones.client, one.pk) for one in (program, other)} == {(403, 403)}
    for role in ("deployer", "admin"):
        assert reaching(Asker(key_of(user_with(role))), program.pk) == (201, 201)


def test_an_agent_reaches_the_runs_of_its_queues_and_what_is_nested_in_them(agent: Callable[[str], Agent]):
    jones, run = agent("jones"), waiting(make_queue())
    nested = make_flow_run("RUNNING", parent_task_run_id=make_task_run(flow_run=run).pk)

    assert reaching(jones.client, nested.pk) == (201, 201)
    assert reaching(jones.client, run.pk) == (201, 201)


def test_an_agent_of_another_make_reaches_what_it_asked_for(ada: User):
    client, queue = Asker(key_of(user_with("agent"))), make_queue("other")
    run = waiting(queue)
    assert reaching(client, run.pk) == (403, 403)

    client.call("POST", f"/api/work_queues/{queue.pk}/get_runs", {})

    assert reaching(client, run.pk) == (201, 201)


def test_a_program_with_a_key_of_agents_reaches_what_it_made(ada: User):
    client = Asker(key_of(user_with("agent")))
    flow = client.call("POST", "/api/flows/", {"name": "f"}).json()
    made = client.call("POST", "/api/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}}).json()

    assert made["created_by"]["display_value"] == "agent-account"
    assert reaching(client, made["id"]) == (201, 201)
