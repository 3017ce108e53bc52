"""The changes that deploying would make, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orionflow.cli.schedules import definition_text
from orionflow.contract.deployments import Deployment
from orionflow.contract.schedules import DeploymentSchedule, ScheduleCreate
from orionflow.contract.wire import own_fields

Json = dict[str, Any]
NEW, CHANGED, SAME, GONE = "new", "changed", "same", "gone"
# The fields of written and stored schedules that are compared; all others belong to the server.
_OF_SCHEDULES = frozenset(ScheduleCreate.model_fields) - {"schedule", "catchup", "max_scheduled_runs"}
_DEFAULTS = {name: DeploymentSchedule.model_fields[name].default for name in _OF_SCHEDULES}
_OWN_DEFAULTS = {name: Deployment.model_fields[name].default for name in own_fields(Deployment)}
_LONGEST = 160
DEFAULT_POOL = "default-agent-pool"


@dataclass(frozen=True, slots=True)
class Change:
    """One field of a deployment, before and after."""

    field: str
    before: Any
    after: Any

    def line(self) -> str:
        return f"{self.field}: {_text(self.before)} -> {_text(self.after)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The change that deploying would make to one deployment."""

    name: str
    kind: str
    changes: tuple[Change, ...] = ()

    def as_object(self) -> Json:
        changes = [{"field": one.field, "before": one.before, "after": one.after} for one in self.changes]
        return {"name": self.name, "plan": self.kind, "changes": changes}


def plan_for(name: str, wanted: Json, stored: Json | None) -> Plan:
    """Return the plan for a deployment from its form in a file (the body of its request) and in the API."""
    if stored is None:
        changes = tuple(Change(field, None, _shown(field, value)) for field, value in wanted.items() if value)
        return Plan(name, NEW, changes)
    # The API answers with the older of two names for one field, and omits Orion's own fields with their defaults.
    stored = {**_OWN_DEFAULTS, "job_variables": stored.get("infra_overrides"), **stored}
    changes = tuple(_changes(_with_pool(wanted), stored))
    return Plan(name, CHANGED if changes else SAME, changes)


def _changes(wanted: Json, stored: Json) -> list[Change]:
    found = []
    for field, value in wanted.items():
        if field == "schedules":
            if not _are_same(value, stored.get(field) or []):
                found.append(Change(field, _shown(field, stored.get(field)), _shown(field, value)))
        elif (value or None) != (stored.get(field) or None):
            found.append(Change(field, stored.get(field), value))
    return found


def _with_pool(wanted: Json) -> Json:
    """Add the default pool to a queue without a pool. A deployment whose queue was deleted has neither."""
    if wanted.get("work_queue_name") and not wanted.get("work_pool_name"):
        return {**wanted, "work_pool_name": DEFAULT_POOL}
    return wanted


def _are_same(wanted: list[Json], stored: list[Json]) -> bool:
    """Compare in any order: the API lists the schedules that changed last first."""
    left = list(stored)
    for one in wanted:
        anchored = "anchor_date" in one["schedule"]
        twin = next((other for other in left if _normal(one) == _normal(other, anchored=anchored)), None)
        if twin is None:
            return False
        left.remove(twin)
    return not left


def _normal(schedule: Json, *, anchored: bool = True) -> Json:
    """Return the comparable fields in a uniform form. An anchor that was not written is the server's own."""
    own = {name: schedule.get(name) or _DEFAULTS[name] for name in _OF_SCHEDULES}
    own["active"] = schedule.get("active", True)
    own["ends_at"] = _moment(own["ends_at"])
    definition = dict(schedule["schedule"])
    definition["timezone"] = definition.get("timezone") or "UTC"
    definition["anchor_date"] = _in_zone(_moment(definition.get("anchor_date")), definition) if anchored else None
    return {**own, "schedule": {name: value for name, value in definition.items() if value is not None}}


def _in_zone(moment: Any, definition: Json) -> Any:
    """Return an anchor without an offset as a time in the schedule's zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if not isinstance(moment, datetime) or moment.tzinfo is not None:
        return moment
    try:
        return moment.replace(tzinfo=ZoneInfo(definition["timezone"]))
    except (ZoneInfoNotFoundError, ValueError):
        # The server reports the unknown zone when it is asked.
        return moment


def _moment(text: Any) -> Any:
    return datetime.fromisoformat(text) if isinstance(text, str) else text


def _shown(field: str, value: Any) -> Any:
    if field == "schedules":
        return [definition_text(one["schedule"]) for one in value or []]
    return value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
