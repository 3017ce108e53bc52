"""All agents of an installation come back in the same second, after an outage that was longer than their leases: each
is answered, none loses its run, and whoever else asks is answered as well."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.running import Api
from tests.faults.cluster import own_database, verified
from tests.rounds import THOROUGH
from tests.site.running import PATIENCE_SECONDS, running_server

AGENTS = 200 if THOROUGH else 50
# As many of them are made at once; later, all come at once.
AT_ONCE = 16
PROFILE = {
    "ORION_LEASE_SECONDS": "4",
    "ORION_HEARTBEAT_SECONDS": "1",
    "ORION_LEASE_GRACE_SECONDS": "2",
    "ORION_RECONCILE_SECONDS": "0.5",
}
BUSY = {429, 503}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Answers:
    """The answers by status, and those that no client needs to expect."""

    counted: Counter[int] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    def ask(self, port: int, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Ask again for as long as the server says that it is busy, and never sooner than it says."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            status, wait, text = exchange(port, method, path, body, headers)
            self.counted[status] += 1
            if status < 400:
                return json.loads(text)
            if status not in BUSY or wait is None:
                self.surprises.append(f"{path} was answered with {status}, Retry-After {wait}: {text[:300]}")
                return None
            time.sleep(float(wait))
        self.surprises.append(f"{path} was never answered with anything but {dict(self.counted)}")
        return None


def exchange(port: int, method: str, path: str, body: object, headers: dict[str, str]) -> tuple[int, str | None, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, f"/api{path}", content, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"], answer.read().decode()
    finally:
        connection.close()


class FakeAgent:
    """Says over HTTP what an agent with one run says, and executes nothing."""

    def __init__(self, port: int, answers: Answers, deployment: str) -> None:
        self._port, self._answers, self._incarnation = port, answers, str(uuid4())
        name = f"fake-{uuid4().hex}"
        introduction = {"name": name, "incarnation": self._incarnation, "work_queues": ["q"]}
        self._path = f"/agents/{self._post('/agents/', introduction)['id']}"
        self.run = self._post(f"/deployments/{deployment}/create_flow_run", {})["id"]
        (claimed,) = self._claim(flow_run_id=self.run)
        self._epoch = claimed["epoch"]
        self._propose("RUNNING")

    def come_back(self) -> str | None:
        """Tell of the run, and bring it to its end; the order that the server gave."""
        runs = [{"id": self.run, "epoch": self._epoch}]
        answer = self._post(f"{self._path}/heartbeat", {"incarnation": self._incarnation, "runs": runs})
        self._propose("COMPLETED")
        self._claim(limit=1)
        return answer and answer["orders"][0]["order"]

    def _claim(self, **wanted: object) -> Any:
        return self._post(f"{self._path}/claim", {"incarnation": self._incarnation, **wanted})

    def _propose(self, kind: str) -> None:
        epoch = {"Orion-Run-Epoch": str(self._epoch)}
        self._post(f"/flow_runs/{self.run}/set_state", {"state": {"type": kind}}, **epoch)

    def _post(self, path: str, body: object, **headers: str) -> Any:
        return self._answers.ask(self._port, "POST", path, body, **headers)


def all_at_once(agents: list[FakeAgent], meanwhile: Callable[[], object]) -> list[str | None]:
    together = threading.Barrier(len(agents) + 1)
    with ThreadPoolExecutor(len(agents)) as threads:

        def come_back(agent: FakeAgent) -> str | None:
            together.wait()
            return agent.come_back()

        coming = [threads.submit(come_back, agent) for agent in agents]
        together.wait()
        while not all(one.done() for one in coming):
            meanwhile()
        return [one.result() for one in coming]


@pytest.mark.long
def test_hundreds_of_agents_that_come_back_in_one_second_are_all_answered_and_keep_their_runs(tmp_path: Path):
    home, answers, others = tmp_path / "home", Answers(), Answers()
    with own_database(home, **PROFILE) as (settings, _):
        # No services run until all agents exist: creating them may take longer than a lease.
        with running_server(home, "--no-services", **settings) as server:
            port = server.port
            deployment = Api(server).deploy("flows.py:doubling", "q")
            with ThreadPoolExecutor(AT_ONCE) as threads:
                agents = list(threads.map(lambda _: FakeAgent(port, answers, deployment), range(AGENTS)))
        time.sleep(float(PROFILE["ORION_LEASE_SECONDS"]) + float(PROFILE["ORION_LEASE_GRACE_SECONDS"]))

        with running_server(home, "--port", str(port), **settings) as server:

            def ask_as_others_do() -> None:
                others.ask(port, "GET", "/health")
                others.ask(port, "POST", "/flow_runs/filter", {"limit": 5})

            orders = all_at_once(agents, ask_as_others_do)

            assert answers.surprises + others.surprises == []
            assert Counter(orders) == {"ok": AGENTS}
            assert others.counted[200] > 0
            # A run that was treated as crashed could not be completed by the same attempt.
            completed = {"state": {"type": {"any_": ["COMPLETED"]}}}
            assert Api(server).post("/flow_runs/count", {"flow_runs": completed}) == AGENTS
            assert verified(home, settings) == ""
        print("answered", dict(answers.counted), "others", dict(others.counted))
