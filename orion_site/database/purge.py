"""`orion database purge`: deletes old runs, logs and events on request, or shows what it would delete."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from orion_site.database.commands import ask_first, django_ready
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.times import read_period


@click.command(short_help="Delete old runs, logs and events.")
@click.option("--older-than", required=True, metavar="PERIOD", help="Such as 30d or 12h; runs count from their end.")
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the counts.")
def purge(older_than: str, dry_run: bool, yes: bool, output: str) -> None:
    """Delete finished runs with everything below them, logs and events that are older than a period.

    Runs that were restored from the archive stay for their time.

    Example: orion database purge --older-than 30d --dry-run
    """
    age = read_period(older_than)
    if age <= timedelta():
        raise click.UsageError("--older-than must be more than nothing; write 30d, 12h or 45m.")
    with django_ready():
        from deployments.archive.place import ArchiveUnavailable
        from deployments.archive.services import sparing_restored
        from deployments.upkeep.selectors.old_rows import Ages, count_purgeable
        from deployments.upkeep.services import retention
        from orchestration.database_clock import current_time
        from orion_site.audit.entrances import record_command
        from orion_site.database.lifecycle import place

        now = current_time()
        try:
            ages = sparing_restored(Ages(age, age, age), now)
            if dry_run:
                counts = count_purgeable(ages=ages, now=now)
            else:
                if not yes:
                    ask_first(f"Delete what is older than {older_than} in {place()}?")
                record_command("database.purge", "PurgeDatabase", {"older_than": older_than})
                counts = retention.purge(ages=ages, now=now)
        except ArchiveUnavailable as error:
            raise CommandFailed(ExitCode.FAILED, str(error)) from error
    _print_counts(dict(+counts), output, "would be deleted" if dry_run else "deleted")


def _print_counts(counts: dict[str, int], output: str, what: str) -> None:
    if output == "json":
        click.echo(json.dumps(counts))
        return
    for kind, number in sorted(counts.items()):
        click.echo(f"{number:>12,} {kind} {what}")
    if not counts:
        click.echo("Nothing is that old.", err=True)
