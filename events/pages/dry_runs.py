"""The part of a form that tries it on the past: the span that the user chooses, and what would have been done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.http import HttpRequest

from events.automations.services.dry_runs import (
    DryRun,
    PastFiring,
    Planned,
    PolicyDryRun,
    dry_run_automation,
    dry_run_policy,
)
from events.pages.links import Named, named
from events.pages.words import action_words
from events.recording.past import OF_RUNS
from orchestration.database_clock import current_time
from orion_site.forms.submitting import saved
from orionflow.contract.kinds import RESOURCE_ID

SPANS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "1d": ("Last day", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
}
USUAL_SPAN = "1d"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ShownAction:
    planned: Planned
    words: str
    target: Named | None


@dataclass(frozen=True, slots=True)
class ShownFiring:
    """One line: the event, if there is one, with its resource. An event of a flow run may have no row."""

    firing: PastFiring
    cause: Named | None
    has_page: bool
    actions: Sequence[ShownAction]


def is_saving(request: HttpRequest) -> bool:
    return request.method == "POST" and not _is_trying(request)


def _is_trying(request: HttpRequest) -> bool:
    return request.method == "POST" and "try" in request.POST


def tried_automation(
    request: HttpRequest, form: forms.Form, columns: Callable[[dict[str, Any]], dict[str, Any]], id: UUID | None = None
) -> dict[str, Any]:
    """Return what the form's part about dry runs shows; with a result if the user asked for one."""

    def run(values: dict[str, Any], since: datetime, now: datetime) -> DryRun:
        return dry_run_automation(columns=columns(values), automation_id=id, since=since, now=now)

    found, context = _tried(request, form, run)
    return {**context, "firings": _shown(found.newest)} if found else context


def tried_policy(request: HttpRequest, form: forms.Form, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the form of a policy shows about its dry run. Some columns have no field."""

    def run(values: dict[str, Any], since: datetime, now: datetime) -> PolicyDryRun:
        return dry_run_policy(columns={**(kept or {}), **values}, since=since, now=now)

    return _tried(request, form, run)[1]


def _tried(
    request: HttpRequest, form: forms.Form, run: Callable[[dict[str, Any], datetime, datetime], T]
) -> tuple[T | None, dict[str, Any]]:
    chosen = request.POST.get("span", USUAL_SPAN)
    chosen = chosen if chosen in SPANS else USUAL_SPAN
    context: dict[str, Any] = {
        "spans": [(key, words) for key, (words, _) in SPANS.items()],
        "span": chosen,
        "span_words": SPANS[chosen][0].lower(),
    }
    if not _is_trying(request):
        return None, context
    now, found = current_time(), list[T]()
    saved(form, lambda values: found.append(run(values, now - SPANS[chosen][1], now)))
    result = found[0] if found else None
    return result, {**context, "tried": result, "is_tried": True}


def _shown(firings: Sequence[PastFiring]) -> list[ShownFiring]:
    """Return the firings with the names of what they are about and act on. One query for each kind of object."""
    events = [one.event_data for one in firings if one.event_data]
    targets = {planned.target for one in firings for planned in one.actions if planned.target}
    labels = [*(dict(one.resource) for one in events), *({RESOURCE_ID: target} for target in targets)]
    found = {one.id: one for one in reversed(named(labels))}
    shown = []
    for one in firings:
        event = one.event_data
        actions = [
            ShownAction(planned, action_words(planned.action), found.get(planned.target)) for planned in one.actions
        ]
        cause = found.get(str(event.resource.get(RESOURCE_ID, ""))) if event else None
        shown.append(ShownFiring(one, cause, bool(event and not event.event.startswith(OF_RUNS)), actions))
    return shown
