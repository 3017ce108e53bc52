"""`orion calendar`: times at which schedules start nothing, shared by several schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from orionflow.calls.schedules import CALENDARS
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, Columns, ago
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import find_named
from orionflow.cli.parameters import read_text
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command

calendar = LazyGroup(
    "calendar",
    __name__,
    help="Calendars of times at which nothing is started: holidays, maintenance. Schedules name those they follow.",
    entries={
        "ls": "List calendars.",
        "create": "Create a calendar of whole days or times.",
        "import": "Store an .ics file as a calendar.",
        "delete": "Delete a calendar.",
    },
    examples=(
        ("orion calendar create closed --day 2026-12-24 --day 2026-12-25", ""),
        ("orion calendar import holidays.ics --name holidays", ""),
        ('orion dep schedule create etl/prod --cron "0 6 * * *" --exclude holidays', ""),
    ),
)


def _named(session: Session, name: str) -> Json | None:
    found = list(session.api.pages(CALENDARS, {"calendars": {"name": {"any_": [name]}}}, 1))
    return found[0] if found else None


_COLUMNS: Columns = (
    Col("CALENDAR", "name"), Col("EVENTS", row=lambda one: str(one["ics"].upper().count("BEGIN:VEVENT"))),
    Col("DESCRIPTION", "description"), Col("UPDATED", "updated", ago), ID,
)  # fmt: skip
CALENDAR = Resource(
    "calendar", CALENDARS, _COLUMNS, find=lambda session, name: find_named(session.api, CALENDARS, "calendar", name)
)
ls = CALENDAR.ls("List calendars by name.", "orion calendar ls", "orion calendar ls -o json", empty="No calendars.")
delete = CALENDAR.delete(
    "Delete a calendar. If schedules use it, --force is required, and removes it from them.",
    "orion calendar delete closed --dry-run",
    "orion calendar delete closed --yes",
    ("orion calendar delete closed --force --yes", "its schedules run on those days from then on"),
    what="the calendar {}",
    forced=True,
)


@command(
    ("orion calendar create festive --day 2026-12-24 --day 2026-12-25", "whole days"),
    ("orion calendar create works --from 2026-11-21T22:00+00:00 --to 2026-11-22T02:00+00:00", "a period"),
    times=True,
)
@click.argument("name")
@click.option("--day", "days", metavar="DATE", multiple=True, type=click.DateTime(["%Y-%m-%d"]), help="A whole day.")
@click.option("--from", "start", metavar="TIME", help="The start of a period.")
@click.option("--to", "end", metavar="TIME", help="Its end.")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
def create(
    session: Session, name: str, days: Sequence[datetime], start: str | None, end: str | None, description: str
) -> None:
    """Create a calendar of days, or of a period. Whole days are in the zone of each schedule."""
    if (start is None) != (end is None) or not (days or start):
        raise click.UsageError("Say the days with --day, or a period with --from and --to.")
    events = [f"DTSTART;VALUE=DATE:{day:%Y%m%d}" for day in days]
    if start and end:
        begin, over = session.clock.moment(start), session.clock.moment(end)
        if over <= begin:
            raise click.UsageError(f"--to {end} is not after --from {start}; nothing lies between them.")
        events.append(f"DTSTART:{_utc(begin)}\r\nDTEND:{_utc(over)}")
    _store(session, name, _document(name, events), description)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _document(name: str, events: list[str]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//orion//calendar//EN"]
    for number, event in enumerate(events, start=1):
        lines += ["BEGIN:VEVENT", f"UID:{number}-{name}@orion", "DTSTAMP:20260101T000000Z", event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


@command(
    ("orion calendar import holidays.ics", "under the name of the file"),
    ("orion calendar import holidays.ics --name bavaria --description 'Days off'", ""),
    times=True,
)
@click.argument("file")
@click.option("--name", metavar="NAME", help="Its name; otherwise that of the file.")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
def import_(session: Session, file: str, name: str | None, description: str) -> None:
    """Store an .ics file as a calendar, or update the calendar of that name."""
    _store(session, name or Path(file).stem, read_text(file), description)


def _store(session: Session, name: str, ics: str, description: str) -> None:
    before = _named(session, name)
    body = {"name": name, "ics": ics, **({"description": description} if description else {})}
    if before is None:
        stored = session.api.ask(CALENDARS.create(body))
    else:
        session.api.ask(CALENDARS.update(before["id"], body))
        stored = session.api.ask(CALENDARS.read(before["id"]))
    if session.for_people:
        session.announce(f"{'Created' if before is None else 'Changed'} the calendar {name}.")
    else:
        CALENDAR.show(session, [stored])
