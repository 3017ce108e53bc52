"""A client that has short runs made without a pause, and asks again until each of them is acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.agents.running import Api
from tests.site.running import PATIENCE_SECONDS

HERE = Path(__file__).parent
FLOWS = ("brief", "stepping", "with_a_child", "sturdy")
CRASH_RETRIES = {"sturdy": 2}
# How many task runs a run has when it has completed, the placeholder of a nested run included.
TASK_RUNS = {"brief": 0, "stepping": 5, "with_a_child": 0, "sturdy": 3}
UNFINISHED = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED"]}}}
# With more runs at once, the rest would only wait for a slot, and prolong the end of the test.
MOST_AT_ONCE = 8


class Load:
    """Creates runs from a thread. `runs` maps the ids of those that the API acknowledged to the names of flows."""

    def __init__(self, api: Api, queue: str, witness: Path, rng: random.Random, flows: Sequence[str] = FLOWS) -> None:
        self.runs: dict[str, str] = {}
        self.surprises: list[str] = []
        self._api, self._witness, self._rng = api, witness, rng
        self._deployments = {
            name: api.deploy(f"chaos_flows.py:{name}", queue, name=name, path=str(HERE)) for name in flows
        }
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._make_runs, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def add(self, flow: str) -> str:
        """Create one more run. Requests that are repeated make no second one, because they carry the same key."""
        key, seconds = f"run-{len(self.runs)}", round(self._rng.uniform(0.1, 2), 2)
        parameters = {"witness": str(self._witness), "seconds": seconds}
        body = {"idempotency_key": key, "name": key, "parameters": parameters}
        run = str(self.insist(f"/deployments/{self._deployments[flow]}/create_flow_run", body)["id"])
        self.runs[run] = flow
        return run

    def insist(self, path: str, body: object) -> Any:
        """Ask until the API answers. That it is unreachable is expected here; any other error goes into `surprises`."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                status, _, text = self._api.server.request(
                    "POST", f"/api{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
                )
            except (OSError, http.client.HTTPException):
                status, text = 503, ""
            if status < 400:
                return json.loads(text) if text else None
            if status != 503:
                self.surprises.append(f"{path} was answered with {status}: {text[:500]}")
                if status < 500:
                    return None
            time.sleep(0.1)
        raise AssertionError(f"{path} was never answered")

    def state_of(self, run: str) -> str:
        return str(self._api.state(run)["type"])

    def ends(self) -> Counter[str]:
        """How many runs are in each kind of state."""
        return Counter(self.state_of(run) for run in self.runs)

    def unfinished(self) -> int:
        return int(self.insist("/flow_runs/count", {"flow_runs": UNFINISHED}))

    def _own_unfinished(self) -> int:
        """Count the unfinished runs of this load's deployments: not those of schedules, nor those in programs."""
        own = {"deployment_id": {"any_": [*self._deployments.values()]}}
        return int(self.insist("/flow_runs/count", {"flow_runs": {**UNFINISHED, **own}}))

    def history_of(self, run: str) -> list[dict[str, Any]]:
        return list(self._api.get(f"/flow_run_states/?flow_run_id={run}"))

    def task_runs_of(self, run: str) -> list[str]:
        """The states of its task runs."""
        found = self._api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return [one["state"]["type"] for one in found]

    def starts(self) -> dict[str, int]:
        """How often the code of each run was begun, by its own testimony."""
        lines = self._witness.read_text().split() if self._witness.exists() else []
        return {run: lines.count(run) for run in set(lines)}

    def _make_runs(self) -> None:
        while not self._over.wait(0.3):
            if self._own_unfinished() < MOST_AT_ONCE:
                self.add(self._rng.choice([*self._deployments]))
