"""Ids of other runs where a report may name them: in bodies, as ids that its sender chose, as keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.models import GlobalLimit, Variable, WorkQueue
from events.models import Event
from orion_site.accounts.users import create_user
from orion_site.audit.models import Entry
from runs.models import Artifact, BulkAction, FlowRun, FlowRunState, Log, TaskRun
from tests.security.askers import ELSEWHERE, PASSWORD, Asker, key_of, user_with
from tests.security.attempts import Attempt, sent_at, state_of, task_run_of
from tests.security.test_objects import someone
from tests.security.worlds import World, make_world
from tests.sockets.conftest import OWN_HOST, PATIENCE, talk_to

pytestmark = pytest.mark.django_db


def test_a_task_run_that_is_called_new_gives_no_access_to_task_runs_of_others(attempt: Attempt, other: World):
    victim = other.id_of("runs_taskrun")
    items = [
        {"task_run_id": victim, "task_run": task_run_of(attempt.id)},
        {"task_run_id": victim, "state": state_of("FAILED")},
    ]

    answer = attempt.client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": sent_at()})

    assert answer.status_code == 403
    assert "RUNNING" not in answer.content.decode()
    assert TaskRun.objects.get(pk=victim).state_type == "RUNNING"


def test_it_gives_a_deployer_of_one_deployment_no_access_either(ada: User):
    own, other = make_world("alder"), make_world("birch")
    client, victim = Asker(key_of(someone("deployer:deployment:alder-flow/alder-daily"))), other.id_of("runs_taskrun")
    items = [
        {"task_run_id": victim, "task_run": task_run_of(own.id_of("runs_flowrun"))},
        {"task_run_id": victim, "state": state_of("FAILED")},
    ]

    answer = client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": sent_at()})

    assert answer.status_code == 403
    assert TaskRun.objects.get(pk=victim).state_type == "RUNNING"


def test_a_known_key_or_id_does_not_return_a_run_of_others(attempt: Attempt, other: World):
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


def test_a_known_id_does_not_return_an_artifact_of_others(attempt: Attempt, other: World):
    artifact = other.id_of("runs_artifact")

    answer = attempt.client.call("POST", "/api/artifacts/", {"id": artifact, "type": "text", "flow_run_id": attempt.id})

    assert answer.status_code == 403
    assert "birch" not in answer.content.decode()


def test_log_lines_and_artifacts_cannot_be_added_to_task_runs_of_others(attempt: Attempt, other: World):
    victim, client = other.id_of("runs_taskrun"), attempt.client
    before = (Log.objects.count(), Artifact.objects.count())
    line = {"name": "x", "level": 20, "message": "m", "timestamp": sent_at(), "flow_run_id": attempt.id}
    artifact = {"key": "x", "type": "text", "flow_run_id": attempt.id, "task_run_id": victim}

    assert client.call("POST", "/api/logs/", [{**line, "task_run_id": victim}]).status_code == 403
    assert client.call("POST", "/api/artifacts/", artifact).status_code == 403
    assert (Log.objects.count(), Artifact.objects.count()) == before
    # Of a task run that is recorded later.
    assert client.call("POST", "/api/logs/", [{**line, "task_run_id": str(uuid4())}]).status_code == 201


def test_lookups_by_name_show_a_run_no_other_runs(attempt: Attempt, other: World):
    client, deployment = attempt.client, other.id_of("deployments_deployment")
    found = client.call("POST", "/api/deployments/filter", {"flow_runs": {"name": {"like_": "birch-run"}}})
    tag = client.get("/api/concurrency_limits/tag/birch-tag/holders")

    assert found.json() == []
    assert client.get(f"/api/deployments/{deployment}").json()["name"] == "birch-daily"
    assert client.get("/api/deployments/name/birch-flow/birch-daily").status_code == 200
    assert client.call("POST", "/api/deployments/filter", {}).json() != []
    assert (tag.json()["holders"], tag.json()["waiters"]) == ([], [])
    for page in (f"/deployments/{deployment}", "/deployments", "/limits", "/schedule"):
        text = client.get(page).content.decode()
        assert "birch-run" not in text
        assert "birch-late" not in text
    assert client.call("POST", "/api/backfills/filter", {}).json() == []


def test_a_run_starts_deployments_but_cannot_control_backfills(attempt: Attempt, other: World):
    client, backfill = attempt.client, other.id_of("deployments_backfill")
    path = f"/api/deployments/{other.id_of('deployments_deployment')}/create_flow_run"

    made = client.call("POST", path, {})

    assert (made.status_code, made.json()["state"]["type"]) == (201, "SCHEDULED")
    for deed in ("pause", "resume", "cancel"):
        assert client.call("POST", f"/api/backfills/{backfill}/{deed}").status_code in {403, 404}
    assert client.call("POST", path, {"parent_task_run_id": other.id_of("runs_taskrun")}).status_code == 403
    assert client.call("POST", path, {"work_queue_name": "elsewhere"}).status_code == 403
    assert client.call("POST", path, {"work_queue_name": "birch-queue"}).status_code == 201


@pytest.mark.parametrize(
    "roles",
    [
        ["operator"],
        ["operator:deployment:alder-flow/alder-daily"],
        ["deployer:deployment:alder-flow/alder-daily"],
        ["operator", "deployer:deployment:alder-flow/alder-daily"],
    ],
    ids=" and ".join,
)
def test_without_the_right_to_customise_all_runs_no_other_queue_may_be_named(ada: User, roles: list[str]):
    own = make_world("alder")
    client, queues = Asker(key_of(someone(*roles))), WorkQueue.objects.count()
    deployment = own.id_of("deployments_deployment")
    path = f"/api/deployments/{deployment}/create_flow_run"
    past = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z", "schedule": {"interval": 86400}}
    backfill = {**past, "deployment_id": deployment, "work_queue_name": "elsewhere"}

    assert client.call("POST", path, {"work_queue_name": "elsewhere"}).status_code == 403
    assert client.call("POST", "/api/backfills/", backfill).status_code == 403
    assert client.call("POST", path, {"work_queue_name": "alder-queue"}).status_code == 201
    assert WorkQueue.objects.count() == queues


def test_naming_an_attempt_hides_no_forced_state_from_the_audit_log(ada: User, attempt: Attempt):
    other = make_world("birch")
    epoch = FlowRun.objects.get(pk=attempt.id).epoch
    client = Asker(key_of(someone("deployer")), **{"orion-run-id": attempt.id, "orion-run-epoch": str(epoch)})
    path = f"/api/flow_runs/{other.id_of('runs_flowrun')}/set_state"

    assert client.call("POST", path, {"state": {"type": "FAILED"}, "force": True}).status_code == 201

    assert Entry.objects.filter(operation="ForceFlowRunState").count() == 1


def event_of(resource: str, *related: str) -> dict[str, Any]:
    others = [{"prefect.resource.id": one, "prefect.resource.role": "flow-run"} for one in related]
    resources = {"resource": {"prefect.resource.id": resource}, "related": others}
    return {"id": str(uuid4()), "event": "prefect.flow-run.Failed", "occurred": sent_at(), **resources}


def test_a_run_reports_no_events_of_others(attempt: Attempt, other: World):
    own, victim = f"prefect.flow-run.{attempt.id}", f"prefect.flow-run.{other.id_of('runs_flowrun')}"
    before = Event.objects.count()

    def report(*resources: str) -> int:
        return int(attempt.client.call("POST", "/api/events", [event_of(*resources)]).status_code)

    assert report(victim) == 403
    assert report("my.resource", victim) == 403
    assert report(f"prefect.task-run.{other.id_of('runs_taskrun')}") == 403
    assert Event.objects.count() == before
    assert report(own, own) == 204
    assert report("my.resource", f"prefect.flow-run.{uuid4()}") == 204


@database_sync_to_async
def prepared() -> tuple[Attempt, World]:
    create_user(name="ada", password=PASSWORD)
    return Attempt(), make_world("birch")


@pytest.mark.django_db(transaction=True)
async def test_a_run_reports_no_events_of_others_over_a_socket(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orchestration.api.sockets.RIGHTS_EVERY_SECONDS", 0.05)
    attempt, other = await prepared()
    before = await Event.objects.acount()
    headers = (OWN_HOST, (b"authorization", f"Bearer {attempt.token}".encode()))
    reporting = talk_to("/api/events/in", headers=headers, client=ELSEWHERE)
    idle = talk_to("/api/events/in", headers=headers, client=ELSEWHERE)
    assert (await reporting.connect(timeout=PATIENCE))[0]
    assert (await idle.connect(timeout=PATIENCE))[0]

    await reporting.send_json_to(event_of(f"prefect.flow-run.{other.id_of('runs_flowrun')}"))

    assert await reporting.close_code() == 1008
    assert await Event.objects.acount() == before
    await FlowRun.objects.filter(pk=attempt.id).aupdate(epoch=attempt.claimed["epoch"] + 1)
    assert await idle.close_code() == 1008


@pytest.mark.django_db(transaction=True)
async def test_a_key_of_agents_reports_no_events_of_held_runs_over_a_socket():
    attempt, _ = await prepared()
    key = await database_sync_to_async(lambda: key_of(user_with("agent", "jones")))()
    headers = (OWN_HOST, (b"authorization", f"Bearer {key}".encode()))
    before = await Event.objects.acount()
    talk = talk_to("/api/events/in", headers=headers, client=ELSEWHERE)
    assert (await talk.connect(timeout=PATIENCE))[0]

    await talk.send_json_to(event_of("my.resource"))
    await talk.ping()
    await talk.send_json_to(event_of(f"prefect.flow-run.{attempt.id}"))

    assert await talk.close_code() == 1008
    assert await Event.objects.acount() == before + 1


@pytest.mark.parametrize("again", ["COMPLETED", "RUNNING"])
def test_an_attempt_that_ended_gives_itself_no_more_time(attempt: Attempt, again: str):
    attempt.report()
    attempt.report("COMPLETED")
    before = timezone.now() - timedelta(seconds=50)
    FlowRunState.objects.filter(flow_run=attempt.id).update(timestamp=before)
    FlowRun.objects.filter(pk=attempt.id).update(state_timestamp=before)
    state = {"state": {"type": again}}

    forced = attempt.client.call("POST", f"/api/flow_runs/{attempt.id}/set_state", {**state, "force": True})
    attempt.report(again)
    FlowRunState.objects.filter(timestamp=before).update(timestamp=before - timedelta(seconds=11))

    assert forced.status_code == 403
    assert attempt.client.get(f"/api/flow_runs/{attempt.id}").status_code == 401


def test_parameters_of_a_run_show_no_variable_that_its_starter_may_not_read(ada: User):
    own = make_world("alder")
    Variable.objects.create(name="limit", value="birch-value")
    body = {"parameters": {"x": {"__prefect_kind": "workspace_variable", "variable_name": "limit"}}}
    path = f"/api/deployments/{own.id_of('deployments_deployment')}/create_flow_run"

    def start(name: str, *roles: str) -> Any:
        return Asker(key_of(someone(*roles, name=name))).call("POST", path, body)

    refused = start("carol", "operator:deployment:alder-flow/alder-daily")
    allowed = start("dora", "operator:deployment:alder-flow/alder-daily", "viewer")

    assert (refused.status_code, "birch-value" in refused.content.decode()) == (400, False)
    assert allowed.json()["parameters"] == {"x": "birch-value"}


def test_a_users_own_queue_picks_no_runs_of_others(ada: User):
    own, other = make_world("alder"), make_world("birch")
    client = Asker(key_of(someone("deployer:work-pool:alder-pool")))
    chosen = {"filter": {"tags": [], "deployment_ids": [other.id_of("deployments_deployment")]}}
    queue, pool = f"/api/work_queues/{own.id_of('deployments_workqueue')}", "/api/work_pools/alder-pool/queues"

    answers = [client.call("PATCH", queue, chosen), client.call("POST", pool, {"name": "new", **chosen})]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert client.call("PATCH", queue, {"description": "x"}).status_code == 204
    assert client.call("POST", pool, {"name": "new"}).status_code == 201


@pytest.mark.parametrize("who", ["an operator of one deployment", "another operator"])
def test_the_id_of_a_bulk_action_of_others_shows_nothing_of_it(ada: User, who: str):
    make_world("alder")
    other = make_world("birch")
    role = "operator" if who == "another operator" else "operator:deployment:alder-flow/alder-daily"
    body = {"action": "cancel", "flow_runs": {}, "id": other.id_of("runs_bulkaction")}

    answer = Asker(key_of(someone(role))).call("POST", "/api/bulk_actions/", body)

    assert (answer.status_code, b"birch" in answer.content) == (409, False)
    assert BulkAction.objects.get(pk=body["id"]).status == "active"


def test_slots_are_not_taken_for_runs_of_others(attempt: Attempt, other: World):
    GlobalLimit.objects.create(name="db", limit=2, created=timezone.now())

    def take(run: str) -> int:
        body = {"names": ["db"], "slots": 1, "holder": {"flow_run_id": run}}
        return int(attempt.client.call("POST", "/api/v2/concurrency_limits/increment", body).status_code)

    assert (take(other.id_of("runs_flowrun")), take(attempt.id)) == (403, 200)
