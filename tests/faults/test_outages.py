"""The database or the API is away while agents execute runs: nothing is lost by that, and no run crashes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents.running import QUICK, Api, running_agent
from tests.faults.cluster import database_away, own_database, verified
from tests.ports import lasting_port
from tests.rounds import THOROUGH
from tests.site.running import running_server

HERE = Path(__file__).parent
LEASE = float(QUICK["ORION_LEASE_SECONDS"]) + float(QUICK["ORION_LEASE_GRACE_SECONDS"])
WAITING = ("Scheduled", "Late", "Pending")
RUNS, KILLS = (10, 5) if THOROUGH else (4, 2)

pytestmark = pytest.mark.slow


def deployed(api: Api, flow: str) -> str:
    return api.deploy(f"chaos_flows.py:{flow}", "q", path=str(HERE))


def assert_completed_once(api: Api, runs: list[str], witness: Path, tasks: int) -> None:
    """Each run by itself, and each of its task runs with all its states."""
    for run in runs:
        ended = api.until_ended(run)
        assert ended["name"] == "Completed", ended
        # It may have been late, or claimed by a request whose answer was lost; but it ran in one go.
        assert [name for name in api.history(run) if name not in WAITING] == ["Running", "Completed"]
        counted = api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        assert len(counted) == tasks
        for task in counted:
            states = api.get(f"/task_run_states/?task_run_id={task['id']}")
            assert [state["name"] for state in states] == ["Pending", "Running", "Completed"]
    assert sorted(witness.read_text().split()) == sorted(runs)


@pytest.mark.parametrize(("flow", "tasks"), [pytest.param("stepping", 5, marks=pytest.mark.long), ("sturdy", 3)])
def test_runs_outlast_a_database_that_is_away_for_longer_than_a_lease(tmp_path: Path, flow: str, tasks: int):
    home, witness = tmp_path / "home", tmp_path / "witness"
    with (
        own_database(home, **QUICK) as (settings, database),
        running_server(home, **settings) as server,
        running_agent(home, api := Api(server), "q"),
    ):
        deployment = deployed(api, flow)
        runs = [api.run(deployment, witness=str(witness), seconds=3) for _ in range(2)]
        for run in runs:
            api.until(run, "Running")

        with database_away(home, database):
            time.sleep(LEASE + 1)

        assert_completed_once(api, runs, witness, tasks)
        assert verified(home, settings) == ""


def test_runs_outlast_an_api_that_is_killed_every_second(tmp_path: Path):
    home, witness = tmp_path / "home", tmp_path / "witness"
    with own_database(home, **QUICK) as (settings, _), ExitStack() as servers:
        server = servers.enter_context(running_server(home, "--port", str(lasting_port()), **settings))
        with running_agent(home, api := Api(server), "q", "--concurrency", "3"):
            deployment = deployed(api, "stepping")
            runs = [api.run(deployment, witness=str(witness), seconds=1) for _ in range(RUNS)]
            for _ in range(KILLS):
                time.sleep(1)
                server.process.kill()
                server.process.wait()
                server = servers.enter_context(running_server(home, "--port", str(server.port), **settings))

            assert_completed_once(api, runs, witness, tasks=5)
            assert verified(home, settings) == ""
