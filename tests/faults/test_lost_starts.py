"""Agents that take a run and die before they begin it: it goes back to its queue, but not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.running import Api, eventually
from tests.faults.cluster import own_database, verified
from tests.site.running import running_server

LOST_STARTS = 2
# The shortest lease there is; nobody sends heartbeats here.
BRIEF = {
    "ORION_LEASE_SECONDS": "1",
    "ORION_HEARTBEAT_SECONDS": "0.25",
    "ORION_LEASE_GRACE_SECONDS": "0",
    "ORION_RECONCILE_SECONDS": "0.1",
    "ORION_LOST_STARTS": str(LOST_STARTS),
}

pytestmark = pytest.mark.slow


class PretendedAgent:
    """An agent that registers and claims a run, and then disappears."""

    def __init__(self, api: Api, queue: str) -> None:
        self._api, self._incarnation = api, str(uuid4())
        body = {"name": f"pretended-{uuid4().hex[:8]}", "incarnation": self._incarnation, "work_queues": [queue]}
        self._path = f"/agents/{api.post('/agents/', {**body, 'concurrency': 1})['id']}"

    def claim(self) -> list[dict[str, Any]]:
        return list(self._api.post(f"{self._path}/claim", {"incarnation": self._incarnation, "limit": 1}))

    def heartbeat(self, run: str, epoch: int) -> str:
        runs = [{"id": run, "epoch": epoch}]
        answer = self._api.post(f"{self._path}/heartbeat", {"incarnation": self._incarnation, "runs": runs})
        return str(answer["orders"][0]["order"])


def test_a_run_that_every_agent_loses_before_it_begins_crashes_in_the_end(tmp_path: Path):
    home = tmp_path / "home"
    with own_database(home, **BRIEF) as (settings, _), running_server(home, **settings) as server:
        api = Api(server)
        run = api.run_of("flows.py:doubling", "q")

        for attempt in range(1, LOST_STARTS + 2):
            agent = PretendedAgent(api, "q")
            (claimed,) = agent.claim()
            assert claimed["epoch"] == 2 * attempt - 1
            eventually(lambda: api.state(run)["name"] != "Pending", lambda: api.history(run))
            assert agent.heartbeat(run, claimed["epoch"]) == "lost"

        assert api.history(run) == ["Scheduled", "Pending"] * (LOST_STARTS + 1) + ["Crashed"]
        assert f"{LOST_STARTS + 1} times" in api.state(run)["message"]
        assert PretendedAgent(api, "q").claim() == []
        assert verified(home, settings) == ""
