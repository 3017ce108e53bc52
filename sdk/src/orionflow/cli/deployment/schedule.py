"""`orion deployment schedule`: when a deployment runs by itself.

A schedule is identified by its number in the list, its id, or the start of its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orionflow.calls.schedules import preview_draft, preview_schedule, read_feed, read_schedules, schedules_of
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Col, Columns, yes_or
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.resource import find_deployment
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import by_prefix
from orionflow.cli.output import Column, as_text
from orionflow.cli.parameters import read_whole
from orionflow.cli.schedules import ANY_OPTION, SCHEDULE_PARAMS, definition_text, read_schedule
from orionflow.cli.session import Session, ask_before, bare_session, command, destructive, with_params
from orionflow.cli.style import counted
from orionflow.cli.times import Clock, read_moment

schedule = LazyGroup(
    "schedule",
    __name__,
    help="When a deployment runs by itself. A SCHEDULE is its id, the beginning of one, or its number in the list.",
    entries={
        "Look": {
            "ls": "List the schedules of a deployment.",
            "preview": "Show the next times of a deployment.",
            "export": "Print planned runs as a calendar.",
        },
        "Act": {
            "create": "Add a schedule to a deployment.",
            "pause": "Pause a schedule.",
            "resume": "Resume a schedule.",
            "delete": "Delete a schedule.",
            "clear": "Delete all schedules of a deployment.",
        },
    },
    examples=(
        ('orion deployment schedule create etl/prod --cron "0 6 * * 1-5" --timezone Europe/Berlin', ""),
        ("orion dep schedule preview etl/prod --count 10", "when will it run?"),
    ),
)


def _schedules_of(api: Backend, deployment: Json) -> list[Json]:
    """Fetch the schedules of a deployment in the order of their creation, so that their numbers are stable."""
    found: list[Json] = api.ask(read_schedules(deployment["id"]))
    return sorted(found, key=lambda one: (one["created"], one["id"]))


def _find(api: Backend, deployment: Json, wanted: str | None) -> Json:
    """Find the one schedule that is meant; if none is named, the only one."""
    every = _schedules_of(api, deployment)
    if wanted is None:
        found = every
    elif wanted.isdigit() and 1 <= int(wanted) <= len(every):
        found = [every[int(wanted) - 1]]
    else:
        found = by_prefix(every, wanted)
    if len(found) == 1:
        return found[0]
    lines = [f"{place}  {one['id']}  {definition_text(one['schedule'])}" for place, one in enumerate(every, start=1)]
    which = "schedules" if wanted is None else f"schedules that begin with {wanted!r}"
    what = f"{deployment['name']} has {len(found) or 'no'} {which}."
    raise CommandFailed(ExitCode.NOT_FOUND, what, "\n".join(lines), "give the number or the id of one" if lines else "")


def _columns(clock: Clock) -> Columns:
    return [
        Col("ID", "id"),
        Column("SCHEDULE", lambda one: definition_text(one["schedule"]), field="schedule"),
        Col("ACTIVE", "active", yes_or("paused")),
        Column("PARAMETERS", lambda one: as_text(one.get("parameters") or None), field="parameters"),
        Column("CATCH UP", lambda one: one.get("misfire") or "-", field="misfire"),
        Column("ENDS", lambda one: _ends(one, clock), field="ends_at"),
        Column("CALENDARS", lambda one: as_text(one.get("calendars") or []), field="calendars"),
    ]


def _ends(one: Json, clock: Clock) -> str:
    runs = f"after {counted(one['max_runs'], 'run')}" if one.get("max_runs") else ""
    until = clock.absolute(one["ends_at"]) if one.get("ends_at") else ""
    return " or ".join(filter(None, (until, runs))) or "-"


@command("orion deployment schedule ls etl/prod", times=True)
@click.argument("name", metavar="DEPLOYMENT")
def ls(session: Session, name: str) -> None:
    """List the schedules of a deployment."""
    found = _schedules_of(session.api, find_deployment(session, name))
    numbers = {one["id"]: str(place) for place, one in enumerate(found, start=1)}
    columns = [Column("NO", lambda one: numbers[one["id"]]), *_columns(session.clock)]
    session.show_list(found, columns, empty="No schedules; add one with orion deployment schedule create.", name="id")


@command(
    ('orion deployment schedule create etl/prod --cron "0 6 * * 1-5" --timezone Europe/Berlin', ""),
    ("orion dep schedule create etl/prod --interval 15m --catchup latest", "after an outage, once"),
    ('orion dep schedule create etl/prod --rrule "FREQ=MONTHLY;BYDAY=-1FR" --max-runs 12', "last Fridays, a year"),
    ("orion dep schedule create etl/prod --ics plan.ics --exclude holidays", "from a calendar program"),
    times=True,
)
@click.argument("name", metavar="DEPLOYMENT")
@with_params(*SCHEDULE_PARAMS)
@click.option("--params", metavar="JSON", help="Parameters of its runs, as a JSON object or @FILE.")
@click.option("--paused", is_flag=True, help="Add it paused.")
def create(session: Session, name: str, params: str | None, paused: bool, **options: Any) -> None:
    """Add a schedule to a deployment. Exactly one option must say when."""
    wanted = read_schedule(options, session.clock)
    if wanted is None:
        raise click.UsageError(f"Say when: one of {ANY_OPTION}.")
    body = {**wanted, "active": not paused, **({"parameters": read_whole(params)} if params else {})}
    deployment = find_deployment(session, name)
    created = session.api.ask(schedules_of(deployment["id"]).create([body]))
    session.show_list(created, _columns(session.clock), name="id")


@command(("orion deployment schedule pause etl/prod 1", "the first one of the list"), times=True)
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
def pause(session: Session, name: str, wanted: str | None) -> None:
    """Pause a schedule, and delete the runs that it planned. Without SCHEDULE, the only one."""
    _set_active(session, name, wanted, active=False)


@command("orion deployment schedule resume etl/prod 1", times=True)
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
def resume(session: Session, name: str, wanted: str | None) -> None:
    """Resume a schedule. Without SCHEDULE, the only one there is."""
    _set_active(session, name, wanted, active=True)


def _set_active(session: Session, name: str, wanted: str | None, *, active: bool) -> None:
    deployment = find_deployment(session, name)
    found = _find(session.api, deployment, wanted)
    session.api.ask(schedules_of(deployment["id"]).update(found["id"], {"active": active}))
    if session.for_people:
        session.announce(f"{definition_text(found['schedule'])} is {'active again' if active else 'paused'}.")
    else:
        session.show_list([{**found, "active": active}], _columns(session.clock), name="id")


@command(
    ("orion deployment schedule delete etl/prod 1 --dry-run", "only say which"),
    "orion dep schedule delete etl/prod 1 --yes",
    times=True,
)
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="SCHEDULE")
@destructive
def delete(session: Session, name: str, wanted: str, yes: bool, dry_run: bool) -> None:
    """Delete a schedule, and the runs that it planned."""
    deployment = find_deployment(session, name)
    found = _find(session.api, deployment, wanted)
    what = f"the schedule {definition_text(found['schedule'])} of {name}"
    if dry_run:
        session.note(f"Would delete {what}.")
        return
    ask_before(f"delete {what}", yes=yes)
    session.api.ask(schedules_of(deployment["id"]).delete(found["id"]))
    session.note(f"Deleted {what}.")
    if not session.for_people:
        session.show_list([found], _columns(session.clock), name="id")


@command(
    ("orion deployment schedule clear etl/prod --dry-run", "only say which"),
    "orion dep schedule clear etl/prod --yes",
    times=True,
)
@click.argument("name", metavar="DEPLOYMENT")
@destructive
def clear(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Delete all schedules of a deployment, and the runs that they planned."""
    deployment = find_deployment(session, name)
    found = _schedules_of(session.api, deployment)
    what = f"{'one schedule' if len(found) == 1 else f'{len(found)} schedules'} of {name}"
    if dry_run:
        session.note(f"Would delete {what}.")
        session.show_list(found, _columns(session.clock), name="id")
        return
    if found:
        ask_before(f"delete {what}", yes=yes)
    for one in found:
        session.api.ask(schedules_of(deployment["id"]).delete(one["id"]))
    session.note(f"Deleted {what}.")


