"""The part of the conversation that is about many runs at once."""

from __future__ import annotations

from typing import Any


def many_runs_are_changed(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "harvest"}).json()["id"]
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    calls.api.send("/flow_runs/", {"flow_id": flow, "name": "field", "state": later})
    asked = {"action": "cancel", "flows": {"name": {"any_": ["harvest"]}}}
    begun = calls.ask("create_bulk_action", "POST", "/bulk_actions/", asked)["id"]
    calls.ask("read_bulk_action", "GET", f"/bulk_actions/{begun}")
    calls.ask("filter_bulk_actions", "POST", "/bulk_actions/filter", {"bulk_actions": {"status": {"any_": ["done"]}}})
    calls.ask(
        "filter_bulk_runs", "POST", f"/bulk_actions/{begun}/runs/filter", {"runs": {"outcome": {"any_": ["done"]}}}
    )
    calls.ask("stop_bulk_action", "POST", f"/bulk_actions/{begun}/stop")
