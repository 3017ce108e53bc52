"""The part of the conversation by an agent: it registers, claims a run, and reports how it ended."""

from __future__ import annotations

from typing import Any

SELF = {"incarnation": "018f0000-0000-7000-8000-00000000a001"}


def runs_are_executed(calls: Any) -> None:
    calls.api.send("/work_pools/", {"name": "mill", "type": "process"})
    flow = calls.api.send("/flows/", {"name": "milling"}).json()["id"]
    asked = {"flow_id": flow, "name": "hourly", "work_pool_name": "mill", "entrypoint": "mill.py:milling"}
    deployment = calls.api.send("/deployments/", asked).json()["id"]
    agent = {**SELF, "name": "miller", "work_pool_name": "mill", "concurrency": 2, "host": "mill", "pid": 7}
    path = f"/agents/{calls.ask('register_agent', 'POST', '/agents/', agent)['id']}"
    run = calls.api.send(f"/deployments/{deployment}/create_flow_run", {"name": "first"}).json()["id"]
    (claimed,) = calls.ask("claim_runs", "POST", f"{path}/claim", {**SELF, "limit": 1})
    held = {"id": run, "epoch": claimed["epoch"]}
    calls.ask("send_heartbeat", "POST", f"{path}/heartbeat", {**SELF, "runs": [held]})
    calls.ask("await_orders", "POST", f"{path}/orders", {**SELF, "runs": [held]})
    ending = {**SELF, "flow_run_id": run, "epoch": claimed["epoch"], "exit_code": 1, "message": "Ended with code 1."}
    calls.ask("report_end", "POST", f"{path}/ended", ending)
    second = calls.api.send(f"/deployments/{deployment}/create_flow_run", {"name": "second"}).json()["id"]
    calls.ask("cancel_flow_run", "POST", f"/flow_runs/{second}/cancel", {})
    calls.ask("leave_agent", "POST", f"{path}/leave", SELF)
    calls.api.call("DELETE", f"/deployments/{deployment}")
    calls.api.call("DELETE", "/work_pools/mill")


def a_run_is_retried(calls: Any) -> None:
    """A run of a deployment, of which one task failed, as a new run."""
    flow = calls.api.send("/flows/", {"name": "grinding"}).json()["id"]
    deployment = calls.api.send("/deployments/", {"flow_id": flow, "name": "daily"}).json()["id"]
    failed = {"type": "FAILED"}
    made = {"name": "coarse", "state": failed}
    run = calls.api.send(f"/deployments/{deployment}/create_flow_run", made).json()["id"]
    task = {"flow_run_id": run, "task_key": "grind-0", "dynamic_key": "0", "name": "grind-0", "state": failed}
    calls.api.send("/task_runs/", task)
    asked = {"from_tasks": ["@failed"], "new_run": True}
    calls.ask("preview_retry", "POST", f"/flow_runs/{run}/retry/preview", asked)
    begun = calls.ask("retry_flow_run", "POST", f"/flow_runs/{run}/retry", asked)["retry"]
    path = f"/flow_runs/{begun['flow_run_id']}"
    calls.ask("read_recorded", "POST", f"{path}/recorded", {})
    outcome = {"attempt": 1, "reused": 0, "again": 1, "new": 2}
    calls.ask("report_retry", "POST", f"{path}/retries/outcome", outcome)
    calls.ask("filter_retries", "GET", f"{path}/retries")
