"""Agents that claim runs, and the attempts of these runs, which speak by their tokens; and what attempts say."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.utils import timezone

from tests.security.askers import Asker, key_of, user_with
from tests.services.dispatching import make_queue, waiting


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


class Attempt:
    """A claimed run: its agent, its token, and a client that sends that."""

    def __init__(self) -> None:
        self.run = waiting(make_queue())
        self.user = user_with("agent", "smith")
        self.agent = Agent(Asker(key_of(self.user)), "smith")
        [self.claimed] = self.agent.call("claim", limit=1).json()
        self.id, self.token = str(self.run.pk), self.claimed["run_token"]
        self.client = Asker(self.token)

    def report(self, state: str = "RUNNING") -> Any:
        return self.client.call("POST", f"/api/flow_runs/{self.id}/set_state", {"state": {"type": state}})


def task_run_of(flow_run_id: str | None, **more: Any) -> dict[str, Any]:
    return {"flow_run_id": flow_run_id, "task_key": "t", "dynamic_key": str(uuid4()), **more}


def state_of(kind: str) -> dict[str, Any]:
    return {"id": str(uuid4()), "type": kind, "timestamp": sent_at()}


def sent_at() -> str:
    return timezone.now().isoformat()
