"""`orion import`: copy the objects of another server to this one."""

from __future__ import annotations

import click

from orionflow.cli.lazy import LazyGroup
from orionflow.cli.session import Session, command, destructive

import_group = LazyGroup(
    "import",
    __name__,
    help="Copy data from another server.",
    entries={"prefect": "Copy from a running Prefect 2 server."},
    examples=(("orion import prefect --url http://old:4200/api --dry-run", "what would be copied"),),
)


@command(
    ("orion import prefect --url http://old:4200/api --dry-run", "show the plan, do nothing"),
    ("orion import prefect --url http://old:4200/api --paused", "so that nothing runs on both"),
    ("orion import prefect --url http://old:4200/api --only variables,blocks --yes", ""),
)
@click.option("--url", metavar="URL", required=True, help="The API to copy from; it usually ends in /api.")
@click.option("--only", metavar="KINDS", help="Only these: variables, limits, blocks, pools, flows, deployments.")
@click.option("--paused", is_flag=True, help="Pause the deployments that are new here.")
@destructive
def prefect(session: Session, url: str, only: str | None, paused: bool, yes: bool, dry_run: bool) -> None:
    """Copy flows, deployments with their schedules, pools, queues, limits, variables and blocks.

    Differences are changed and nothing is deleted, so the command can be repeated. Runs are not copied. The secrets of
    blocks are read from the old server, and encrypted here."""
    from orionflow.cli.importing.copying import copy_from

    copy_from(session, url, only=only, paused=paused, yes=yes, dry_run=dry_run)
