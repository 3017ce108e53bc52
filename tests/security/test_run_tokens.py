"""Run tokens: an attempt speaks for itself, for what is nested in it, and for nothing else; it ends with its run."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.models import Lease, Worker
from orion_site.accounts.objects import address_of
from orion_site.accounts.run_tokens import token_of
from orion_site.accounts.users import delete_user, set_active
from runs.models import FlowRun, TaskRun
from tests.factories import make_flow_run, make_task_run
from tests.security.askers import Asker
from tests.security.attempts import Agent, Attempt, sent_at, state_of, task_run_of
from tests.security.test_objects import routes
from tests.security.test_walk import filled
from tests.security.worlds import World
from tests.services.dispatching import make_queue, waiting

pytestmark = pytest.mark.django_db


def test_an_attempt_reports_itself_and_what_is_nested_in_it(attempt: Attempt):
    client = attempt.client

    assert attempt.report().json()["status"] == "ACCEPT"
    task = client.call("POST", "/api/task_runs/", task_run_of(attempt.id, id=str(uuid4()))).json()
    batch = {"items": [{"task_run_id": task["id"], "state": state_of("RUNNING")}], "sent_at": sent_at()}
    applied = client.call("POST", "/api/task_runs/transitions", batch)
    assert applied.json()["results"][0]["status"] == "ACCEPT"
    flow = client.call("POST", "/api/flows/", {"name": "inner"}).json()
    nested = client.call("POST", "/api/flow_runs/", {"flow_id": flow["id"], "parent_task_run_id": task["id"]})
    assert nested.status_code == 201
    deep = client.call("POST", "/api/task_runs/", task_run_of(nested.json()["id"]))
    assert deep.status_code == 201
    line = {"name": "x", "level": 20, "message": "m", "timestamp": sent_at(), "flow_run_id": nested.json()["id"]}
    assert client.call("POST", "/api/logs/", [line]).status_code == 201
    artifact = client.call("POST", "/api/artifacts/", {"key": "report", "type": "text", "flow_run_id": attempt.id})
    assert artifact.status_code == 201
    assert client.get(f"/api/flow_runs/{nested.json()['id']}").status_code == 200
    assert client.call("POST", "/api/flow_runs/count", {}).json() == 2
    assert attempt.report("COMPLETED").json()["status"] == "ACCEPT"


def test_an_attempt_learns_nothing_of_other_runs(attempt: Attempt, other: World):
    client, run, task_run = attempt.client, other.id_of("runs_flowrun"), other.id_of("runs_taskrun")
    flow, deployment = other.id_of("runs_flow"), other.id_of("deployments_deployment")
    line = {"name": "x", "level": 20, "message": "m", "timestamp": sent_at()}
    own = task_run_of(attempt.id)
    before = (FlowRun.objects.count(), TaskRun.objects.count())
    refused = {
        ("POST", f"/api/flow_runs/{run}/set_state"): {"state": {"type": "CANCELLED"}, "force": True},
        ("PATCH", f"/api/flow_runs/{run}"): {"name": "x"},
        ("POST", f"/api/task_runs/{task_run}/set_state"): {"state": {"type": "COMPLETED"}},
        ("POST", "/api/task_runs/"): task_run_of(run),
        ("POST", "/api/logs/"): [{**line, "flow_run_id": attempt.id}, {**line, "flow_run_id": run}],
        ("POST", "/api/logs/ "): [line],
        ("POST", "/api/artifacts/"): {"key": "x", "type": "text", "task_run_id": task_run},
        ("POST", "/api/artifacts/ "): {"key": "x", "type": "text"},
        ("POST", "/api/flow_runs/"): {"flow_id": flow},
        ("POST", "/api/flow_runs/ "): {"flow_id": flow, "parent_task_run_id": task_run},
        ("POST", "/api/flow_runs/  "): {"flow_id": flow, "deployment_id": deployment},
        ("POST", "/api/task_runs/transitions"): {
            "items": [
                {"task_run_id": str(uuid4()), "task_run": own, "state": state_of("PENDING")},
                {"task_run_id": task_run, "state": state_of("FAILED")},
            ],
            "sent_at": sent_at(),
        },
        ("POST", f"/api/flow_runs/{run}/input"): {"key": "k", "value": "v"},
        ("DELETE", f"/api/flow_runs/{attempt.id}"): None,
        ("DELETE", f"/api/flow_runs/{run}"): None,
        ("DELETE", f"/api/deployments/{deployment}"): None,
        ("POST", "/api/agents/"): {},
        ("POST", f"/api/agents/{attempt.agent.id}/claim"): {"incarnation": attempt.agent.incarnation},
        ("POST", "/api/variables/"): {"name": "x", "value": "y"},
        ("POST", "/api/block_documents/"): {},
        ("GET", "/api/admin/settings"): None,
        ("POST", "/api/automations/filter"): {},
        ("POST", "/api/audit/filter"): {},
    }

    answers = {ask: client.call(ask[0], ask[1].strip(), body).status_code for ask, body in refused.items()}

    assert {ask: status for ask, status in answers.items() if status not in {403, 404}} == {}
    assert (FlowRun.objects.count(), TaskRun.objects.count()) == before
    for path in ("flow_runs", "task_runs", "logs", "artifacts"):
        text = client.call("POST", f"/api/{path}/filter", {}).content.decode()
        assert "birch" not in text


@pytest.fixture
def started(attempt: Attempt, other: World) -> str:
    """A run of another's deployment that the attempt started on its own."""
    path = f"/api/deployments/{other.id_of('deployments_deployment')}/create_flow_run"
    return str(attempt.client.call("POST", path, {"state": {"type": "SCHEDULED"}}).json()["id"])


