"""Deletion of old rows on request: shows the most that would be deleted, then deletes for some seconds at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.models import DELETION, LogEntry
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from deployments.archive.place import ArchiveUnavailable
from deployments.archive.services import sparing_restored
from deployments.upkeep.selectors.old_rows import Ages, old_rows
from deployments.upkeep.services.retention import purge_for
from orchestration.database_clock import current_time
from runs.pages.selectors.keyset import COUNT_CAP, capped_counts

# The longest time of one request; the user repeats it for the rest.
SECONDS = 8.0
LONGEST_DAYS = 36_500


def _days(label: str, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, required=False, min_value=1, max_value=LONGEST_DAYS)


class PruneForm(forms.Form):
    """Ages in days; rows of a kind without an age are kept."""

    runs = _days(
        "Runs that ended more days ago than",
        "With their task runs, logs and artifacts. Runs that were restored from the archive stay until they expire.",
    )
    logs = _days("Log lines older than this many days", "Those of open runs stay.")
    events = _days("Events older than this many days", "")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors and not any(values.values()):
            raise forms.ValidationError("Fill in an age, or nothing is deleted.")
        return values


def prune(site: AdminSite, request: HttpRequest) -> HttpResponse:
    form = PruneForm(request.POST or None, initial=_usual_ages())
    found: list[tuple[str, Any]] = []
    if request.method == "POST" and form.is_valid():
        ages = _ages(form.cleaned_data)
        if "confirmed" in request.POST:
            try:
                _delete(request, ages, form.cleaned_data)
            except ArchiveUnavailable as error:
                messages.error(request, str(error))
            return redirect("admin:prune")
        rows = old_rows(ages=ages, now=current_time())
        counts = capped_counts([one.order_by() for one in rows], COUNT_CAP)
        names = [str(one.model._meta.verbose_name_plural) for one in rows]
        found = list(zip(names, counts, strict=True))
    context = {**site.each_context(request), "title": "Delete what is old", "form": form, "found": found}
    return TemplateResponse(request, "admin/prune.html", context)


def _usual_ages() -> dict[str, int | None]:
    """Return the retention ages of the settings, where 0 means forever."""
    return {
        "runs": settings.ORION_RETENTION_DAYS_RUNS or None,
        "logs": settings.ORION_RETENTION_DAYS_LOGS or None,
        "events": settings.ORION_RETENTION_DAYS_EVENTS or None,
    }


def _ages(days: Mapping[str, int | None]) -> Ages:
    runs, logs, events = (
        None if number is None else timedelta(days=number)
        for number in (days[name] for name in ("runs", "logs", "events"))
    )
    return Ages(runs, logs, events)


def _delete(request: HttpRequest, ages: Ages, days: Mapping[str, int | None]) -> None:
    now = current_time()
    deleted, is_all = purge_for(seconds=SECONDS, ages=sparing_restored(ages, now), now=now)
    counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted((+deleted).items()))
    asked = ", ".join(f"{name} over {number} days" for name, number in days.items() if number)
    LogEntry.objects.create(
        user_id=cast(int, request.user.pk),
        object_repr="Delete what is old",
        action_flag=DELETION,
        change_message=f"Deleted {counts or 'nothing'} ({asked}).",
    )
    messages.success(request, f"Deleted: {counts}." if counts else "Nothing is that old.")
    if not is_all:
        messages.warning(
            request, "Not everything was deleted, because the time of one request is limited. Delete again to continue."
        )
