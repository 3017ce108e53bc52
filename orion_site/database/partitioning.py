"""`orion database partition`: divides tables of PostgreSQL into partitions of a day each (decision 0057)."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from orion_site.database.commands import ask_first, django_ready
from orionflow.cli.errors import CommandFailed, ExitCode


@click.command(short_help="Keep logs and events of PostgreSQL in one partition for each day.")
@click.option("--dry-run", is_flag=True, help="Show what would be divided, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the outcome.")
def partition(dry_run: bool, yes: bool, output: str) -> None:
    """Keep logs and events in one partition for each day, so that retention drops whole days.

    Existing rows stay where they are. Each table is locked while PostgreSQL reads it once. If the command is killed,
    each table is unchanged or divided; run it again to continue.

    Example: orion database partition --dry-run
    """
    with django_ready():
        from django.db import connection

        from deployments.upkeep.services.partitions import CannotDivide, divide, estimated_rows, undivided
        from orchestration.database_clock import current_time
        from orion_site.audit.entrances import record_command
        from orion_site.database.lifecycle import one_at_a_time, place

        if connection.vendor != "postgresql":
            raise CommandFailed(ExitCode.USAGE, f"{place()} is a SQLite file, which has no partitions.")
        tables = undivided()
        if dry_run:
            _print([{"table": table, "rows": estimated_rows(table)} for table in tables], output, "would be divided")
            return
        if tables and not yes:
            ask_first(f"Divide {' and '.join(tables)} of {place()}?")
        done = []
        with one_at_a_time():
            for table in tables:
                record_command("database.partition", "PartitionTable", {"table": table})
                try:
                    done.append(asdict(divide(table, now=current_time())))
                except CannotDivide as error:
                    raise CommandFailed(ExitCode.FAILED, str(error)) from error
                if output != "json":
                    _print(done[-1:], output, f"divided in {done[-1]['seconds']:.1f} s")
        if output == "json" or not tables:
            _print(done, output, "divided")


def _print(tables: list[dict[str, object]], output: str, what: str) -> None:
    if output == "json":
        click.echo(json.dumps(tables))
        return
    for one in tables:
        click.echo(f"{one['rows']:>12,} rows  {one['table']} {what}")
    if not tables:
        click.echo("All tables that can be are in partitions.", err=True)