@command(
    ("orion deployment schedule preview etl/prod", "all of its active schedules"),
    ("orion dep schedule preview etl/prod 1 --count 20 --after 2026-10-24", "one, around a change of the clocks"),
    ('orion dep schedule preview --cron "30 2 * * *" --timezone Europe/Berlin', "one that is not there yet"),
    times=True,
)
@click.argument("name", metavar="[DEPLOYMENT]", required=False)
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
@with_params(*SCHEDULE_PARAMS)
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many times.")
@click.option("--after", metavar="TIME", help="Those after this time; otherwise from now.")
def preview(
    session: Session, name: str | None, wanted: str | None, count: int, after: str | None, **options: Any
) -> None:
    """Show the next times of a deployment, with notes on changes of clocks."""
    asked: Json = {"count": count, "after": session.clock.moment(after) if after else None}
    draft = read_schedule(options, session.clock)
    if (draft is None) == (name is None):
        raise click.UsageError(f"Name a deployment, or say a schedule with {ANY_OPTION}.")
    if draft is not None:
        times = session.api.ask(preview_draft(draft["schedule"], calendars=draft.get("calendars", []), **asked))
        zones: dict[str | None, str | None] = {None: draft["schedule"].get("timezone")}
    else:
        deployment = find_deployment(session, str(name))
        times = _times_of(session.api, deployment, wanted, asked)
        zones = {one["id"]: one["schedule"].get("timezone") for one in _schedules_of(session.api, deployment)}
    columns = _time_columns(session.clock, zones, several=any(one.get("schedule") for one in times))
    session.show_list(times, columns, empty="Nothing is to come.", name="at")


