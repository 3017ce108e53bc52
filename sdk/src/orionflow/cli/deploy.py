"""`orion deploy`: the deployments of a file, brought to the API as the file has them."""

from __future__ import annotations

import click

from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deploy", "everything in orion.yaml"),
        ("orion deploy --dry-run", "what would change, field by field"),
        ("orion deploy orion.yaml -n prod", "only this one"),
        ("orion deploy --prune --yes", "and delete what is no more in the file"),
    ),
)
@click.argument("file", required=False)
@click.option("-n", "--name", "names", metavar="NAME", multiple=True, help="Only the deployment of this name.")
@click.option("--all", "every", is_flag=True, help="All of the file, which is so anyway.")
@click.option("--prune", is_flag=True, help="Delete what the project of this file deployed before and has no more.")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted.")
@output_options
def deploy(
    file: str | None, names: tuple[str, ...], every: bool, prune: bool, dry_run: bool, yes: bool, output: Output
) -> None:
    """Deploy what FILE says (by default orion.yaml). Deployments that are as the file has them are left alone.

    Everything is checked before anything is changed. `orion help deploy-files` explains the file; prefect.yaml is read
    as well.
    """
    from orionflow.cli.deploying.handing import hand_over
    from orionflow.cli.deploying.reading import deployments_of, find_file, mark_of, refuse_nameless_pruning

    if names and (every or prune):
        raise click.UsageError(f"--name picks some; leave out {'--all' if every else '--prune'}.")
    path = find_file(file)
    if prune:
        refuse_nameless_pruning(path)
    deployments, notes = deployments_of(path, names)
    for note in notes:
        output.terminal.note(note)
    hand_over(backend(), deployments, mark=mark_of(path), dry_run=dry_run, prune=prune, yes=yes, output=output)
