"""Agents and the keys by which they came: what one holds, no other can renew, report or end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from deployments.models import Lease, Worker
from runs.models import FlowRun
from tests.security.askers import Asker, key_of, user_with
from tests.services.dispatching import make_queue, waiting

pytestmark = pytest.mark.django_db


class Agent:
    """An agent of our make, spoken to as by its process."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name, self.incarnation = client, name, str(uuid4())
        self.answer = self.register()
        self.id = self.answer.json().get("id")

    def register(self, client: Any = None, **more: Any) -> Any:
        body = {"name": self.name, "incarnation": self.incarnation, "work_queues": ["q"], "host": "h", **more}
        return (client or self.client).call("POST", "/api/agents/", body)

    def call(self, what: str, client: Any = None, **body: Any) -> Any:
        sent = {"incarnation": self.incarnation, **body}
        return (client or self.client).call("POST", f"/api/agents/{self.id}/{what}", sent)


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


def test_an_agent_ends_no_run_that_no_agent_holds(agent: Callable[[str], Agent]):
    from tests.factories import make_flow_run

    run = make_flow_run("RUNNING", now=timezone.now())

    answer = agent("jones").call("ended", flow_run_id=str(run.pk), epoch=run.epoch, exit_code=1)

    assert answer.status_code == 409
    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_nobody_takes_the_name_of_an_agent_that_is_there(held: tuple[Agent, Any], agent: Callable[[str], Agent]):
    """Registering again revokes what the earlier start held."""
    smith, run = held

    answer = smith.register(agent("jones").client, incarnation=str(uuid4()))

    assert answer.status_code == 403
    assert FlowRun.objects.get(pk=run["flow_run_id"]).state_type == "PENDING"
    assert Worker.objects.get(name="smith").incarnation is not None


def test_a_new_key_of_the_same_user_speaks_for_its_agents(held: tuple[Agent, dict[str, Any]]):
    smith, run = held
    renewed = Asker(key_of(User.objects.get(username="smith")))

    answer = smith.call("heartbeat", renewed, runs=[{"id": run["flow_run_id"], "epoch": run["epoch"]}])

    assert (answer.status_code, answer.json()["orders"][0]["order"]) == (200, "ok")
