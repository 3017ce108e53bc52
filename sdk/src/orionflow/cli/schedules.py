"""Schedules on the command line (`--cron`, `--interval` …), and in sentences and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from orionflow.cli.backend import Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.style import first_line
from orionflow.cli.times import Clock, read_period, rough, zone_named
from orionflow.schedules import KINDS

_OPTION_NAMES = {"anchor": "anchor_date"}
_EACH_OPTION = [f"--{kind}" for kind in KINDS]
ANY_OPTION = f"{', '.join(_EACH_OPTION[:-1])} or {_EACH_OPTION[-1]}"


# The options of a schedule; a command gets them among its keyword arguments.
SCHEDULE_PARAMS: tuple[click.Parameter, ...] = (
    *(click.Option([f"--{name}"], metavar=kind.option.metavar, help=kind.option.help) for name, kind in KINDS.items()),
    click.Option(["--timezone"], metavar="ZONE", help="The time zone of the schedule."),
    click.Option(
        ["--anchor-date", "--anchor", "anchor"], metavar="TIME", help="The time from which intervals are counted."
    ),
    click.Option(
        ["--day-or/--day-and"], default=True, help="Cron: whether one of the two day fields must match, or both."
    ),
    click.Option(["--ends"], metavar="TIME", help="No run after this time."),
    click.Option(["--max-runs"], type=click.IntRange(min=1), metavar="N", help="End after this number of runs."),
    click.Option(["--catchup"], type=click.Choice(["all", "latest", "none"]), help="Which missed times to run."),
    click.Option(["--catchup-window"], metavar="PERIOD", help="Ignore times that were missed longer ago."),
    click.Option(["--spread"], metavar="PERIOD", help="Delay runs by up to this time, constant for each deployment."),
    click.Option(
        ["--exclude"], metavar="CALENDAR", multiple=True, help="Plan nothing during the events of this calendar."
    ),
)


def read_schedule(options: dict[str, Any], clock: Clock) -> dict[str, Any] | None:
    """Return the schedule that the options describe, in the API's form; None if they describe none."""
    kinds = [kind for kind in KINDS if options[kind]]
    if len(kinds) > 1:
        raise click.UsageError(f"--{kinds[0]} and --{kinds[1]} are two schedules; add them one after the other.")
    if not kinds:
        _refuse_leftovers(options)
        return None
    value, own = _value_and_own(kinds[0], options, clock)
    return KINDS[kinds[0]].for_option(value, **own, **_shared(options, clock)).to_wire()


def _value_and_own(kind: str, options: dict[str, Any], clock: Clock) -> tuple[Any, dict[str, Any]]:
    """Return the value of the option that says when, and the options of its kind only. Most values are texts."""
    value = options[kind]
    match kind:
        case "cron":
            return value, {"day_or": options["day_or"]}
        case "interval":
            # A time without an offset is in the schedule's zone, which the server looks up.
            anchor = clock.wall_or_moment(options["anchor"]) if options["anchor"] else None
            return read_period(value), {"anchor_date": anchor}
        case "ics" if not Path(value).exists():
            raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {value!r}.")
    return value, {}


def _shared(options: dict[str, Any], clock: Clock) -> dict[str, Any]:
    return {
        "timezone": options["timezone"],
        "ends": _end(options["ends"], options["timezone"], clock) if options["ends"] else None,
        "max_runs": options["max_runs"],
        "misfire": options["catchup"] or "none",
        "misfire_window": read_period(options["catchup_window"]) if options["catchup_window"] else None,
        "calendars": options["exclude"],
        "spread": read_period(options["spread"]) if options["spread"] else None,
    }


def _end(written: str, zone: str | None, clock: Clock) -> datetime:
    """Return the end; a time without an offset is in the schedule's zone, if one is named."""
    is_wall_time = clock.wall_or_moment(written).tzinfo is None
    return (replace(clock, zone=zone_named(zone)) if zone and is_wall_time else clock).moment(written)


def _refuse_leftovers(options: dict[str, Any]) -> None:
    for option in ("timezone", "anchor", "ends", "max_runs", "catchup", "catchup_window", "spread", "exclude"):
        if options[option]:
            raise click.UsageError(f"--{_OPTION_NAMES.get(option, option).replace('_', '-')} belongs to {ANY_OPTION}.")


def schedules_text(schedules: Sequence[Json]) -> str:
    active = [definition_text(one["schedule"]) for one in schedules if one["active"]]
    asleep = len(schedules) - len(active)
    return "; ".join(active + ([f"{asleep} paused"] if asleep else [])) or "-"


def definition_text(definition: Json) -> str:
    """Return a short description of a schedule: `0 6 * * * (Europe/Berlin)`."""
    zone, spread = definition.get("timezone"), definition.get("spread")
    text = f"{_kind_text(definition)} ({zone})" if zone else _kind_text(definition)
    return f"{text}, spread over {_period(float(spread))}" if spread else text


def _kind_text(definition: Json) -> str:
    match definition:
        case {"cron": line}:
            return str(line)
        case {"interval": seconds}:
            return f"every {_period(float(seconds))}"
        case {"ics": text}:
            events = str(text).upper().count("BEGIN:VEVENT")
            return "calendar of one event" if events == 1 else f"calendar of {events} events"
    return next((first_line(str(definition[kind]), 60) for kind in KINDS if kind in definition), "?")


def _period(seconds: float) -> str:
    for size in (86400, 3600, 60):
        if seconds >= size and seconds % size == 0:
            return rough(seconds)
    return f"{seconds:g}s"