def test_an_attempt_waits_for_the_runs_that_it_started(attempt: Attempt, started: str, other: World):
    client, path = attempt.client, f"/api/flow_runs/{started}"

    assert client.get(path).json()["state"]["type"] == "SCHEDULED"
    assert client.get(path).json()["created_by"]["id"] == attempt.id
    assert client.call("POST", "/api/flow_runs/filter", {"flow_runs": {"id": {"any_": [started]}}}).json() != []
    assert client.call("POST", f"{path}/input", {"key": "k", "value": "1"}).status_code == 201
    assert client.call("POST", "/api/flow_runs/count", {}).json() == 2
    # A run that is nested in the started one is seen with it; nobody else's token sees either.
    inner = make_flow_run(parent_task_run_id=make_task_run(flow_run=FlowRun.objects.get(pk=started)).pk)
    assert client.get(f"/api/flow_runs/{inner.pk}").status_code == 200
    assert client.get(f"/api/flow_runs/{other.id_of('runs_flowrun')}").status_code == 404
    assert stranger_of(other).get(path).status_code == 404


def stranger_of(other: World) -> Asker:
    """A run of another, which has begun this moment."""
    run = FlowRun.objects.get(pk=other.id_of("runs_flowrun"))
    return Asker(token_of(run.pk, run.epoch, None))


def test_what_an_attempt_may_do_to_a_run_that_it_started(attempt: Attempt, started: str):
    """Every operation on a flow run by every method: the rest is refused, or needs no right on a run."""
    allowed = set()
    for route in routes():
        if address_of(route) == "api/flow_runs/<id>":
            path = "/" + re.sub(r"<(\w+:)?id>", started, route, count=1)
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                answer = attempt.client.call(method, filled(path), {})
                if answer.status_code not in {403, 405}:
                    allowed.add((method, re.sub(r"<.*?>", "…", path.removeprefix(f"/api/flow_runs/{started}"))))

    # A preview only reads.
    reading = {("POST", "/input/filter"), ("POST", "/retry/preview")}
    assert {one for one in allowed if one[0] != "GET"} == {("POST", "/input"), *reading}
    assert FlowRun.objects.get(pk=started).state_type == "SCHEDULED"


