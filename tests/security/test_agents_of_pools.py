"""Agents of a team: the role agent for one work pool or queue serves that and no other, and reads no secrets."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from deployments.models import BlockDocument, Worker, WorkPool, WorkQueue
from orion_site.accounts.users import create_group, create_user, set_groups
from runs.models import FlowRun
from tests.api.blocks import login_schema, make_document
from tests.factories import make_flow_run, make_task_run
from tests.security.askers import Asker, key_of
from tests.services.dispatching import make_deployment, waiting

pytestmark = pytest.mark.django_db

POOL, QUEUE = "agent:work-pool:gpu", "agent:work-queue:gpu/fast"


class Team:
    """An agent with the roles of one group, spoken to as by its process."""

    def __init__(self, name: str, *roles: str) -> None:
        create_group(name=f"{name}-team", roles=list(roles))
        self.user = create_user(name=name, groups=[f"{name}-team"])
        self.asker, self.name, self.incarnation, self.id = Asker(key_of(self.user)), name, str(uuid4()), ""

    def register(self, pool: str | None, *queues: str) -> Any:
        body = {"name": self.name, "incarnation": self.incarnation, "host": "h", "work_pool_name": pool}
        answer = self.asker.call("POST", "/api/agents/", {**body, "work_queues": list(queues)})
        self.id = answer.json().get("id", self.id)
        return answer

    def call(self, what: str, **body: Any) -> Any:
        return self.asker.call("POST", f"/api/agents/{self.id}/{what}", {"incarnation": self.incarnation, **body})

    def claimed(self, **body: Any) -> set[str]:
        return {one["flow_run"]["id"] for one in self.call("claim", **{"limit": 9, **body}).json()}


@pytest.fixture
def queues(ada: User) -> dict[str, WorkQueue]:
    made = {}
    for pool_name in ("gpu", "cpu"):
        pool = WorkPool.objects.create(name=pool_name)
        for name in ("fast", "slow"):
            queue = WorkQueue.objects.create(name=name, work_pool=pool, priority=len(made) + 1)
            made[f"{pool_name}/{name}"] = queue
    return made


@pytest.fixture
def runs(queues: dict[str, WorkQueue]) -> dict[str, str]:
    return {name: str(waiting(queue).pk) for name, queue in queues.items()}


def test_an_agent_of_a_pool_serves_all_of_it_and_nothing_else(runs: dict[str, str]):
    team = Team("gwen", POOL)

    assert team.register("gpu").status_code == 201
    assert team.claimed() == {runs["gpu/fast"], runs["gpu/slow"]}
    assert team.claimed(flow_run_id=runs["cpu/fast"]) == set()
    held = FlowRun.objects.get(pk=runs["gpu/fast"])
    beat = team.call("heartbeat", runs=[{"id": str(held.pk), "epoch": held.epoch}])
    assert (beat.status_code, [one["order"] for one in beat.json()["orders"]]) == (200, ["ok"])
    ended = team.call("ended", flow_run_id=str(held.pk), epoch=held.epoch, exit_code=1)
    assert (ended.status_code, team.call("leave").status_code) == (200, 204)


def test_an_agent_of_a_queue_serves_that_queue(runs: dict[str, str]):
    team = Team("gwen", QUEUE)

    assert team.register("gpu", "fast").status_code == 201
    assert team.claimed() == {runs["gpu/fast"]}


@pytest.mark.parametrize(
    ("role", "pool", "named", "status"),
    [
        (POOL, "cpu", (), 404),
        (POOL, "cpu", ("fast",), 404),
        (POOL, None, (), 404),
        (POOL, "nowhere", (), 404),
        (QUEUE, "gpu", (), 403),
        (QUEUE, "gpu", ("slow",), 403),
        (QUEUE, "gpu", ("fast", "slow"), 403),
        (QUEUE, "gpu", ("fast", "new"), 403),
        (QUEUE, "cpu", ("fast",), 404),
        ("agent:deployment:f/d", "gpu", ("fast",), 404),
        ("agent:tag:x", "gpu", (), 404),
        ("operator:work-pool:gpu", "gpu", (), 403),
    ],
)
def test_no_agent_registers_for_what_is_not_its_teams(
    runs: dict[str, str], role: str, pool: str | None, named: tuple[str, ...], status: int
):
    before = WorkQueue.objects.count(), WorkPool.objects.count()

    answer = Team("gwen", role).register(pool, *named)

    assert (answer.status_code, Worker.objects.count()) == (status, 0)
    assert (WorkQueue.objects.count(), WorkPool.objects.count()) == before


@pytest.mark.parametrize("now", ["viewer:work-pool:gpu", "agent:work-pool:cpu", "agent:work-queue:gpu/slow"])
def test_an_agent_stops_where_its_right_is_taken_away(runs: dict[str, str], now: str):
    team = Team("gwen", POOL)
    team.register("gpu")
    create_group(name="now", roles=[now])

    set_groups(name="gwen", groups=["now"])

    assert {team.call("claim", limit=9).status_code, team.call("heartbeat", runs=[]).status_code} <= {403, 404}
    assert not FlowRun.objects.exclude(state_type="SCHEDULED").exists()


def test_an_agent_of_one_queue_has_no_rights_on_other_agents(runs: dict[str, str]):
    """The agent of the whole pool also serves a queue that the agent of one queue does not."""
    whole, one = Team("gwen", POOL), Team("hugh", QUEUE)
    whole.register("gpu")

    one.id, one.incarnation = whole.id, whole.incarnation

    assert one.call("claim", limit=9).status_code == 404
    assert whole.claimed() == {runs["gpu/fast"], runs["gpu/slow"]}


def test_a_team_reports_no_run_that_anothers_agent_holds_in_the_same_pool(runs: dict[str, str]):
    """Within a pool, an agent may only report runs that it holds."""
    holder, other = Team("gwen", POOL), Team("hugh", POOL)
    holder.register("gpu")
    holder.claimed()
    task = make_task_run(flow_run=FlowRun.objects.get(pk=runs["gpu/fast"]))
    nested = make_flow_run(parent_task_run_id=task.pk)
    paths = [f"flow_runs/{runs['gpu/fast']}", f"flow_runs/{nested.pk}", f"task_runs/{task.pk}"]
    state = {"state": {"type": "FAILED"}, "force": True}

    answers = [other.asker.call("POST", f"/api/{path}/set_state", state).status_code for path in paths]
    patches = [other.asker.call("PATCH", f"/api/{path}", {"name": "x"}).status_code for path in paths]

    assert (answers, patches) == ([403] * 3, [403] * 3)
    assert [holder.asker.call("POST", f"/api/{path}/set_state", state).status_code for path in paths] == [201] * 3


def test_a_user_who_also_operates_the_pool_may_cancel(runs: dict[str, str]):
    holder, both = Team("gwen", POOL), Team("hugh", POOL, "operator:work-pool:gpu")
    holder.register("gpu")
    holder.claimed()
    path = f"/api/flow_runs/{runs['gpu/fast']}/set_state"

    assert both.asker.call("POST", path, {"state": {"type": "FAILED"}}).status_code == 403
    assert both.asker.call("POST", path, {"state": {"type": "CANCELLING"}}).status_code == 201


def test_a_user_who_deploys_to_the_pool_reports_all_of_its_runs(runs: dict[str, str]):
    holder, deployer = Team("gwen", POOL), Team("dora", "deployer:work-pool:gpu", "agent:work-pool:cpu")
    holder.register("gpu")
    holder.claimed()
    path = f"/api/flow_runs/{runs['gpu/fast']}/set_state"

    assert deployer.asker.call("POST", path, {"state": {"type": "FAILED"}}).status_code == 201


def test_an_agent_of_a_pool_is_given_the_deployment_that_waits_elsewhere(queues: dict[str, WorkQueue]):
    """A run may be sent to another queue than its deployment's, and its agent must know the code."""
    deployment = make_deployment(queues["cpu/fast"])
    waiting(queues["gpu/fast"], deployment=deployment)
    team = Team("gwen", POOL)
    team.register("gpu")

    (claimed,) = team.call("claim", limit=1).json()

    assert claimed["deployment"]["id"] == str(deployment.pk)
    assert claimed["run_token"].startswith("ort_")


