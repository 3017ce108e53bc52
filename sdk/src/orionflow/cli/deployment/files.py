"""`orion deployment build` and `apply`: one deployment, written to a file and deployed from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.parameters import PARAMETERS, check_known_names, read_pairs, read_whole
from orionflow.cli.run import load_flow
from orionflow.cli.schedules import SCHEDULE_PARAMS, read_schedule
from orionflow.cli.session import Session, command, time_params, with_params
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import make_clock
from orionflow.cli.yaml_text import as_yaml


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment build flows.py:etl -n prod", "print it"),
        ('orion dep build flows.py:etl -n prod --cron "0 6 * * *" -o prod.yaml', "write it as a file"),
        ("orion dep build flows.py:etl -n quick -p limit=1 --queue default --apply", "deploy it at once"),
    ),
)
@click.argument("entrypoint")
@click.option("-n", "--name", required=True, metavar="NAME", help="The name of the deployment.")
@click.option(
    "-o", "--output", "file", metavar="FILE", help="Write this file; without --apply it is printed otherwise."
)
@with_params(*PARAMETERS)
@click.option("-t", "--tag", "tags", metavar="TAG", multiple=True, help="Tag it.")
@click.option("--queue", "work_queue_name", metavar="QUEUE", help="The work queue of its runs.")
@click.option("--pool", "work_pool_name", metavar="POOL", help="The work pool of its queue.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--version", metavar="TEXT", help="Its version; otherwise the flow's.")
@click.option("--storage", metavar="PLACE", help="Where its code is: a folder, a repository, s3://bucket/folder …")
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option("--apply", "deploys", is_flag=True, help="Deploy it.")
@with_params(*SCHEDULE_PARAMS, *time_params())
def build(
    entrypoint: str, name: str, file: str | None, pairs: Sequence[str], params: str | None, deploys: bool,
    tz: str | None, utc: bool, **options: Any,
) -> None:  # fmt: skip
    """Write a deployment of the flow at ENTRYPOINT as a file, which `apply` and `orion deploy` take."""
    from orionflow.deployments import Deployment

    flow = load_flow(entrypoint)
    parameters = {**read_whole(params), **read_pairs(pairs, "-p")}
    check_known_names(flow.fn, parameters)
    schedule = read_schedule(options, make_clock(zone_name=tz, utc=utc))
    plain = ("tags", "work_queue_name", "work_pool_name", "description", "version", "storage", "paused")
    chosen = {key: options[key] for key in plain if options[key]}
    schedules = [schedule] if schedule else []
    built = Deployment.build_from_flow(
        flow, name, entrypoint=entrypoint, parameters=parameters, schedules=schedules, **chosen
    )
    if file or not deploys:
        _write(as_yaml({"deployments": [_entry(built, flow)]}), file)
    if deploys:
        current_terminal().note(f"Deployed {built.full_name} ({built.apply()}).")


def _write(text: str, file: str | None) -> None:
    terminal = current_terminal()
    if file is None:
        terminal.out(text)
        return
    try:
        Path(file).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be written.", str(error.strerror)) from None
    terminal.note(f"Wrote {file}; deploy it with orion deployment apply {file}")


def _entry(built: Any, flow: Any) -> dict[str, Any]:
    """Return the deployment in the form of files, without what the flow itself defines."""
    wire = built.to_wire()
    plain = ("tags", "parameters", "work_queue_name", "work_pool_name", "job_variables")
    entry = {"name": built.name, "entrypoint": built.entrypoint}
    entry |= {name: wire[name] for name in plain if wire.get(name)}
    entry |= {name: wire[name] for name in ("version", "description") if wire[name] != getattr(flow, name)}
    entry |= {"paused": True} if built.paused else {}
    entry |= {"schedules": built.schedules} if built.schedules else {}
    return {**entry, "pull": built.pull_steps} if built.pull_steps else {**entry, "path": built.path}


@command(("orion deployment apply orion.yaml --dry-run", "what would change"), "orion deployment apply orion.yaml")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
def apply(session: Session, file: str, dry_run: bool) -> None:
    """Deploy what FILE describes, whether `build` wrote it or you did."""
    from orionflow.cli.deploy.apply import deploy_file
    from orionflow.cli.deploy.orion_yaml import find_file

    deploy_file(session, find_file(file), dry_run=dry_run, yes=True)