@pytest.mark.parametrize("whose", ["own", "another's"])
def test_an_attempt_starts_runs_below_its_own_tasks_only(attempt: Attempt, other: World, whose: str):
    path = f"/api/deployments/{other.id_of('deployments_deployment')}/create_flow_run"
    own = attempt.client.call("POST", "/api/task_runs/", task_run_of(attempt.id)).json()["id"]
    parent, before = own if whose == "own" else other.id_of("runs_taskrun"), FlowRun.objects.count()

    answer = attempt.client.call("POST", path, {"parent_task_run_id": parent})

    assert (answer.status_code, FlowRun.objects.count() - before) == ((201, 1) if whose == "own" else (403, 0))


@pytest.mark.parametrize("kind", ["USER", "DEPLOYMENT", "AUTOMATION", "BACKFILL"])
def test_an_attempt_with_the_id_of_something_else_sees_nothing_of_it(attempt: Attempt, kind: str):
    """The creator of a run chooses its id, which may be that of a deployment, as in `created_by` of planned runs."""
    theirs = make_flow_run("RUNNING", created_by={"id": attempt.id, "type": kind, "display_value": "x"})

    assert attempt.client.get(f"/api/flow_runs/{theirs.pk}").status_code == 404


@pytest.mark.parametrize("body", [{"state": {"type": "CANCELLED"}}, {"state": {"type": "COMPLETED"}, "force": True}])
def test_an_attempt_reports_no_run_that_it_started(attempt: Attempt, started: str, body: dict[str, Any]):
    client = attempt.client
    line = {"name": "x", "level": 20, "message": "m", "timestamp": sent_at(), "flow_run_id": started}

    answers = [
        client.call("POST", f"/api/flow_runs/{started}/set_state", body),
        client.call("POST", "/api/logs/", [line]),
        client.call("POST", "/api/task_runs/", task_run_of(started)),
    ]

    assert {answer.status_code for answer in answers} == {403}


def test_an_attempt_waits_for_the_tasks_that_it_offered(attempt: Attempt, other: World):
    """These tasks have no flow run. A task worker executes them, and the run only waits."""
    offered = task_run_of(None, state={"type": "SCHEDULED"})

    made = attempt.client.call("POST", "/api/task_runs/", offered)

    path = f"/api/task_runs/{made.json()['id']}"
    assert made.status_code == 201
    assert attempt.client.call("POST", "/api/task_runs/", offered).json()["id"] == made.json()["id"]
    assert attempt.client.get(path).json()["state"]["type"] == "SCHEDULED"
    assert attempt.client.call("POST", f"{path}/set_state", {"state": {"type": "COMPLETED"}}).status_code == 403
    assert stranger_of(other).get(path).status_code == 404
    # The dynamic key of a stranger's cannot be chosen so that it looks like one of this run.
    foreign = task_run_of(None, state={"type": "SCHEDULED"}) | {"dynamic_key": f"{attempt.id}-x"}
    hidden = stranger_of(other).call("POST", "/api/task_runs/", foreign).json()["id"]
    assert attempt.client.get(f"/api/task_runs/{hidden}").status_code == 404


def test_a_token_opens_no_page_but_what_its_run_sees(attempt: Attempt, other: World):
    assert attempt.client.get("/settings/users").status_code == 403
    assert attempt.client.get(f"/runs/{other.id_of('runs_flowrun')}").status_code == 404


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED"])
def test_a_token_ends_with_its_run(attempt: Attempt, end: str):
    attempt.report()
    attempt.report(end)

    # Its last lines.
    assert attempt.client.get(f"/api/flow_runs/{attempt.id}").status_code == 200
    FlowRun.objects.filter(pk=attempt.id).update(state_timestamp=timezone.now() - timedelta(seconds=61))

    answer = attempt.client.get(f"/api/flow_runs/{attempt.id}")

    assert (answer.status_code, "over" in answer.json()["detail"]) == (401, True)


def test_a_token_is_lost_with_its_attempt(attempt: Attempt):
    attempt.report()
    FlowRun.objects.filter(pk=attempt.id).update(epoch=attempt.claimed["epoch"] + 1)

    answer = attempt.report("COMPLETED")

    assert (answer.status_code, answer.json()["code"]) == (409, "run_lost")
    assert attempt.client.get("/runs").status_code in {302, 401}


