"""`orion flow-run logs`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import NEWEST, find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import TERMINAL_TYPES, ExitCode
from orionflow.cli.log_lines import LEVELS, follow, log_query, stored_lines
from orionflow.cli.log_printing import print_lines, printer
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run logs @last", "the whole log"),
        ("orion fr logs -f @last", "as it grows, until the run ends"),
        ("orion fr logs @last --level warning --tail 50", "the last 50 warnings and errors"),
        ("orion fr logs @last --task extract-0 --grep 'row [0-9]+'", "of one task run, with a pattern"),
        ("orion fr logs @last -o jsonl", "one object a line"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the run ends.")
@click.option("--level", type=click.Choice(list(LEVELS)), help="Only this level and higher ones.")
@click.option("--task", metavar="NAME", help="Only lines of the task run with this name.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--since", metavar="TIME", help="Only lines since then, such as -10m.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
@output_options
@time_options
def logs(
    run: str, following: bool, level: str | None, task: str | None, grep: str | None, since: str | None,
    tail: int | None, output: Output, clock: Clock,
) -> None:  # fmt: skip
    """Print the log of a run and of its task runs, oldest line first."""
    api = backend()
    found = find_flow_run(api, run)
    query = log_query(filters=_of(api, found, task), level=level, since=since, grep=grep, clock=clock)
    if not following:
        print_lines(stored_lines(api, query, tail), output, clock)
        return
    show = printer(output, clock)
    for line in stored_lines(api, query, tail):
        show(line)
    follow(api, query, lambda: _is_over(api, found["id"]), show)


def _of(api: Backend, run: Json, task: str | None) -> Json:
    own: Json = {"flow_run_id": {"any_": [run["id"]]}}
    return {**own, "task_run_id": {"any_": _task_run_ids(api, run, task)}} if task else own


def _task_run_ids(api: Backend, run: Json, name: str) -> list[str]:
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": {"name": {"any_": [name]}}, "sort": NEWEST}
    found = [task_run["id"] for task_run in api.post("/task_runs/filter", body)]
    if not found:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"{run['name']} has no task run {name!r}.", fix=f"orion task-run ls run:{run['name']}"
        )
    return found


def _is_over(api: Backend, run_id: str) -> bool:
    return api.get(f"/flow_runs/{run_id}")["state_type"] in TERMINAL_TYPES
