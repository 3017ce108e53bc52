"""Print what Orion recorded of the census, as its API returns it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from orionflow import OrionClient, State
from orionflow.logging import set_up

COLOURS = {"Completed": "green", "Cached": "cyan", "Failed": "red", "AwaitingRetry": "yellow", "Retrying": "blue"}


def announce() -> None:
    """Announce the two failures to expect, and do not show their tracebacks on the screen."""
    print("Two things go wrong here on purpose: the index of distributions is busy at first, and is asked again;")
    print("one distribution does not exist, and is left out. Their traces are in the log of the run.\n", flush=True)
    set_up()
    for handler in logging.getLogger("orionflow").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.addFilter(lambda record: not record.exc_info)


def report(state: State[Any]) -> None:
    """Print the run of the census: its states with their reasons, its tasks, its artifact and its log."""
    console = Console()
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None, "the state of a run names its run"
    with OrionClient() as client:
        run = client.read_flow_run(flow_run_id)
        console.print()
        console.print(
            Panel(
                f"[bold]{run.name}[/] of flow census ended [green]{run.state_name}[/] after {run.total_run_time:.2f} s"
            )
        )
        console.print(history(client, run.id))
        console.print(tasks(client, run.id))
        console.print(retried(client, run.id))
        console.print(largest(client))
        console.print(last_lines(client, run.id))


def history(client: OrionClient, flow_run_id: UUID) -> Table:
    table = Table(title="States of the run, and the rules that judged them", title_justify="left")
    for column in ("#", "state", "rule", "verdict", "reason"):
        table.add_column(column)
    for line in client.explain_flow_run(flow_run_id).history:
        words = [(judgement.rule, judgement.verdict, judgement.reason) for judgement in line.trail]
        for position, judgement in enumerate(words or [("", "", "no rule concerned it")]):
            first = (str(line.seq), line.name) if position == 0 else ("", "")
            table.add_row(*first, *judgement)
    return table


def tasks(client: OrionClient, flow_run_id: UUID) -> Table:
    """Return a table that counts the task runs of the run, and of the flow nested in it, by task and state."""
    nested = client.read_flow_runs(flow_runs={"parent_flow_run_id": {"any_": [flow_run_id]}})
    of_these = {"id": {"any_": [flow_run_id, *(run.id for run in nested)]}}
    counts: Counter[tuple[str, str]] = Counter()
    offset = 0
    while page := client.read_task_runs(flow_runs=of_these, limit=200, offset=offset):
        counts.update((run.task_key.rsplit("-", 1)[0], run.state_name or "") for run in page)
        offset += len(page)
    table = Table(title="Task runs", title_justify="left")
    for column in ("task", "state", "runs"):
        table.add_column(column, justify="right" if column == "runs" else "left")
    for (task_key, name), number in sorted(counts.items()):
        table.add_row(task_key, f"[{COLOURS.get(name, 'white')}]{name}[/]", str(number))
    return table


def retried(client: OrionClient, flow_run_id: UUID) -> Table:
    table = Table(title="Why the task 'discover' ran twice", title_justify="left")
    for column in ("state", "reason"):
        table.add_column(column)
    found = client.read_task_runs(
        flow_runs={"id": {"any_": [flow_run_id]}}, task_runs={"name": {"like_": "discover"}}, limit=1
    )
    for run in found:
        for line in client.explain_task_run(run.id).history:
            reasons = [judgement.reason for judgement in line.trail if judgement.reason]
            table.add_row(f"[{COLOURS.get(line.name, 'white')}]{line.name}[/]", "; ".join(reasons))
    return table


def largest(client: OrionClient) -> Table:
    artifact = client.read_latest_artifact("largest-distributions")
    table = Table(title="The artifact: largest distributions", title_justify="left")
    rows = json.loads(artifact.data)
    for column in rows[0] if rows else ():
        table.add_column(column, justify="left" if column == "distribution" else "right")
    for row in rows[:5]:
        table.add_row(*(str(value) for value in row.values()))
    return table


def last_lines(client: OrionClient, flow_run_id: UUID) -> Panel:
    lines = client.read_logs(logs={"flow_run_id": {"any_": [flow_run_id]}}, sort="TIMESTAMP_DESC", limit=6)
    text = "\n".join(f"{line.timestamp:%H:%M:%S} {line.message.splitlines()[0]}" for line in reversed(lines))
    return Panel(text or "(no lines)", title="The end of the log", title_align="left")
