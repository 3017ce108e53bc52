"""Schedules of another server, converted to mean the same here, with a note about each change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orionflow.calls.schedules import preview_draft
from orionflow.cli.importing.cron_lines import turned_round
from orionflow.cli.importing.reading import Json, Thing, World
from orionflow.cli.schedules import definition_text
from orionflow.errors import InvalidRequest


def fitted(deployment: Thing, source: World, target: World) -> tuple[Thing, list[str]]:
    """Return the deployment in the form for this server, and a sentence on each schedule changed or left out."""
    notes: list[str] = []
    schedules = list(_schedules(deployment, source, target, notes))
    return replace(deployment, body={**deployment.body, "schedules": schedules}), notes


def _schedules(deployment: Thing, source: World, target: World, notes: list[str]) -> Iterator[Json]:
    for schedule in deployment.body["schedules"]:
        definition = schedule["schedule"]
        if source.is_prefect and definition.get("cron"):
            day_or = definition.get("day_or") is not False
            line = turned_round(definition["cron"], day_or=day_or)
            if line != definition["cron"]:
                notes.append(f"{deployment.name}: the cron line {definition['cron']!r} is written {line!r} here.")
                definition = {**definition, "cron": line}
        try:
            times = target.api.ask(preview_draft(definition, count=1))
        except InvalidRequest as refusal:
            text = definition_text(definition)
            notes.append(f"{deployment.name}: the schedule {text} is left out, as it cannot run here: {refusal}")
            continue
        whole = {**schedule, "schedule": definition}
        if whole.get("active", True) and (why := _why_never(deployment, whole, times)):
            notes.append(
                f"{deployment.name}: the schedule {definition_text(definition)} is copied switched off: {why}."
            )
            whole["active"] = False
        yield whole


def _why_never(deployment: Thing, schedule: Json, times: list[Json]) -> str | None:
    """Return why a valid schedule would never create a run; None if it would."""
    if not times:
        return "its last time has passed"
    body = deployment.body
    given = {*(body.get("parameters") or {}), *(schedule.get("parameters") or {})}
    required = (body.get("parameter_openapi_schema") or {}).get("required") or []
    missing = [name for name in required if name not in given] if body.get("enforce_parameter_schema") else []
    return f"its runs would want the parameter {missing[0]!r}, which is not set" if missing else None
