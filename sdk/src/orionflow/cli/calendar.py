"""`orion calendar`: times at which schedules start nothing, shared by many of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.finding import missing
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.options import Output, destructive, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock

HERE = "orionflow.cli.calendar"

calendar = LazyGroup(
    "calendar",
    context_settings=HELP_NAMES,
    help="Calendars of times at which nothing is started: holidays, maintenance. Schedules name those they follow.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List calendars."),
        "create": Entry(f"{HERE}:create", "Create a calendar of whole days or times."),
        "import": Entry(f"{HERE}:import_", "Store an .ics file as a calendar."),
        "delete": Entry(f"{HERE}:delete", "Delete a calendar.", ("rm",)),
    },
    examples=(
        ("orion calendar create closed --day 2026-12-24 --day 2026-12-25", ""),
        ("orion calendar import holidays.ics --name holidays", ""),
        ('orion dep schedule create etl/prod --cron "0 6 * * *" --exclude holidays', ""),
    ),
)


@click.command(cls=OrionCommand, examples=(("orion calendar ls", ""), ("orion calendar ls -o json", "")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(limit: int, output: Output, clock: Clock) -> None:
    """List calendars by name."""
    found = list(backend().pages("/calendars/filter", {}, limit))
    output.show_many(found, _columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No calendars.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("CALENDAR", lambda one: one["name"], field="name"),
        Column("EVENTS", lambda one: str(one["ics"].upper().count("BEGIN:VEVENT"))),
        Column("DESCRIPTION", lambda one: one["description"] or "-", field="description"),
        Column("UPDATED", lambda one: clock.ago(one["updated"]), field="updated"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion calendar create festive --day 2026-12-24 --day 2026-12-25", "whole days"),
        ("orion calendar create works --from 2026-11-21T22:00+00:00 --to 2026-11-22T02:00+00:00", "a stretch of time"),
    ),
)
@click.argument("name")
@click.option("--day", "days", metavar="DATE", multiple=True, type=click.DateTime(["%Y-%m-%d"]), help="A whole day.")
@click.option("--from", "start", metavar="TIME", help="The beginning of a stretch of time.")
@click.option("--to", "end", metavar="TIME", help="Its end.")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@output_options
@time_options
def create(
    name: str,
    days: tuple[object, ...],
    start: str | None,
    end: str | None,
    description: str,
    output: Output,
    clock: Clock,
) -> None:
    """Create a calendar of days, or of a stretch of time. Whole days are those of each schedule's own zone."""
    if (start is None) != (end is None) or not (days or start):
        raise click.UsageError("Say the days with --day, or a stretch of time with --from and --to.")
    events = [f"DTSTART;VALUE=DATE:{day:%Y%m%d}" for day in days]
    if start and end:
        begin, over = clock.moment(start), clock.moment(end)
        if over <= begin:
            raise click.UsageError(f"--to {end} is not after --from {start}; nothing lies between them.")
        events.append(f"DTSTART:{_utc(begin)}\r\nDTEND:{_utc(over)}")
    _store(name, _document(name, events), description, output, clock)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _document(name: str, events: list[str]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//orion//calendar//EN"]
    for number, event in enumerate(events, start=1):
        lines += ["BEGIN:VEVENT", f"UID:{number}-{name}@orion", "DTSTAMP:20260101T000000Z", event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion calendar import holidays.ics", "under the name of the file"),
        ("orion calendar import holidays.ics --name bavaria --description 'Days off'", ""),
    ),
)
@click.argument("file")
@click.option("--name", metavar="NAME", help="Its name; otherwise that of the file.")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@output_options
@time_options
def import_(file: str, name: str | None, description: str, output: Output, clock: Clock) -> None:
    """Store an .ics file as a calendar, or bring the calendar of that name to it."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {file!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be read.", str(error)) from None
    _store(name or Path(file).stem, text, description, output, clock)


def _store(name: str, ics: str, description: str, output: Output, clock: Clock) -> None:
    api = backend()
    before = _named(api, name)
    body = {"name": name, "ics": ics, **({"description": description} if description else {})}
    if before is None:
        stored = api.post("/calendars/", body)
    else:
        api.request("PATCH", f"/calendars/{before['id']}", body)
        stored = api.get(f"/calendars/{before['id']}")
    if output.is_for_people:
        output.terminal.say(f"{'Created' if before is None else 'Changed'} the calendar {name}.")
    else:
        output.show_many([stored], _columns(clock))


@click.command(
    cls=OrionCommand,
    examples=(("orion calendar delete closed --dry-run", ""), ("orion calendar delete closed --yes", "")),
)
@click.argument("name")
@destructive
@output_options
def delete(name: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a calendar that no schedule names."""
    api = backend()
    found = _named(api, name)
    if found is None:
        raise missing("calendar", name, [one["name"] for one in api.pages("/calendars/filter", {}, 1000)])
    delete_at(api, f"/calendars/{found['id']}", f"the calendar {name}", yes=yes, dry_run=dry_run)


def _named(api: Backend, name: str) -> Json | None:
    found = list(api.pages("/calendars/filter", {"calendars": {"name": {"any_": [name]}}}, 1))
    return found[0] if found else None
