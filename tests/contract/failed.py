"""The part of the conversation that is about problems: what runs fail by, and what people decide about it."""

from __future__ import annotations

from typing import Any


def runs_fail(said: Any) -> None:
    flow = said.api.send("/flows/", {"name": "brewing"}).json()["id"]
    cause = {
        "fingerprint": "0123456789abcdef0123456789abcdef",
        "type": "KeyError",
        "place": "brew.py:load_hops",
    }
    failed = {"type": "FAILED", "message": "The flow raised KeyError: 'hops'", "state_details": {"cause": cause}}
    run = {"flow_id": flow, "name": "kettle", "flow_version": "1", "state": {"type": "RUNNING"}}
    said.ask("create_flow_run_that_fails", "POST", "/flow_runs/", {**run, "state": failed})
    found = said.ask(
        "filter_problems",
        "POST",
        "/problems/filter",
        {"problems": {"status": {"any_": ["new"]}, "type": {"any_": ["KeyError"]}}},
    )
    said.ask("count_problems", "POST", "/problems/count", {"problems": {"type": {"any_": ["KeyError"]}}})
    path = f"/problems/{found[0]['id']}"
    said.ask("read_problem", "GET", path)
    said.ask("read_waiting", "GET", "/problems/waiting")
    said.ask("preview_problem_retry", "POST", f"{path}/retry/preview")
    said.ask("retry_problem", "POST", f"{path}/retry", {"id": "00000000-0000-7000-8000-00000000b0b0"})
    said.ask("mute_problem", "POST", f"{path}/mute", {"grows_by": 100, "other_version": True})
    said.ask("unmute_problem", "POST", f"{path}/unmute")
    said.ask("assign_problem", "POST", f"{path}/assign", {"assignee": "ada"})
    said.ask("resolve_problem", "POST", f"{path}/resolve")
