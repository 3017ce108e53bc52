"""`orion archive`: moves old runs to Parquet files, verifies, shows and restores them. Django is imported late."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orion_site.database.commands import ask_first, django_ready
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.safe_text import cleaned, one_line
from orionflow.cli.times import read_period
from orionflow.contract.states import StateType

if TYPE_CHECKING:
    from deployments.archive.selectors import ArchivedRun, ListedRun

_output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print it.")


@click.group()
def archive() -> None:
    """Old runs in Parquet files, at ORION_ARCHIVE_PATH: move them there, list, show and restore them."""


@contextmanager
def _ready() -> Iterator[None]:
    with django_ready():
        from deployments.archive.place import ArchiveUnavailable

        try:
            yield
        except ArchiveUnavailable as error:
            raise CommandFailed(ExitCode.FAILED, str(error)) from error


@archive.command(short_help="Move old runs to the archive now.")
@click.option(
    "--older-than", metavar="PERIOD", help="Such as 30d; runs count from their end. Else as the settings say."
)
@click.option("--dry-run", is_flag=True, help="Count what would be moved, and move nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_output
def run(older_than: str | None, dry_run: bool, yes: bool, output: str) -> None:
    """Move runs that ended long ago to the archive: written, compared, and only then deleted from the database.

    Servers do so every hour. It may be stopped at any time, and continues the next time.

    Example: orion archive run --older-than 30d --dry-run
    """
    asked = read_period(older_than) if older_than else None
    if asked is not None and asked <= timedelta():
        raise click.UsageError("--older-than must be more than nothing; write 30d, 12h or 45m.")
    with _ready():
        from deployments.archive.place import place
        from deployments.archive.services import archive_age, archive_runs, count_archivable
        from orchestration.database_clock import current_time
        from orion_site.audit.entrances import record_command

        where, now = place(), current_time()
        age = asked or archive_age() or timedelta()
        if dry_run:
            found = {"flow_runs": count_archivable(older_than=age, now=now)}
            click.echo(json.dumps(found) if output == "json" else f"{found['flow_runs']:>12,} flow runs would be moved")
            return
        if not yes:
            ask_first(f"Move runs that ended {older_than or f'{age.days}d'} ago to {where.address}?")
        record_command("archive.run", "ArchiveRuns", {"older_than_seconds": age.total_seconds()})
        done = archive_runs(older_than=age, now=now)
    moved = {"batches": done.batches, "flow_runs": done.flow_runs, "task_runs": done.task_runs, "bytes": done.bytes}
    if output == "json":
        click.echo(json.dumps({**moved, "deleted": dict(+done.deleted)}))
        return
    for name in ("flow_runs", "task_runs"):
        click.echo(f"{moved[name]:>12,} {name.replace('_', ' ')} moved")
    click.echo(f"{done.bytes:>12,} bytes written")


@archive.command(short_help="List the days in the archive.")
@_output
def ls(output: str) -> None:
    """List the days in the archive: how many runs, and how much room they take.

    Example: orion archive ls
    """
    with _ready():
        from deployments.archive.selectors import batches_of

        days = [
            {
                "day": day,
                "batches": len(batches),
                "flow_runs": sum(one.flow_runs for one in batches),
                "task_runs": sum(one.task_runs for one in batches),
                "bytes": sum(one.bytes for one in batches),
            }
            for day, batches in ((day, list(found)) for day, found in groupby(sorted(batches_of(), key=_day), key=_day))
        ]
    if output == "json":
        click.echo(json.dumps(days))
        return
    for one in days:
        click.echo(
            f"{one_line(str(one['day']))}  {one['flow_runs']:>10,} flow runs  {one['task_runs']:>10,} task runs  "
            f"{one['bytes']:>14,} bytes"
        )
    if not days:
        click.echo("Nothing is archived yet.", err=True)


def _day(batch: Any) -> str:
    return str(batch.day)


@archive.command(short_help="Compare the files of the archive with what was written.")
@_output
def verify(output: str) -> None:
    """Read every file of the archive, and compare its checksum and rows with the manifest; exit code 1 if one differs.

    Example: orion archive verify
    """
    with _ready():
        from deployments.archive.place import place

        where = place()
        batches = where.batches()
        flaws = [flaw for batch in batches for flaw in where.flaws(batch)]
    if output == "json":
        click.echo(json.dumps({"batches": len(batches), "flaws": flaws}))
    else:
        for flaw in flaws:
            click.echo(one_line(flaw))
        click.echo(f"{len(batches):,} batches, {len(flaws)} flaws.", err=True)
    if flaws:
        raise click.exceptions.Exit(1)


@archive.command(short_help="List runs in the archive.")
@click.option("--since", metavar="TIME", help="Expected from then on: 2026-01-31, or a moment in ISO 8601.")
@click.option("--until", metavar="TIME", help="Expected before then.")
@click.option("--flow", default="", help="Of the flow of this name.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([one.value for one in StateType], case_sensitive=False)
)
@click.option("--name", default="", help="With this in their name.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@_output
def runs(
    since: str | None, until: str | None, flow: str, states: tuple[str, ...], name: str, limit: int, output: str
) -> None:
    """List runs in the archive, the newest first.

    Example: orion archive runs --since 2026-01-01 --until 2026-02-01 --state failed
    """
    with _ready():
        from deployments.archive.selectors import Wanted, archived_runs

        wanted = Wanted(_moment(since), _moment(until), [one.upper() for one in states], flow, name)
        found = archived_runs(wanted, limit=limit)
    if output == "json":
        click.echo(json.dumps([_as_json(one) for one in found]))
        return
    for one in found:
        of = f"{one.expected:%Y-%m-%d %H:%M}  {one.state_name:<12}  {one.flow_name} / {one.name}"
        click.echo(f"{one.id}  {one_line(of)}  (archive)")
    if not found:
        click.echo("No run in the archive fits.", err=True)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is not a time; write 2026-01-31 or 2026-01-31T12:00+00:00.") from None
    return moment if moment.tzinfo else moment.astimezone()


def _as_json(one: ListedRun) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in one.__slots__ if name != "batch"}
    return {
        **{name: value if isinstance(value, int) else value and str(value) for name, value in fields.items()},
        "archived": True,
    }


@archive.command(short_help="Show a run from the archive.")
@click.argument("run_id", type=click.UUID)
@_output
def inspect(run_id: UUID, output: str) -> None:
    """Show a run from the archive with its states, task runs and log.

    Example: orion archive inspect 0199c0de-0000-7000-8000-000000000001
    """
    with _ready():
        from deployments.archive.selectors import archived_run

        found = archived_run(run_id)
        if found is None:
            raise CommandFailed(ExitCode.NOT_FOUND, f"The archive has no run {run_id}.")
        _print_run_json(found) if output == "json" else _print_run(found)


@archive.command(short_help="Copy runs from the archive back into the database.")
@click.argument("run_ids", type=click.UUID, nargs=-1)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="All runs that were expected then (UTC).")
@click.option("--keep", metavar="PERIOD", default="7d", show_default=True, help="So long they stay there.")
@_output
def restore(run_ids: tuple[UUID, ...], day: datetime | None, keep: str, output: str) -> None:
    """Copy runs from the archive back into the database, with all that is nested in them.

    Pages, searches and the API show them as before, until they are moved again. The archive keeps them, too. If the
    command is stopped, run it again.

    \b
    Example: orion archive restore 0199c0de-0000-7000-8000-000000000001 --keep 30d
    Example: orion archive restore --day 2026-01-31
    """
    if bool(run_ids) == (day is not None):
        raise click.UsageError("Name runs by their ids, or one --day.")
    period = read_period(keep)
    if period is None or period <= timedelta():
        raise click.UsageError("--keep must be more than nothing; write 7d, 12h or 45m.")
    with _ready():
        from deployments.archive.restoring import restore_day, restore_run
        from orchestration.database_clock import current_time
        from orion_site.audit.entrances import record_command

        asked = {"runs": [str(one) for one in run_ids]} if day is None else {"day": f"{day:%Y-%m-%d}"}
        record_command("archive.restore", "RestoreRuns", {**asked, "keep_seconds": period.total_seconds()})
        now = current_time()
        added: Counter[str] = Counter()
        if day is not None:
            added += restore_day(day.date(), keep=period, now=now)
        for run_id in run_ids:
            added += restore_run(run_id, keep=period, now=now)
    if output == "json":
        click.echo(json.dumps({"added": dict(added)}))
        return
    for name, number in added.items():
        click.echo(f"{number:>12,} {name} restored")
    if not added:
        click.echo("Nothing was restored: the archive has no such run, or the database has it.", err=True)


def _print_run_json(found: ArchivedRun) -> None:
    from django.core.serializers.json import DjangoJSONEncoder

    from runs.states.selectors import unfolded

    def fields(row: Any) -> dict[str, Any]:
        values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
        return {name: value for name, value in values.items() if not isinstance(value, bytes)}

    tasks = [
        {**fields(one), "states": [fields(state) for state in (*unfolded(one), *found.task_run_states.get(one.pk, ()))]}
        for one in found.task_runs
    ]
    answer = {
        **fields(found.run),
        "archived": True,
        "flow_name": found.flow_name,
        "states": [fields(one) for one in found.states],
        "task_runs": tasks,
        "task_run_count": found.task_run_count,
        "logs": [fields(one) for one in found.logs],
        "log_count": found.log_count,
        "artifacts": [fields(one) for one in found.artifacts],
        "events": [fields(one) for one in found.events],
    }
    json.dump(answer, sys.stdout, cls=DjangoJSONEncoder)
    click.echo()


def _print_run(found: ArchivedRun) -> None:
    run = found.run
    click.echo(one_line(f"{found.flow_name} / {run.name}  {run.state_name}  (archive, {found.batch.day})"))
    for state in found.states:
        state_line = f"{state.timestamp:%Y-%m-%d %H:%M:%S}  {state.name}  {state.message or ''}"
        click.echo(f"  {cleaned(state_line)}".rstrip())
    click.echo(f"{found.task_run_count:,} task runs")
    for task in found.task_runs:
        click.echo(one_line(f"  {task.id}  {task.state_name:<12}  {task.name}"))
    if found.events:
        click.echo(f"{len(found.events):,} events")
    for event in found.events:
        click.echo(one_line(f"  {event.occurred:%Y-%m-%d %H:%M:%S}  {event.event}"))
    click.echo(f"{found.log_count:,} lines of log")
    for line in found.logs:
        click.echo(f"  {line.timestamp:%H:%M:%S}  {cleaned(line.message)}")
