"""Cached results: a run takes those of runs that its author may see, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from orion_site.accounts.users import create_group, create_user
from tests.factories import make_flow
from tests.security.askers import Asker, key_of, user_with
from tests.security.attempts import Agent, sent_at, state_of, task_run_of
from tests.services.dispatching import make_deployment, make_queue, waiting

pytestmark = pytest.mark.django_db

KEY = {"cache_key": "price-tea"}
RUNNING = {"type": "RUNNING", "state_details": KEY}


class Team:
    """The attempt of a run whose deployment a user with these roles wrote; without roles, the owner of the server."""

    def __init__(self, name: str, *roles: str) -> None:
        author = None
        if roles:
            create_group(name=f"{name}-team", roles=list(roles))
            author = create_user(name=name, groups=[f"{name}-team"]).pk
        queue = make_queue(name)
        self.run = waiting(queue, deployment=make_deployment(queue, flow=make_flow(name), name="daily", author=author))
        agent = Agent(Asker(key_of(user_with("agent", f"{name}-agent"))), f"{name}-agent")
        agent.register(work_queues=[name])
        [claimed] = agent.call("claim", limit=1).json()
        self.client = Asker(claimed["run_token"])
        self.client.call("POST", f"/api/flow_runs/{self.id}/set_state", {"state": {"type": "RUNNING"}})

    @property
    def id(self) -> str:
        return str(self.run.pk)

    def begin(self) -> tuple[str, Any]:
        """Begin a task with the cache key: its id, and the answer."""
        task = self.client.call("POST", "/api/task_runs/", task_run_of(self.id)).json()["id"]
        return task, self.client.call("POST", f"/api/task_runs/{task}/set_state", {"state": RUNNING}).json()

    def complete(self, value: str) -> None:
        task, _ = self.begin()
        state = {"type": "COMPLETED", "message": value, "data": {"type": "literal", "value": value}}
        body = {"state": {**state, "state_details": KEY}}
        assert self.client.call("POST", f"/api/task_runs/{task}/set_state", body).status_code == 201


@pytest.fixture
def alder(ada: User) -> Team:
    """A team whose run left a result under the key."""
    team = Team("alder", "deployer:deployment:alder/daily")
    team.complete("alder-value")
    return team


@pytest.mark.parametrize(
    "roles",
    [
        ["deployer:deployment:birch/daily", "viewer:deployment:alder/daily"],
        ["deployer"],
        # The owner of the server is responsible for it.
        [],
    ],
)
def test_a_run_reuses_results_of_runs_that_its_author_may_see(alder: Team, roles: list[str]):
    _, answer = Team("birch", *roles).begin()

    assert (answer["status"], answer["state"]["name"]) == ("REJECT", "Cached")
    assert answer["state"]["data"]["value"] == "alder-value"


def test_a_run_reuses_no_result_of_runs_that_its_author_may_not_see(alder: Team):
    birch = Team("birch", "deployer:deployment:birch/daily")

    _, answer = birch.begin()
    task = birch.client.call("POST", "/api/task_runs/", task_run_of(birch.id)).json()["id"]
    items = [{"task_run_id": task, "state": {**state_of("RUNNING"), "state_details": KEY}}]
    batch = birch.client.call("POST", "/api/task_runs/transitions", {"items": items, "sent_at": sent_at()}).json()

    assert (answer["status"], batch["results"][0]["status"]) == ("ACCEPT", "ACCEPT")
    assert "alder" not in str(answer) + str(batch)


def test_a_result_that_others_store_under_the_same_key_is_not_taken_by_a_run(alder: Team):
    birch = Team("birch", "deployer:deployment:birch/daily")
    birch.complete("birch-value")

    assert alder.begin()[1]["status"] == "ACCEPT"
    assert birch.begin()[1]["state"]["name"] == "Cached"
