"""The wire between an agent and the API is cut, torn or slow: what was reported counts once, and what is late not at
all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.agents.running import QUICK, Agent, Api, eventually, running_agent
from tests.faults.cluster import SHORT, own_database, run_processes, verified
from tests.faults.faultproxy import FaultProxy, fault_proxy
from tests.site.running import running_server

HERE = Path(__file__).parent
LEASE = float(SHORT["ORION_LEASE_SECONDS"])

pytestmark = pytest.mark.slow


class Far(NamedTuple):
    """An agent that reaches the API only by a wire of ours."""

    api: Api
    wire: FaultProxy
    agent: Agent
    home: Path
    api_home: Path


@contextmanager
def far_agent(folder: Path, profile: dict[str, str]) -> Iterator[Far]:
    near, far = folder / "near", folder / "far"
    far.mkdir()
    with (
        own_database(near, **profile) as (settings, _),
        running_server(near, **settings) as server,
        fault_proxy(server.port) as wire,
        running_agent(far, Api(replace(server, port=wire.port)), "q", "--name", "far", cold_launcher=True) as agent,
    ):
        yield Far(Api(server), wire, agent, far, near)
        assert verified(near, settings) == ""


def begun(api: Api, flow: str, witness: Path, seconds: float) -> str:
    deployment = api.deploy(f"chaos_flows.py:{flow}", "q", path=str(HERE))
    run = api.run(deployment, witness=str(witness), seconds=seconds)
    eventually(lambda: task_runs(api, run), lambda: api.history(run))
    return run


def task_runs(api: Api, run: str) -> list[dict]:
    return list(api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "sort": "ID_DESC"}))


def everything_of(api: Api, run: str) -> set[str]:
    """All that is recorded, piece by piece."""
    logs = api.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    states = api.get(f"/flow_run_states/?flow_run_id={run}")
    return {json.dumps(one) for one in (api.get(f"/flow_runs/{run}"), *states, *task_runs(api, run), *logs)}


def test_late_reports_of_an_agent_that_was_cut_off_are_refused(tmp_path: Path):
    witness = tmp_path / "witness"
    with far_agent(tmp_path, SHORT) as (api, wire, agent, home, api_home):
        lost = begun(api, "chattering", tmp_path / uuid4().hex, 60)
        retried = begun(api, "chattering_once", witness, 60)
        with running_agent(api_home, api, "q", "--name", "near"):
            cut_at = time.monotonic()
            wire.partition()
            assert api.until_ended(lost)["name"] == "Crashed"
            assert api.until_ended(retried)["name"] == "Completed"
            time.sleep(max(0, cut_at + 3 * LEASE - time.monotonic()))
            before = everything_of(api, lost) | everything_of(api, retried)

            wire.heal()
            eventually(lambda: "another attempt" in agent.output and not run_processes(home), lambda: agent.output)

        assert (everything_of(api, lost) | everything_of(api, retried)) ^ before == set()
        assert witness.read_text().split() == [retried, retried]


@pytest.mark.long
def test_a_wire_that_tears_again_and_again_loses_and_doubles_nothing(tmp_path: Path):
    with far_agent(tmp_path, QUICK) as (api, wire, *_):
        run = begun(api, "chattering", tmp_path / "witness", 5)

        while api.state(run)["type"] == "RUNNING":
            wire.reset()
            time.sleep(0.2)

        assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
        assert {task["state"]["name"] for task in task_runs(api, run)} == {"Completed"}
        assert (tmp_path / "witness").read_text().split() == [run]


@pytest.mark.long
def test_a_slow_wire_is_not_mistaken_for_a_dead_agent(tmp_path: Path):
    with far_agent(tmp_path, QUICK) as (api, wire, *_):
        run = begun(api, "chattering", tmp_path / "witness", 6)

        # There and back it takes most of the time after which a heartbeat is given up.
        wire.latency_seconds = 0.7

        assert api.until_ended(run)["name"] == "Completed"
        assert (tmp_path / "witness").read_text().split() == [run]
