"""The part of the conversation that an agent has: it says that it is there, takes a run, and tells how it ended."""

from __future__ import annotations

from typing import Any

SELF = {"incarnation": "018f0000-0000-7000-8000-00000000a001"}


def runs_are_executed(said: Any) -> None:
    said.api.send("/work_pools/", {"name": "mill", "type": "process"})
    flow = said.api.send("/flows/", {"name": "milling"}).json()["id"]
    asked = {"flow_id": flow, "name": "hourly", "work_pool_name": "mill", "entrypoint": "mill.py:milling"}
    deployment = said.api.send("/deployments/", asked).json()["id"]
    agent = {**SELF, "name": "miller", "work_pool_name": "mill", "concurrency": 2, "host": "mill", "pid": 7}
    path = f"/agents/{said.ask('register_agent', 'POST', '/agents/', agent)['id']}"
    run = said.api.send(f"/deployments/{deployment}/create_flow_run", {"name": "first"}).json()["id"]
    (claimed,) = said.ask("claim_runs", "POST", f"{path}/claim", {**SELF, "limit": 1})
    held = {"id": run, "epoch": claimed["epoch"]}
    said.ask("send_heartbeat", "POST", f"{path}/heartbeat", {**SELF, "runs": [held]})
    said.ask("await_orders", "POST", f"{path}/orders", {**SELF, "runs": [held]})
    ending = {**SELF, "flow_run_id": run, "epoch": claimed["epoch"], "exit_code": 1, "message": "Ended with code 1."}
    said.ask("report_end", "POST", f"{path}/ended", ending)
    second = said.api.send(f"/deployments/{deployment}/create_flow_run", {"name": "second"}).json()["id"]
    said.ask("cancel_flow_run", "POST", f"/flow_runs/{second}/cancel", {})
    said.ask("leave_agent", "POST", f"{path}/leave", SELF)
    said.api.call("DELETE", f"/deployments/{deployment}")
    said.api.call("DELETE", "/work_pools/mill")
