"""`orion deployment schedule preview` and `export`: what is to come, for people and for calendar programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import definition_text
from orionflow.cli.deployment.finding import find_deployment
from orionflow.cli.deployment.schedule.finding import find_schedule, schedules_of
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.schedules import read_schedule, schedule_options
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import Clock, read_moment


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment schedule preview etl/prod", "all of its active schedules"),
        ("orion dep schedule preview etl/prod 1 --count 20 --after 2026-10-24", "one, around a change of the clocks"),
        ('orion dep schedule preview --cron "30 2 * * *" --timezone Europe/Berlin', "one that is not there yet"),
    ),
)
@click.argument("name", metavar="[DEPLOYMENT]", required=False)
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
@schedule_options
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many times.")
@click.option("--after", metavar="TIME", help="Those after this time; otherwise from now.")
@output_options
@time_options
def preview(
    name: str | None, wanted: str | None, count: int, after: str | None, output: Output, clock: Clock, **said: Any
) -> None:
    """Show the next times of a deployment, with what is particular about them when the clocks change."""
    api = backend()
    asked: Json = {"count": count, **({"after": clock.moment(after).isoformat()} if after else {})}
    draft = read_schedule(said, clock)
    if (draft is None) == (name is None):
        raise click.UsageError("Name a deployment, or say a schedule with --cron, --interval, --rrule or --ics.")
    if draft is not None:
        body = {"definition": draft["schedule"], "calendars": draft.get("calendars", []), **asked}
        times = api.post("/schedules/preview", body)
        zones: dict[str | None, str | None] = {None: draft["schedule"].get("timezone")}
    else:
        deployment = find_deployment(api, str(name))
        times = _of_deployment(api, deployment, wanted, asked)
        zones = {one["id"]: one["schedule"].get("timezone") for one in schedules_of(api, deployment)}
    output.show_many(times, _columns(clock, zones, several=any(one.get("schedule") for one in times)), name="at")
    if output.is_for_people and not times:
        output.terminal.note("Nothing is to come.")


def _of_deployment(api: Backend, deployment: Json, wanted: str | None, asked: Json) -> list[Json]:
    """The times of one schedule, or of all that are active, in their order."""
    chosen = [find_schedule(api, deployment, wanted)] if wanted else schedules_of(api, deployment)
    times: list[Json] = []
    for one in chosen:
        if one["active"] or wanted:
            found = api.post(f"/deployments/{deployment['id']}/schedules/{one['id']}/preview", asked)
            times += [{**time, "schedule": one["id"], "text": definition_text(one["schedule"])} for time in found]
    return sorted(times, key=lambda time: str(time["at"]))[: asked["count"]]


def _columns(clock: Clock, zones: Mapping[str | None, str | None], *, several: bool) -> list[Column]:
    """Times are shown in the zone of their schedule, in which somebody thought of them."""
    return [
        Column("TIME", lambda one: clock.in_zone(zones.get(one.get("schedule"))).absolute(one["at"]), field="at"),
        Column("IN", lambda one: _distance(clock, one["at"])),
        *([Column("SCHEDULE", lambda one: one["text"], field="schedule")] if several else []),
        Column("NOTE", lambda one: one["note"] or "", field="note"),
    ]


def _distance(clock: Clock, moment: str) -> str:
    found = read_moment(moment)
    return clock.distance(found) if found else "-"


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment schedule export etl/prod --ics > prod.ics", "for a calendar program"),
        ("orion dep schedule export --ics", "the planned runs of all deployments"),
    ),
)
@click.argument("name", metavar="[DEPLOYMENT]", required=False)
@click.option("--ics", is_flag=True, help="As an iCalendar document, which is the only form there is.")
def export(name: str | None, ics: bool) -> None:
    """Print the planned runs of a deployment, or of all of them, as a calendar."""
    api = backend()
    path = f"/deployments/{find_deployment(api, name)['id']}/schedule.ics" if name else "/schedules.ics"
    current_terminal().out_exactly(api.text(path).rstrip("\r\n"))
