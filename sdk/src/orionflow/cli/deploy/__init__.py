"""`orion deploy`: create or update the deployments that a file describes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.session import Session, command


@command(
    ("orion deploy", "everything in orion.yaml"),
    ("orion deploy --dry-run", "what would change, field by field"),
    ("orion deploy orion.yaml -n prod", "only this one"),
    ("orion deploy --prune --yes", "and delete what is no longer in the file"),
)
@click.argument("file", required=False)
@click.option("-n", "--name", "names", metavar="NAME", multiple=True, help="Only the deployment of this name.")
@click.option("--all", "every", is_flag=True, help="Everything in the file, which is the default.")
@click.option("--prune", is_flag=True, help="Delete deployments of this project that are no longer in the file.")
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted.")
def deploy(
    session: Session, file: str | None, names: Sequence[str], every: bool, prune: bool, dry_run: bool, yes: bool
) -> None:
    """Deploy what FILE describes (by default orion.yaml). Deployments that are unchanged are left alone.

    Everything is checked before anything is changed. `orion help deploy-files` explains the file; prefect.yaml is read
    as well.
    """
    from orionflow.cli.deploy.apply import deploy_file
    from orionflow.cli.deploy.orion_yaml import find_file

    if names and (every or prune):
        raise click.UsageError(f"--name picks some; leave out {'--all' if every else '--prune'}.")
    deploy_file(session, find_file(file), names, dry_run=dry_run, prune=prune, yes=yes)
