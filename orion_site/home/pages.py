"""The home page: what needs attention, how work flows, how each flow does, and what is planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from deployments.dispatch.selectors.liveness import online
from deployments.models import Worker
from deployments.pages.bars import Bars, bars_of
from deployments.pages.plan import HEIGHT, WIDTH, Tick, planned_path, ticks_of
from deployments.pages.selectors.plan import AheadRow, Plan, planned_ahead
from orchestration.core.states import HOLDING, StateType
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.home.needs import DEADLINES_WITHIN, failures_of, needs_of
from orion_site.home.open_runs import open_runs
from orion_site.home.rates import rates_of
from orion_site.home.rows import rows
from orion_site.home.setbacks import Kind, setbacks
from orion_site.live.pages import is_shown, live_page
from runs.models import FlowRun
from runs.pages.filtering import chips_of_tags, tags_in
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.strips import FlowRow
from runs.pages.selectors.usual import Origin, elapsed
from runs.why.selectors.waiting import LOOKED_AT, scheduled_runs, waiting_groups

RANGES = {
    "-1h": ("Last hour", timedelta(hours=1)),
    "-24h": ("Last day", timedelta(days=1)),
    "-7d": ("Last 7 days", timedelta(days=7)),
}
USUAL_RANGE = "-24h"
RUNNING_SHOWN, NEXT_SHOWN = 5, 15
NEXT_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of flows, with its bars."""

    line: FlowRow
    drawn: Bars


@dataclass(frozen=True, slots=True)
class Ahead:
    """Planned runs along an axis of time; `others` counts deployments and flows without a track."""

    tracks: Sequence[tuple[AheadRow, str]]
    ticks: Sequence[Tick]
    width: int
    height: int
    others: Count
    until: datetime


def ahead(planned: Sequence[FlowRun], now: datetime, *, is_cut: bool) -> Ahead:
    # A plan without rows: only its axis of time is drawn.
    axis = Plan([], begin=now, now=now, end=now + NEXT_WITHIN, others=Count(0), drawn_from=None)
    shown = planned_ahead(runs=planned, most=NEXT_SHOWN, now=now, end=axis.end)
    tracks = [(row, planned_path(row.planned, row.planned_count, axis)) for row in shown]
    others = len({(run.flow_id, run.deployment_id) for run in planned}) - len(shown)
    return Ahead(tracks, ticks_of(axis, days=False), WIDTH, HEIGHT, Count(others, capped=is_cut), axis.end)


@requires(Action.READ_RUNS)
@live_page
def home(request: HttpRequest) -> HttpResponse:
    chosen = request.GET.get("since", "")
    chosen = chosen if chosen in RANGES else USUAL_RANGE
    label, period = RANGES[chosen]
    problems: list[str] = []
    tags = tags_in(request.GET, problems)
    now = current_time()
    workers = list(Worker.objects.filter(online(now)).order_by("name"))
    every = open_runs(tags=tags)
    on_their_way = [run for run in every if set(tags) <= set(run.tags)]
    # Runs without the tags hold slots as well.
    holding = Counter(run.work_queue_id for run in every if run.state_type in HOLDING)
    scheduled = scheduled_runs(until=now + NEXT_WITHIN, tags=tags)
    due = [run for run in scheduled if run.next_scheduled_start_time and run.next_scheduled_start_time <= now]
    planned = scheduled[len(due) :]
    waiting = waiting_groups(due, workers=workers, holding=holding, now=now)
    running = [run for run in on_their_way if run.state_type == StateType.RUNNING]
    running = sorted(running, key=lambda run: run.start_time or now)[:RUNNING_SHOWN]
    set_back = setbacks(since=now - period, now=now, until=now + DEADLINES_WITHIN, tags=tags)
    coming = [one for one in set_back if one.kind == Kind.FINISH and one.over is None]
    failures = failures_of(since=now - period, tags=tags)
    others: list[Origin] = [*running, *reversed(coming)]
    deployments, flows, usual = rows(first=failures.flows, planned=planned, others=others, now=now, tags=tags)
    needs = needs_of(
        failures=failures,
        waiting=waiting,
        running=on_their_way,
        set_back=set_back,
        usual=usual,
        now=now,
        tags=tags,
        words=chosen,
    )
    context = {
        "section": "home",
        "title": f"{f'({needs.total}) Needs you' if needs.total else 'Nothing needs you'} · Orion",
        "needs": needs,
        "rates": rates_of(waiting=waiting, open_runs=on_their_way, every=every, workers=workers, now=now),
        "running": [(run, elapsed(run, usual, now)) for run in running],
        "rows": [Row(line, bars_of(line.runs, now)) for line in flows],
        "ahead": ahead(planned, now, is_cut=len(scheduled) == LOOKED_AT) if is_shown(request, "next") else None,
        "deployments": deployments,
        "ranges": [(value, name) for value, (name, _) in RANGES.items()],
        "since": chosen,
        "since_words": label.lower(),
        "tags": tags,
        # What links to lists add to their address.
        "with_tags": urlencode({"tag": tags}, doseq=True),
        "chips": chips_of_tags(request.GET, tags),
        "problems": problems,
        "checked": now,
        "address": request.build_absolute_uri(reverse("home")).rstrip("/"),
    }
    return TemplateResponse(request, "home/home.html", context)
