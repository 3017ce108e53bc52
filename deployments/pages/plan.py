"""The schedule of all deployments: a track for each, with past runs left of now and planned runs right of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from deployments.pages.deployment import WITHIN
from deployments.pages.month import month
from deployments.pages.selectors.plan import PastRun, Plan, PlanRow, plan_around
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.live.pages import live_page
from orionflow.contract.states import BAD
from runs.pages.selectors.keyset import Count
from runs.templatetags.states import look

WIDTH, HEIGHT = 1000, 20
NARROWEST = 3


@dataclass(frozen=True, slots=True)
class Track:
    """The row of a deployment: one path for each type of state, one for planned runs, and a description."""

    row: PlanRow
    paths: Sequence[tuple[str, str]]
    planned: str
    text: str
    # What calendars exclude, as a path and in words.
    left_out_path: str = ""
    left_out: str = ""

    @property
    def next(self) -> datetime | None:
        return self.row.planned[0] if self.row.planned else None


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis. x is in percent of the width."""

    x: float
    words: str


@requires(Action.READ_DEPLOYMENTS)
@live_page
def plan(request: HttpRequest) -> HttpResponse:
    if request.GET.get("view") == "month":
        return month(request)
    asked = request.GET.get("span", "")
    span = asked if asked in WITHIN else "24h"
    # A quarter of the shown period is in the past.
    ahead = WITHIN[span][1]
    found = plan_around(now=current_time(), back=ahead / 3, ahead=ahead)
    context = {
        "section": "schedule",
        "found": found,
        "tracks": [track_of(row, found) for row in found.rows],
        "ticks": ticks_of(found, days=span == "7d"),
        "past_since": (found.drawn_from or found.begin).isoformat(),
        "now_at": _x(found.now, found),
        "width": WIDTH,
        "height": HEIGHT,
        "span": span,
        "spans": {name: words for name, (words, _) in WITHIN.items()},
    }
    return TemplateResponse(request, "deployments/plan.html", context)


def track_of(row: PlanRow, found: Plan) -> Track:
    shapes: dict[str, list[str]] = {}
    for run in row.past:
        begin, end = _begin_and_end(run, found.now)
        x = _x(begin, found)
        width = max(NARROWEST, round(_x(end, found) - x, 1))
        shapes.setdefault(run.state_type or "", []).append(_block(run.state_type or "", x, width))
    planned = planned_path(row.planned, row.planned_count, found)
    paths = [(kind, "".join(made)) for kind, made in shapes.items()]
    names = ", ".join(dict.fromkeys(name for _, _, name in row.left_out if name))
    return Track(row, paths, planned, _text_of(row), _left_out_path(row, found), names)


def planned_path(moments: Sequence[datetime], number: Count, found: Plan) -> str:
    """Return a mark for each moment. Overlapping marks are merged; after the last known moment there is a block."""
    path = "".join(f"M{x} 4h{NARROWEST}v12h-{NARROWEST}z" for x in _apart(_x(at, found) for at in moments))
    if not (number.capped and moments):
        return path
    return f"{path}M{_x(moments[-1], found)} 4H{WIDTH}v12H{_x(moments[-1], found)}z"


def _left_out_path(row: PlanRow, found: Plan) -> str:
    blocks = []
    for begin, end, _ in row.left_out:
        x = _x(begin, found)
        blocks.append(f"M{x} 0h{max(1.0, round(_x(end, found) - x, 1))}V{HEIGHT}H{x}z")
    return "".join(blocks)


def _begin_and_end(run: PastRun, now: datetime) -> tuple[datetime, datetime]:
    begin = run.start_time or run.expected_start_time
    end = run.end_time or (now if run.start_time else begin)
    return begin, max(begin, end)


def _block(kind: str, x: float, width: float) -> str:
    """Return a block. Failed and crashed runs are higher than the track, to be recognisable without colour."""
    top, bottom = (0, HEIGHT) if kind in BAD else (4, 16)
    return f"M{x} {top}h{width}V{bottom}h-{width}z"


def _apart(places: Iterable[float]) -> Iterable[float]:
    last = -NARROWEST - 1.0
    for x in places:
        if x - last > NARROWEST:
            yield x
            last = x


def _x(moment: datetime, found: Plan) -> float:
    share = (moment - found.begin) / (found.end - found.begin)
    return round(WIDTH * min(1.0, max(0.0, share)), 1)


def _text_of(row: PlanRow) -> str:
    states = Counter((run.state_type, run.state_name) for run in row.past)
    counted: Counter[str] = Counter()
    for (kind, name), number in states.items():
        counted[look(kind, name)[1].lower()] += number
    came = ", ".join(f"{number} {word}" for word, number in counted.items()) or "none"
    return f"Past runs: {came}. Planned: {row.planned_count}."


def ticks_of(found: Plan, *, days: bool) -> list[Tick]:
    hours = 6 if found.end - found.now > timedelta(hours=12) else 3
    step = timedelta(days=1) if days else timedelta(hours=hours)
    unit, word = (timedelta(days=1), "d") if days else (timedelta(hours=1), "h")
    ticks = []
    for number in range(-8, 9):
        at = found.now + number * step
        if number and found.begin < at < found.end:
            ticks.append(Tick(round(_x(at, found) / 10, 1), f"{int(number * step / unit):+d} {word}".replace("-", "−")))
    return [*ticks, Tick(round(_x(found.now, found) / 10, 1), "now")]
