"""Markup in all that an operator and an agent can write and somebody else reads on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

# Called as (method, path, body), it answers what the API answered.
Call = Callable[[str, str, Any], Any]

MARKUP = [
    "<img src=x onerror=hacked()>",
    "<script>hacked()</script>",
    '"><svg onload=hacked()>',
    "'-hacked()-'",
    "javascript:hacked()",
    "</title></textarea></script><script>hacked()</script>",
    "{{ 7|add:7 }}{% debug %}",
    "\x1b]8;;javascript:hacked()\x07click\x1b]8;;\x07",
    "\u202e<b onmouseover=hacked()>",
]
MARKDOWN = """
<script>hacked()</script> <img src=x onerror=hacked()> <a href="javascript:hacked()">a</a>

[link](javascript:hacked()) [data](data:text/html,<script>hacked()</script>) ![x](javascript:hacked())
<javascript:hacked()> [x]: javascript:hacked() [ref][x]

| a | <img src=x onerror=hacked()> |
|---|---|
| `<script>hacked()</script>` | [y](vbscript:hacked()) |
"""
TABLE = [{name: name for name in MARKUP[:4]}]


def everything_hostile(operator: Call, agent: Call, deployment_id: str) -> Iterator[str]:
    """Write it all, for each piece of markup once, and yield the ids of the runs."""
    for text in MARKUP:
        body = {"name": text, "tags": [text], "parameters": {text: text}, "idempotency_key": text}
        run = operator("POST", f"/api/deployments/{deployment_id}/create_flow_run", body)["id"]
        operator("PATCH", f"/api/flow_runs/{run}", {"name": f"{text} again"})
        state = {"type": "CANCELLING", "message": text, "name": "Cancelling"}
        report(agent, run, text)
        operator("POST", f"/api/flow_runs/{run}/set_state", {"state": state})
        yield run


def report(agent: Call, run: str, text: str) -> None:
    now = datetime.now(UTC).isoformat()
    agent("POST", f"/api/flow_runs/{run}/set_state", {"state": {"type": "PENDING", "message": text}})
    agent("POST", f"/api/flow_runs/{run}/set_state", {"state": {"type": "RUNNING", "name": text, "message": text}})
    task = agent(
        "POST",
        "/api/task_runs/",
        {"flow_run_id": run, "task_key": text, "dynamic_key": str(uuid4()), "name": text, "tags": [text]},
    )["id"]
    for kind in ("RUNNING", "FAILED"):
        agent("POST", f"/api/task_runs/{task}/set_state", {"state": {"type": kind, "message": text}})
    line = {"name": text, "level": 40, "message": text, "timestamp": now, "flow_run_id": run, "task_run_id": task}
    agent("POST", "/api/logs/", [line])
    for kind, data in (("markdown", MARKDOWN), ("table", TABLE), (text, text), ("link", text), ("image", text)):
        body = {"key": f"k{uuid4().hex}", "type": kind, "data": data, "description": MARKDOWN, "flow_run_id": run}
        agent("POST", "/api/artifacts/", body)
