"""The clock of an agent's machine is wrong by an hour: its runs neither notice nor show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.agents.running import Api, running_agent
from tests.faults.cluster import SHORT, own_database, verified
from tests.faults.wrong_clock import wrong_by
from tests.postgresql import running_postgresql
from tests.site.running import running_server

HERE = Path(__file__).parent
HOUR = 3600
# Stored times may come from any clock except the one that is wrong by an hour.
NEAR = timedelta(minutes=10)

pytestmark = pytest.mark.slow


def moments(value: Any) -> Iterator[datetime]:
    """Every time that an answer of the API shows, however deep."""
    match value:
        case dict():
            for inner in value.values():
                yield from moments(inner)
        case list():
            for inner in value:
                yield from moments(inner)
        case str() if value[10:11] == "T" and value.endswith(("Z", "+00:00")):
            yield datetime.fromisoformat(value)


def shown_of(api: Api) -> list[dict[str, Any]]:
    """Flow runs, task runs and logs, with the states of each."""
    flow_runs, task_runs = api.post("/flow_runs/filter"), api.post("/task_runs/filter")
    states = [api.get(f"/flow_run_states/?flow_run_id={run['id']}") for run in flow_runs]
    states += [api.get(f"/task_run_states/?task_run_id={run['id']}") for run in task_runs]
    assert_none_takes_less_than_no_time([*flow_runs, *task_runs], states)
    return [*flow_runs, *task_runs, *states, *api.post("/logs/filter")]


def assert_none_takes_less_than_no_time(runs: list[dict[str, Any]], histories: list[list[dict[str, Any]]]) -> None:
    for run in runs:
        assert run["start_time"] <= run["end_time"], run
        assert min(run["total_run_time"], run["estimated_run_time"], run["estimated_start_time_delta"]) >= 0, run
        assert run["total_run_time"] < NEAR.total_seconds(), run
    for history in histories:
        stamped = [datetime.fromisoformat(state["timestamp"]) for state in history]
        assert stamped == sorted(stamped), history


@pytest.mark.parametrize("seconds", [HOUR, pytest.param(-HOUR, marks=pytest.mark.long)], ids=["ahead", "behind"])
def test_an_agent_with_a_wrong_clock_starts_due_runs_and_shows_true_times(tmp_path: Path, seconds: int):
    home, far = tmp_path / "home", tmp_path / "far"
    far.mkdir()
    wrong = wrong_by(seconds, tmp_path)
    with (
        own_database(home, **SHORT) as (settings, _),
        running_server(home, **settings) as server,
        running_agent(far, api := Api(server), "q", **wrong),
    ):
        began = datetime.now(UTC)
        due = began + timedelta(seconds=2)
        retried = api.deploy("chaos_flows.py:failing_once", "q", path=str(HERE))
        stepping = api.deploy("chaos_flows.py:stepping", "q", path=str(HERE))
        later = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
        parameters = {"witness": str(tmp_path / "planned"), "seconds": 0.5}
        body = {"state": later, "parameters": parameters}
        planned = api.post(f"/deployments/{stepping}/create_flow_run", body)["id"]
        at_once = api.run(stepping, witness=str(tmp_path / "witness"), seconds=3)
        again = api.run(retried, witness=str(tmp_path / "again"))

        for run in (planned, at_once, again):
            assert api.until_ended(run)["name"] == "Completed", api.logs(run)

        assert [api.history(run).count("Pending") for run in (planned, at_once)] == [1, 1]
        assert datetime.fromisoformat(api.get(f"/flow_runs/{planned}")["start_time"]) >= due
        ended = datetime.now(UTC)
        wrong_ones = [
            one for one in shown_of(api) if any(not began - NEAR <= at <= ended + NEAR for at in moments(one))
        ]
        assert wrong_ones == []
        assert verified(home, settings) == ""


@pytest.mark.long
@pytest.mark.parametrize("seconds", [120, -120], ids=["ahead", "behind"])
def test_a_server_with_a_wrong_clock_starts_runs_by_the_clock_of_the_database(tmp_path: Path, seconds: int):
    """Claims use the database's clock. With another one the run would wait in PENDING, or start too early."""
    home = tmp_path / "home"
    home.mkdir()
    wrong = wrong_by(seconds, tmp_path)
    with ExitStack() as stack:
        url = stack.enter_context(running_postgresql(ready=True))
        server = stack.enter_context(running_server(home, **SHORT, ORION_DATABASE_URL=url, **wrong))
        stack.enter_context(running_agent(tmp_path, api := Api(server), "q"))
        deployment = api.deploy("chaos_flows.py:stepping", "q", path=str(HERE))
        due = datetime.now(UTC) + timedelta(seconds=8)
        later = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
        parameters = {"witness": str(tmp_path / "planned"), "seconds": 0.1}
        run = api.post(f"/deployments/{deployment}/create_flow_run", {"state": later, "parameters": parameters})["id"]

        assert api.until_ended(run)["name"] == "Completed", api.logs(run)
        names = [state["name"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")]
        started = datetime.fromisoformat(api.get(f"/flow_runs/{run}")["start_time"])

    assert names == ["Scheduled", "Pending", "Running", "Completed"]
    assert due - timedelta(seconds=1) <= started < due + timedelta(seconds=60)
