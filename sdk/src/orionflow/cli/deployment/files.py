"""`orion deployment build` and `apply`: one deployment by way of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orionflow.cli.backend import backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.parameters import check_known_names, read_pairs, read_whole
from orionflow.cli.schedules import read_schedule, schedule_options
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import Clock
from orionflow.cli.yaml_text import as_yaml


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment build flows.py:etl -n prod", "print it"),
        ('orion dep build flows.py:etl -n prod --cron "0 6 * * *" -o prod.yaml', "write it as a file"),
        ("orion dep build flows.py:etl -n quick -p limit=1 --queue default --apply", "hand it over at once"),
    ),
)
@click.argument("entrypoint")
@click.option("-n", "--name", required=True, metavar="NAME", help="The name of the deployment.")
@click.option(
    "-o", "--output", "file", metavar="FILE", help="Write this file; without --apply it is printed otherwise."
)
@click.option("-p", "--param", "pairs", metavar="NAME=VALUE", multiple=True, help="One parameter; JSON or text.")
@click.option("--params", metavar="JSON", help="All parameters as one JSON object, or @FILE.")
@click.option("-t", "--tag", "tags", metavar="TAG", multiple=True, help="Tag it.")
@click.option("--queue", "work_queue_name", metavar="QUEUE", help="The work queue of its runs.")
@click.option("--pool", "work_pool_name", metavar="POOL", help="The work pool of its queue.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--version", metavar="TEXT", help="Its version; otherwise the flow's.")
@click.option("--storage", metavar="PLACE", help="Where its code is: a folder, a repository, s3://bucket/folder …")
@click.option("--paused", is_flag=True, help="Plan nothing yet.")
@click.option("--apply", "hands_over", is_flag=True, help="Hand it over.")
@schedule_options
@time_options
def build(
    entrypoint: str,
    name: str,
    file: str | None,
    pairs: tuple[str, ...],
    params: str | None,
    hands_over: bool,
    clock: Clock,
    **said: Any,
) -> None:
    """Write a deployment of the flow at ENTRYPOINT as a file, which `apply` and `orion deploy` take."""
    from orionflow.cli.entrypoints import load_flow
    from orionflow.deployments import Deployment

    flow = load_flow(entrypoint)
    parameters = {**read_whole(params), **read_pairs(pairs, "-p")}
    check_known_names(flow.fn, parameters)
    schedule = read_schedule(said, clock)
    plain = ("tags", "work_queue_name", "work_pool_name", "description", "version", "storage", "paused")
    options = {key: said[key] for key in plain if said[key]}
    schedules = [schedule] if schedule else []
    built = Deployment.build_from_flow(
        flow, name, entrypoint=entrypoint, parameters=parameters, schedules=schedules, **options
    )
    if file or not hands_over:
        _write(as_yaml({"deployments": [_entry(built, flow)]}), file)
    if hands_over:
        current_terminal().note(f"Handed over {built.full_name} ({built.apply()}).")


def _write(text: str, file: str | None) -> None:
    terminal = current_terminal()
    if file is None:
        terminal.out(text)
        return
    try:
        Path(file).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be written.", str(error.strerror)) from None
    terminal.note(f"Wrote {file}; hand it over with orion deployment apply {file}")


def _entry(built: Any, flow: Any) -> dict[str, Any]:
    """The deployment as files have it: what the flow itself knows is left out."""
    wire = built.to_wire()
    plain = ("tags", "parameters", "work_queue_name", "work_pool_name", "job_variables")
    entry = {"name": built.name, "entrypoint": built.entrypoint}
    entry |= {name: wire[name] for name in plain if wire.get(name)}
    entry |= {name: wire[name] for name in ("version", "description") if wire[name] != getattr(flow, name)}
    entry |= {"paused": True} if built.paused else {}
    entry |= {"schedules": built.schedules} if built.schedules else {}
    return {**entry, "pull": built.pull_steps} if built.pull_steps else {**entry, "path": built.path}


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment apply orion.yaml --dry-run", "what would change"),
        ("orion deployment apply orion.yaml", ""),
    ),
)
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@output_options
def apply(file: str, dry_run: bool, output: Output) -> None:
    """Hand over the deployments of a file that `build` wrote, or that you did."""
    from orionflow.cli.deploying.handing import hand_over
    from orionflow.cli.deploying.reading import deployments_of, find_file, mark_of

    path = find_file(file)
    deployments, notes = deployments_of(path)
    for note in notes:
        output.terminal.note(note)
    hand_over(backend(), deployments, mark=mark_of(path), dry_run=dry_run, prune=False, yes=True, output=output)
