"""The tables whose rows the audit log records before and after changes, and the columns that are left out or masked.

All columns are recorded except those listed here, so that a new one is not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from django.apps import apps
from django.db.models import Field, Model, UUIDField

# The entry itself has the time of the change.
_ALWAYS_LEFT_OUT = frozenset({"created", "updated"})


@dataclass(frozen=True)
class Subject:
    """The rows of one model. Rows of a part are recorded with the object that it belongs to: (model, column)."""

    label: str
    kind: str
    names: str = "name"
    part_of: tuple[str, str] | None = None
    left_out: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    @cached_property
    def model(self) -> type[Model]:
        return apps.get_model(self.label)

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def key(self) -> str:
        """The column of its id."""
        return str(self.model._meta.pk.column)

    @cached_property
    def fields(self) -> dict[str, Field[Any, Any]]:
        """The recorded fields by their column."""
        out = self.left_out | _ALWAYS_LEFT_OUT
        return {str(one.column): one for one in self.model._meta.concrete_fields if one.name not in out}

    @property
    def columns(self) -> dict[str, Field[Any, Any]]:
        """The recorded columns, with that of the id first."""
        return {self.key: self.model._meta.pk, **self.fields}


def is_id(column: Field[Any, Any] | None) -> bool:
    """Whether the column stores a UUID."""
    return isinstance(getattr(column, "target_field", column), UUIDField)


def _columns(*names: str) -> frozenset[str]:
    return frozenset(names)


_DECLARED = (
    Subject("runs.Flow", "flow"),
    Subject("runs.SavedSearch", "saved-search"),
    Subject(
        "runs.BulkAction",
        "bulk-action",
        names="action",
        left_out=_columns("done", "refused", "failed", "reasons", "ended_at"),
    ),
    Subject(
        "runs.Problem",
        "problem",
        names="type",
        left_out=_columns(
            *("type", "place", "message", "example", "first_seen", "last_seen", "failures", "noticed"),
            *("trend", "version", "since", "checked_at"),
        ),
    ),
    Subject("deployments.Deployment", "deployment", left_out=_columns("last_polled", "former_queue_id")),
    Subject(
        "deployments.Schedule",
        "schedule",
        names="",
        part_of=("deployments.Deployment", "deployment_id"),
        left_out=_columns("runs_planned", "planned_until", "plan_at"),
    ),
    Subject("deployments.Schedule_calendars", "schedule-calendar", "", part_of=("deployments.Schedule", "schedule_id")),
    Subject("deployments.Backfill", "backfill", left_out=_columns("problem", "ended_at", "total")),
    Subject("deployments.Calendar", "calendar"),
    Subject("deployments.Variable", "variable"),
    Subject("deployments.BlockType", "block-type"),
    Subject("deployments.BlockSchema", "block-schema", names="checksum"),
    Subject("deployments.BlockDocument", "block", hidden=_columns("sealed")),
    Subject("deployments.BlockReference", "block-reference", "", part_of=("deployments.BlockDocument", "parent_id")),
    Subject("deployments.ConcurrencyLimit", "tag-limit", names="tag"),
    Subject(
        "deployments.GlobalLimit",
        "global-limit",
        left_out=_columns("active_slots", "denied_slots", "counted_at", "avg_slot_occupancy_seconds"),
    ),
    Subject("deployments.WorkPool", "work-pool"),
    Subject("deployments.WorkQueue", "work-queue", left_out=_columns("last_polled", "polled_by")),
    Subject(
        "deployments.Worker",
        "agent",
        left_out=_columns("last_heartbeat", "offline_at", "heartbeat_interval_seconds", "incarnation", "host", "pid"),
    ),
    Subject("deployments.ChangedSetting", "setting", left_out=_columns("changed")),
    Subject("events.Automation", "automation", left_out=_columns("since")),
    Subject("events.NotificationPolicy", "notification-policy"),
    Subject("auth.User", "user", names="username", left_out=_columns("last_login"), hidden=_columns("password")),
    Subject("auth.Group", "group"),
    Subject("auth.User_groups", "membership", "", part_of=("auth.User", "user_id")),
    Subject("auth.User_user_permissions", "permission", "", part_of=("auth.User", "user_id")),
    Subject("accounts.Grant", "role", names="role", part_of=("auth.Group", "group_id")),
    Subject("accounts.ApiKey", "key", left_out=_columns("last_used"), hidden=_columns("digest")),
    Subject("accounts.Identity", "identity", names="subject", part_of=("auth.User", "user_id")),
    Subject("auth.Group_permissions", "permission", "", part_of=("auth.Group", "group_id")),
)


@lru_cache(maxsize=1)
def subjects() -> dict[str, Subject]:
    """Return the subjects of installed apps by table. Inside a user's process the app of accounts is not installed."""
    installed = (one for one in _DECLARED if apps.is_installed(_APPS.get(one.label.partition(".")[0], "")))
    return {one.table: one for one in installed}


_APPS = {
    "runs": "runs",
    "deployments": "deployments",
    "events": "events",
    "auth": "django.contrib.auth",
    "accounts": "orion_site.accounts",
}


def subject_of(label: str) -> Subject:
    return next(one for one in subjects().values() if one.label == label)


def kinds() -> Iterator[str]:
    """Yield the kinds of objects in entries, as filters name them."""
    yield from ("flow-run", "task-run", "artifact", "database", "audit-log", "session")
    yield from dict.fromkeys(one.kind for one in _DECLARED if one.part_of is None)
