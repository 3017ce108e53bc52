"""The page of a flow: how its runs ended and how long they took, its deployments and versions, and its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from deployments.pages.selectors.deployment_lines import RUN_COLUMNS, lines_with, where_runs_begin, worst_deployments
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import is_shown, live_page, rows_held
from runs.models import Flow
from runs.pages.charts import Beat, trend_of, wave_of
from runs.pages.filtering import address_after, address_without
from runs.pages.selectors.bounds import come_within
from runs.pages.selectors.flow_history import VERSIONS_SHOWN, outcomes_of_flow
from runs.pages.selectors.flows import RUNS_PER_PAGE, flow_page
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.task_grid import task_grid

# Ranges of the wave: their words, the length of a slot, and their number.
RANGES: Mapping[str, tuple[str, timedelta, int]] = {
    "-24h": ("Last day", timedelta(hours=1), 24),
    "-7d": ("Last 7 days", timedelta(hours=6), 28),
    "-30d": ("Last 30 days", timedelta(days=1), 30),
}
USUAL_RANGE = "-7d"
DEPLOYMENTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Slot(Beat):
    """A slot of the wave with the addresses of the lists of its runs."""

    flow: str

    @property
    def words(self) -> str:
        since, until = (timezone.localtime(one) for one in (self.outcomes.since, self.outcomes.until))
        return (
            f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M %Z}: {self.outcomes.completed} completed, "
            f"{self.outcomes.failed} failed or crashed"
        )

    @property
    def address(self) -> str:
        return self._listing("completed,failed,crashed")

    @property
    def completed_address(self) -> str:
        return self._listing("completed")

    @property
    def failed_address(self) -> str:
        return self._listing("failed,crashed")

    def _listing(self, states: str) -> str:
        since, until = (moment.isoformat() for moment in (self.outcomes.since, self.outcomes.until))
        query = {"flow": self.flow, "state": states, "since": since, "until": until}
        return f"{reverse('runs:runs')}?{urlencode(query)}"


@requires(Action.READ_RUNS)
@may_lag
@live_page
def flow(request: HttpRequest, flow_id: UUID) -> HttpResponse:
    now = current_time()
    after = Cursor.read(request.GET.get("after", ""))
    size = RUNS_PER_PAGE + rows_held(request)
    found = flow_page(flow_id=flow_id, after=after, now=now, size=size)
    if found is None:
        raise Http404
    versions = found.last.versions()
    context = {
        "section": "flows",
        # Not the full path, because a part of the page that is loaded separately must have the same links.
        "here": f"{request.path}?{request.GET.urlencode()}",
        "found": found,
        "usual": found.usual,
        "longest": found.longest,
        "trend": trend_of(found.trend),
        "versions": versions[:VERSIONS_SHOWN],
        "more_versions": len(versions[VERSIONS_SHOWN:]),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.page.after),
        "grid": task_grid(found.trend) if is_shown(request, "grid") else None,
        **(_deployments(found.flow, now) if is_shown(request, "deployments") else {}),
        **(_wave(request, found.flow, now) if is_shown(request, "wave") else {}),
    }
    return TemplateResponse(request, "runs/flow.html", context)


def _deployments(one: Flow, now: datetime) -> dict[str, object]:
    """Return the first deployments of the flow, the worst first. Two queries."""
    found = worst_deployments(most=DEPLOYMENTS_SHOWN + 1, now=now, flow=one.name)
    chosen = found[:DEPLOYMENTS_SHOWN]
    runs = come_within(where_runs_begin(chosen), now, *RUN_COLUMNS)
    return {"deployments": lines_with(chosen, runs, now), "has_more_deployments": len(found) > len(chosen)}


def _wave(request: HttpRequest, one: Flow, now: datetime) -> dict[str, object]:
    asked = request.GET.get("since", "")
    since = asked if asked in RANGES else USUAL_RANGE
    words, step, slots = RANGES[since]
    wave = wave_of(outcomes_of_flow(flow_id=one.pk, slots=slots, step=step, now=now))
    drawn = [Slot(beat.outcomes, beat.x, beat.up, beat.down, one.name) for beat in wave.beats]
    return {
        "wave": wave,
        "slots": drawn,
        "newest_first": drawn[::-1],
        "slot_length": step,
        "ranges": [(value, text) for value, (text, *_) in RANGES.items()],
        "since": since,
        "since_words": words.lower(),
    }
