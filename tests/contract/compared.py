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


def runs_are_compared(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "tides"}).json()["id"]
    made = {"flow_id": flow, "state": {"type": "RUNNING"}}
    before, after = (
        calls.api.send("/flow_runs/", {**made, "name": name, "parameters": {"day": name}}).json()["id"]
        for name in ("ebb", "flood")
    )
    for run, state in ((before, "COMPLETED"), (after, "FAILED")):
        calls.api.send(f"/flow_runs/{run}/set_state", {"state": {"type": state, "message": "KeyError: 'tide'"}})
    calls.ask("diff_flow_runs", "GET", f"/flow_runs/{after}/diff?base={before}")
    calls.ask("read_time_of_flow_run", "GET", f"/flow_runs/{after}/time")
    calls.ask("read_time_of_flow_runs", "GET", "/flow_runs/time?hours=0.000001")
    calls.ask("find_what_is_common", "POST", "/flow_runs/in_common", {"flow_runs": {"id": {"any_": [after]}}})
    calls.ask("store_environment", "POST", "/environments/", ENVIRONMENT)
    calls.ask("read_environment", "GET", f"/environments/{environment_id(ENVIRONMENT)}")
