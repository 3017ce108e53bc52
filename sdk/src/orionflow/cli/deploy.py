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
@click.option("--prune", is_flag=True, help="Delete what this file deployed before and has no more.")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted.")
@output_options
def deploy(
    file: str | None, names: tuple[str, ...], every: bool, prune: bool, dry_run: bool, yes: bool, output: Output
) -> None:
    """Hand over the deployments of FILE (orion.yaml unless said). What is as the file has it is left alone.

    The file is explained by `orion help deploy-files`; prefect.yaml is read too.
    """
    from orionflow.cli.deploying.handing import hand_over
    from orionflow.cli.deploying.reading import deployments_of, find_file, mark_of

    if names and (every or prune):
        raise click.UsageError(f"--name picks some; leave out {'--all' if every else '--prune'}.")
    path = find_file(file)
    deployments, notes = deployments_of(path, names)
    for note in notes:
        output.terminal.note(note)
    hand_over(backend(), deployments, mark=mark_of(path), dry_run=dry_run, prune=prune, yes=yes, output=output)
