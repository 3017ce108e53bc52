"""Missed and near deadlines, failed actions of automations, and messages that could not be sent, in one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import (
    DateTimeField,
    DurationField,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Cast, Coalesce, Concat

from deployments.models import Deadline
from events.models import ActionRun, Notification
from orion_site.accounts.permissions import Action, may, who_asks
from runs.lists.filters import lookups  # noqa: F401  (registers `orion_holds_all`)
from runs.querysets import OPEN_TYPES, Literal

# The most rows of each kind, the newest first, or the next ones of deadlines that come.
LOOKED_AT = 200
# Deadlines are kept until they pass, so many of the next ones may belong to runs that have ended in time.
AHEAD_LOOKED_AT = 1_000
NEVER = Cast(Value(None), DateTimeField())
Rows = QuerySet[Any, Any]
OF_RUN = (
    "deployment_id", "flow_id", "state_type", "state_timestamp", "next_scheduled_start_time", "start_time",
    "total_run_time",
)  # fmt: skip
OF_NO_RUN = tuple(
    Cast(Value(None), kind())
    for kind in (UUIDField, UUIDField, TextField, DateTimeField, DateTimeField, DateTimeField, DurationField)
)


class Kind(StrEnum):
    ACTION = "action"
    MESSAGE = "message"
    START = "deadline to start"
    FINISH = "deadline to finish"


@dataclass(frozen=True, slots=True)
class Setback:
    """`subject` is an automation, the block of a message, or the run of a deadline; `over` is when a deadline passed.

    `last` is when the automation or block last did anything: if that is later than the failure, it may work again.
    """

    kind: Kind
    subject: UUID
    name: str
    error: str
    at: datetime
    over: datetime | None
    last: datetime | None
    # The run of a deadline.
    deployment_id: UUID | None
    flow_id: UUID
    state_type: str | None
    state_timestamp: datetime | None
    planned: datetime | None
    start_time: datetime | None
    total_run_time: timedelta

    def earliest_end(self, usual: timedelta, now: datetime) -> datetime:
        """Return when the run of a deadline will have ended if it takes as long as usual."""
        match self.state_type:
            case "RUNNING" if self.state_timestamp:
                return max(self.state_timestamp - self.total_run_time + usual, now)
            case "PAUSED":
                return now + max(usual - self.total_run_time, timedelta())
        return max(self.planned or now, now) + usual


def setbacks(*, since: datetime, now: datetime, until: datetime, tags: Sequence[str] = ()) -> Sequence[Setback]:
    """Return the setbacks since then, newest first, and the open deadlines of unfinished runs up to `until`.

    With tags, only deadlines of runs that have them all.

    Automations and messages are included only if the actor may read them.
    """
    actor = who_asks()
    actions = [_actions(since)] if may(actor, Action.READ_AUTOMATIONS) else []
    messages = [_messages(since)] if may(actor, Action.READ_NOTIFICATIONS) else []
    found = _missed(since, now, tags).union(_ahead(now, until, tags), *actions, *messages, all=True)
    rows = [Setback(Kind(kind), *rest) for kind, *rest in found]
    return sorted(rows, key=lambda row: row.at, reverse=True)


def _actions(since: datetime) -> Rows:
    """Return failed actions of automations that are enabled and have not been changed since."""
    failed = ActionRun.objects.filter(~Q(error=Literal("")), created__gt=since).order_by("-created")
    chosen = ActionRun.objects.filter(
        pk__in=failed.values("pk")[:LOOKED_AT], automation__enabled=True, created__gte=F("automation__since")
    )
    done = ActionRun.objects.filter(automation=OuterRef("automation"), done_at__isnull=False).order_by("-created")
    last = Subquery(done.values("created")[:1])
    return _rows(
        chosen, Value(Kind.ACTION), subject="automation_id", name="automation__name", error="error", at="created",
        last=last,
    )  # fmt: skip


def _messages(since: datetime) -> Rows:
    given_up = Notification.objects.filter(standing=Literal("GIVEN_UP"), created__gt=since).order_by("-created")
    chosen = Notification.objects.filter(pk__in=given_up.values("pk")[:LOOKED_AT])
    through = Notification.objects.filter(block_document=OuterRef("block_document")).order_by("-created")
    last = Subquery(through.exclude(standing="WAITING").values("created")[:1])
    name = Coalesce("block_document__name", Value(""))
    return _rows(
        chosen, Value(Kind.MESSAGE), subject="block_document_id", name=name, error="last_error", at="created", last=last
    )


def _missed(since: datetime, now: datetime, tags: Sequence[str]) -> Rows:
    passed = Deadline.objects.filter(due__gt=since, due__lte=now).order_by("-due")
    # Selected before the joins: a planner could start from the flows, and read all their runs.
    return _deadlines(Deadline.objects.filter(pk__in=passed.values("pk")[:LOOKED_AT]), tags)


def _ahead(now: datetime, until: datetime, tags: Sequence[str]) -> Rows:
    """Return the next deadlines that can still be missed: to finish, or to start if the run has not."""
    following = Deadline.objects.filter(missed_at__isnull=True, due__gt=now, due__lte=until).order_by("due")
    chosen = Deadline.objects.filter(pk__in=following.values("pk")[:AHEAD_LOOKED_AT])
    can_be_missed = Q(kind=Deadline.Kind.FINISH) | Q(flow_run__start_time__isnull=True)
    return _deadlines(chosen.filter(can_be_missed, flow_run__state_type__in=OPEN_TYPES), tags)


def _deadlines(chosen: QuerySet[Any, Any], tags: Sequence[str]) -> Rows:
    if tags:
        chosen = chosen.filter(flow_run__tags__orion_holds_all=tags)
    kind = Concat(Value("deadline to "), "kind")
    return _rows(
        chosen, kind, subject="flow_run_id", name="flow_run__flow__name", error=Value(""), at="due",
        over=F("missed_at"), of_run=tuple(F(f"flow_run__{name}") for name in OF_RUN),
    )  # fmt: skip


def _rows(
    chosen: QuerySet[Any, Any], kind: Any, *, subject: str, name: Any, error: Any, at: str, over: Any = NEVER,
    last: Any = NEVER, of_run: tuple[Any, ...] = OF_NO_RUN,
) -> Rows:  # fmt: skip
    """Return the rows as tuples whose types do not depend on the table."""
    return chosen.order_by().values_list(
        Cast(kind, TextField()),
        F(subject),
        Cast(name, TextField()),
        Cast(error, TextField()),
        F(at),
        over,
        last,
        *of_run,
    )  # fmt: skip
