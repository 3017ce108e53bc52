"""The part of the conversation that is about problems: what runs fail by, and what people decide about it."""

from __future__ import annotations

from typing import Any


def runs_fail(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "brewing"}).json()["id"]
    cause = {
        "fingerprint": "0123456789abcdef0123456789abcdef",
        "type": "KeyError",
        "place": "brew.py:load_hops",
    }
    failed = {"type": "FAILED", "message": "The flow raised KeyError: 'hops'", "state_details": {"cause": cause}}
    run = {"flow_id": flow, "name": "kettle", "flow_version": "1", "state": {"type": "RUNNING"}}
    calls.ask("create_flow_run_that_fails", "POST", "/flow_runs/", {**run, "state": failed})
    found = calls.ask(
        "filter_problems",
        "POST",
        "/problems/filter",
        {"problems": {"status": {"any_": ["new"]}, "type": {"any_": ["KeyError"]}}},
    )
    calls.ask("count_problems", "POST", "/problems/count", {"problems": {"type": {"any_": ["KeyError"]}}})
    path = f"/problems/{found[0]['id']}"
    calls.ask("read_problem", "GET", path)
    calls.ask("read_waiting", "GET", "/problems/waiting")
    calls.ask("preview_problem_retry", "POST", f"{path}/retry/preview")
    calls.ask("retry_problem", "POST", f"{path}/retry", {"id": "00000000-0000-7000-8000-00000000b0b0"})
    calls.ask("mute_problem", "POST", f"{path}/mute", {"grows_by": 100, "other_version": True})
    calls.ask("unmute_problem", "POST", f"{path}/unmute")
    calls.ask("assign_problem", "POST", f"{path}/assign", {"assignee": "ada"})
    calls.ask("resolve_problem", "POST", f"{path}/resolve")
