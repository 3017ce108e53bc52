"""How deployments and their schedules look in tables."""

from __future__ import annotations

from typing import Any

from orionflow.cli.backend import Json
from orionflow.cli.counting import counted
from orionflow.cli.looks import first_line
from orionflow.cli.output import Column, as_text
from orionflow.cli.times import Clock, rough


def deployment_columns(names: dict[str, str], clock: Clock) -> list[Column]:
    return [
        Column("DEPLOYMENT", lambda one: names.get(one["id"]) or str(one["name"]), field="name"),
        Column("STATUS", status_text, field="status"),
        Column("SCHEDULES", lambda one: schedules_text(one["schedules"]), field="schedules"),
        Column("QUEUE", queue_text, field="work_queue_name"),
        Column("TAGS", lambda one: as_text(one["tags"]), field="tags"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
        Column("VERSION", lambda one: one["version"] or "-", field="version", wide=True),
        Column("ENTRYPOINT", lambda one: one["entrypoint"] or "-", field="entrypoint", wide=True),
        Column("UPDATED", lambda one: clock.ago(one["updated"]), field="updated", wide=True),
    ]


def status_text(deployment: Json) -> str:
    if deployment["paused"]:
        return "paused"
    return "ready" if deployment.get("status") == "READY" else "no agent"


def queue_text(deployment: Json) -> str:
    pool, queue = deployment.get("work_pool_name"), deployment.get("work_queue_name")
    if queue and not pool:
        return f"{queue} (deleted)"
    return "/".join(filter(None, (pool, queue))) or "-"


def schedules_text(schedules: list[Json]) -> str:
    active = [definition_text(one["schedule"]) for one in schedules if one["active"]]
    asleep = len(schedules) - len(active)
    return "; ".join(active + ([f"{asleep} paused"] if asleep else [])) or "-"


def definition_text(definition: Json) -> str:
    """A schedule in few words: `0 6 * * * (Europe/Berlin)`."""
    zone = definition.get("timezone")
    return f"{_kind_text(definition)} ({zone})" if zone else _kind_text(definition)


def _kind_text(definition: Json) -> str:
    match definition:
        case {"cron": line}:
            return str(line)
        case {"interval": seconds}:
            return f"every {_period(float(seconds))}"
        case {"rrule": rule}:
            return first_line(str(rule), 60)
        case {"ics": text}:
            events = str(text).upper().count("BEGIN:VEVENT")
            return "calendar of one event" if events == 1 else f"calendar of {events} events"
    return "?"


def _period(seconds: float) -> str:
    for size in (86400, 3600, 60):
        if seconds >= size and seconds % size == 0:
            return rough(seconds)
    return f"{seconds:g}s"


def numbered_schedule_columns(schedules: list[Json], clock: Clock) -> list[Column]:
    """With the numbers by which commands know them."""
    numbers = {one["id"]: str(place) for place, one in enumerate(schedules, start=1)}
    return [Column("NO", lambda one: numbers[one["id"]]), *schedule_columns(clock)]


def schedule_columns(clock: Clock) -> list[Column]:
    return [
        Column("ID", lambda one: one["id"], field="id"),
        Column("SCHEDULE", lambda one: definition_text(one["schedule"]), field="schedule"),
        Column("ACTIVE", lambda one: "yes" if one["active"] else "paused", field="active"),
        Column("PARAMETERS", lambda one: as_text(one.get("parameters") or None), field="parameters"),
        Column("CATCH UP", lambda one: one.get("misfire") or "-", field="misfire"),
        Column("ENDS", _ends(clock), field="ends_at"),
        Column("CALENDARS", lambda one: as_text(one.get("calendars") or []), field="calendars"),
    ]


def _ends(clock: Clock) -> Any:
    def text(one: Json) -> str:
        runs = f"after {counted(one['max_runs'], 'run')}" if one.get("max_runs") else ""
        until = clock.absolute(one["ends_at"]) if one.get("ends_at") else ""
        return " or ".join(filter(None, (until, runs))) or "-"

    return text


def properties_of(schema: Json) -> dict[str, Json]:
    """The parameters that a schema names. One that is not enforced may be broken."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: one if isinstance(one, dict) else {} for name, one in properties.items()}