def test_a_token_ends_with_the_user_of_its_agent(attempt: Attempt):
    set_active(name="smith", is_active=False)

    assert attempt.report().status_code == 401


@pytest.mark.parametrize(
    "forged",
    [
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: "ort_" + "A" * 70,
        lambda token: "ort_",
        lambda token: "ort_é",
        lambda token: token + "AAAA",
        lambda token: token_of(make_flow_run("RUNNING").pk, 0, None)[:30] + token[30:],
    ],
)
def test_a_forged_token_is_refused(attempt: Attempt, forged: Callable[[str], str]):
    answer = Asker(forged(attempt.token)).get(f"/api/flow_runs/{attempt.id}")

    assert answer.status_code == 401
    assert Asker(forged(attempt.token), address="127.0.0.1").get(f"/api/flow_runs/{attempt.id}").status_code == 401


def test_a_token_knows_its_user_when_its_agent_no_longer_exists(attempt: Attempt):
    attempt.report()
    Worker.objects.filter(name="smith").delete()
    assert attempt.client.get(f"/api/flow_runs/{attempt.id}").status_code == 200

    set_active(name="smith", is_active=False)

    assert attempt.client.get(f"/api/flow_runs/{attempt.id}").status_code == 401


def test_a_token_ends_with_a_deleted_user(attempt: Attempt):
    delete_user(name="smith")

    assert attempt.report().status_code == 401


def test_a_token_of_an_earlier_version_counts_to_the_end_of_its_attempt(attempt: Attempt):
    old = Asker(token_of(attempt.run.pk, attempt.claimed["epoch"], None))
    assert old.get(f"/api/flow_runs/{attempt.id}").status_code == 200

    set_active(name="smith", is_active=False)

    assert old.get(f"/api/flow_runs/{attempt.id}").status_code == 401


@pytest.mark.parametrize("again", ["SCHEDULED", "RUNNING", "PENDING", "PAUSED"])
def test_an_attempt_that_is_over_gives_itself_no_more_time(attempt: Attempt, again: str):
    """It waits for its next attempt, and must not propose another state itself."""
    attempt.report()
    Lease.objects.all().delete()
    attempt.report("SCHEDULED")
    FlowRun.objects.filter(pk=attempt.id).update(state_type="SCHEDULED")
    before = FlowRun.objects.get(pk=attempt.id).state_id

    refused = attempt.report(again)

    assert (refused.status_code, "over" in refused.json()["detail"]) == (403, True)
    assert FlowRun.objects.get(pk=attempt.id).state_id == before
    FlowRun.objects.filter(pk=attempt.id).update(state_timestamp=timezone.now() - timedelta(seconds=61))
    assert attempt.client.get(f"/api/flow_runs/{attempt.id}").status_code == 401


def test_an_attempt_that_repeats_its_end_is_answered(attempt: Attempt):
    attempt.report()
    client, body = Asker(attempt.token, **{"orion-proposal-id": str(uuid4())}), {"state": {"type": "SCHEDULED"}}
    path = f"/api/flow_runs/{attempt.id}/set_state"
    first = client.call("POST", path, body)
    Lease.objects.all().delete()

    assert client.call("POST", path, body).json() == first.json()


def test_a_run_is_not_shown_by_its_key_without_rights_on_it(attempt: Attempt, other: World):
    path = f"/api/deployments/{other.id_of('deployments_deployment')}/create_flow_run"
    Asker(address="127.0.0.1").call("POST", path, {"idempotency_key": "known", "parameters": {"x": "birch"}})

    answer = attempt.client.call("POST", path, {"idempotency_key": "known"})

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_taken")
    assert "birch" not in answer.content.decode()
    # Its own it finds again.
    made = [attempt.client.call("POST", path, {"idempotency_key": "mine"}) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 200]


def test_an_agent_without_a_key_gets_no_token(db: None):
    waiting(make_queue())
    agent = Agent(Asker(address="127.0.0.1"), "local")

    [claimed] = agent.call("claim", limit=1).json()

    assert claimed["run_token"] is None
