"""The part of the conversation that compares runs."""

from __future__ import annotations

from typing import Any

from orionflow.contract.ids import environment_id

ENVIRONMENT = {
    "python": "3.11.2",
    "platform": "linux x86_64",
    "commit": "4fa9c1d2" * 5,
    "files": "",
    "packages": {"pandas": "2.3.0", "requests": "2.32.3"},
}


def runs_are_compared(said: Any) -> None:
    flow = said.api.send("/flows/", {"name": "tides"}).json()["id"]
    made = {"flow_id": flow, "state": {"type": "RUNNING"}}
    before, after = (
        said.api.send("/flow_runs/", {**made, "name": name, "parameters": {"day": name}}).json()["id"]
        for name in ("ebb", "flood")
    )
    for run, state in ((before, "COMPLETED"), (after, "FAILED")):
        said.api.send(f"/flow_runs/{run}/set_state", {"state": {"type": state, "message": "KeyError: 'tide'"}})
    said.ask("diff_flow_runs", "GET", f"/flow_runs/{after}/diff?base={before}")
    said.ask("read_time_of_flow_run", "GET", f"/flow_runs/{after}/time")
    said.ask("read_time_of_flow_runs", "GET", "/flow_runs/time?hours=0.000001")
    said.ask("find_what_is_common", "POST", "/flow_runs/in_common", {"flow_runs": {"id": {"any_": [after]}}})
    said.ask("store_environment", "POST", "/environments/", ENVIRONMENT)
    said.ask("read_environment", "GET", f"/environments/{environment_id(ENVIRONMENT)}")
