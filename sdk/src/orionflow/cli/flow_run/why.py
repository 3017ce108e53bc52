"""`orion flow-run why`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import BAD_STATES, find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.reasons import why_lines
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run why @last", "why is it in this state?"),
        ("orion fr why brave-otter --all", "every state, and what every rule said"),
        ("orion fr why @last-failed -o json", "the API's object"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option("--all", "every", is_flag=True, help="Show all states with all rules that judged them.")
@output_options
@time_options
def why(run: str, every: bool, output: Output, clock: Clock) -> None:
    """Explain why a run is in the state it is in, or why it does not move."""
    api = backend()
    found = find_flow_run(api, run)
    answer = api.get(f"/flow_runs/{found['id']}/why")
    if not output.is_for_people:
        output.show_one(answer, name="run_id")
        return
    culprits = _bad_task_runs(api, found)
    for line in why_lines(found["name"], answer, clock, output.terminal, every=every, culprits=culprits):
        output.terminal.out(line)


def _bad_task_runs(api: Backend, run: Json) -> list[Json]:
    """Where to look next, when a run ended badly."""
    if run["state_type"] not in ("FAILED", "CRASHED"):
        return []
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": BAD_STATES, "sort": "END_TIME_DESC", "limit": 5}
    found: list[Json] = api.post("/task_runs/filter", body)
    return found