def _times_of(api: Backend, deployment: Json, wanted: str | None, asked: Json) -> list[Json]:
    """Fetch the times of one schedule, or of all that are active, in their order."""
    chosen = [_find(api, deployment, wanted)] if wanted else _schedules_of(api, deployment)
    times: list[Json] = []
    for one in chosen:
        if one["active"] or wanted:
            found = api.ask(preview_schedule(deployment["id"], one["id"], **asked))
            times += [{**time, "schedule": one["id"], "text": definition_text(one["schedule"])} for time in found]
    return sorted(times, key=lambda time: str(time["at"]))[: asked["count"]]


def _time_columns(clock: Clock, zones: Mapping[str | None, str | None], *, several: bool) -> Columns:
    def distance(one: Json) -> str:
        found = read_moment(one["at"])
        return clock.distance(found) if found else "-"

    return [
        # In the zone of the schedule, in which its author wrote it.
        Column("TIME", lambda one: clock.in_zone(zones.get(one.get("schedule"))).absolute(one["at"]), field="at"),
        Col("IN", row=distance),
        *([Column("SCHEDULE", lambda one: one["text"], field="schedule")] if several else []),
        Column("NOTE", lambda one: one["note"] or "", field="note"),
    ]


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment schedule export etl/prod --ics > prod.ics", "for a calendar program"),
        ("orion dep schedule export --ics", "the planned runs of all deployments"),
    ),
)
@click.argument("name", metavar="[DEPLOYMENT]", required=False)
@click.option("--ics", is_flag=True, help="As an iCalendar document, the only format.")
def export(name: str | None, ics: bool) -> None:
    """Print the planned runs of a deployment, or of all of them, as a calendar."""
    session = bare_session()
    feed = session.api.raw(read_feed(find_deployment(session, name)["id"] if name else None))
    session.terminal.out_exactly(feed.decode().rstrip("\r\n"))