def test_agents_of_another_make_ask_for_the_runs_of_their_pool(runs: dict[str, str], queues: dict[str, WorkQueue]):
    team = Team("gwen", POOL)

    def asked(path: str, **body: Any) -> Any:
        return team.asker.call("POST", f"/api/{path}", body)

    polled = asked("work_pools/gpu/get_scheduled_flow_runs").json()
    assert {one["flow_run"]["id"] for one in polled} == {runs["gpu/fast"], runs["gpu/slow"]}
    assert [one["id"] for one in asked(f"work_queues/{queues['gpu/slow'].pk}/get_runs").json()] == [runs["gpu/slow"]]
    assert asked("work_pools/gpu/workers/heartbeat", name="w").status_code == 204
    assert asked("work_pools/cpu/get_scheduled_flow_runs").status_code == 404
    assert asked(f"work_queues/{queues['cpu/slow'].pk}/get_runs").status_code == 404
    assert asked("work_pools/cpu/workers/heartbeat", name="w").status_code == 404
    assert asked("deployments/get_scheduled_flow_runs", deployment_ids=[]).status_code == 403


def test_an_agent_of_a_pool_reads_no_secret(runs: dict[str, str], api: Any):
    make_document(api, login_schema(api), name="prod", data={"user": "u", "password": "hunter2hunter2"})
    assert BlockDocument.objects.count() == 1

    answers = [
        Team("gwen", POOL).asker.call("POST", "/api/block_documents/filter", {"include_secrets": True}),
        Team("hugh", QUEUE).asker.call("GET", "/api/block_types/slug/login/block_documents/name/prod"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert b"hunter2" not in b"".join(answer.content for answer in answers)


def test_a_key_of_a_deployer_may_be_an_agent_of_the_same_pool(runs: dict[str, str]):
    """A user who may deploy to a pool decides anyway what its agents execute."""
    team = Team("dora", "deployer:work-pool:gpu")

    assert (team.register("gpu").status_code, team.register("cpu").status_code) == (201, 404)
