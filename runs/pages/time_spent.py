"""How time was spent: the bar of one run, and the page of all runs of a day or a week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orionflow.contract.names import quoted
from runs.time_spent.core.stretches import Share
from runs.time_spent.selectors.of_fleet import TAG, FleetTime, time_of_fleet
from runs.time_spent.selectors.of_run import TimeSpent

PERIODS = {"24h": ("Last 24 hours", timedelta(hours=24)), "7d": ("Last 7 days", timedelta(days=7))}
# The smallest width of a part of the bar that is still visible, in thousandths.
NARROWEST = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar; x and width are in thousandths of it."""

    kind: str
    x: float
    width: float
    words: str
    lasted: timedelta


@dataclass(frozen=True, slots=True)
class ShareLine:
    """A row of the table below a bar."""

    share: Share
    percent: float


def parts_of_time(found: TimeSpent) -> list[Part]:
    """Return the time of a run as a bar, in the order in which it was spent."""
    whole = found.lasted.total_seconds()
    if not whole or found.begin is None:
        return []
    parts = []
    for one in found.stretches:
        x = min(1000 * (one.begin - found.begin).total_seconds() / whole, 1000 - NARROWEST)
        width = min(max(1000 * one.lasted.total_seconds() / whole, NARROWEST), 1000 - x)
        parts.append(
            Part(one.kind, round(x, 1), round(width, 1), Share(one.kind, one.lasted, one.name).words, one.lasted)
        )
    return parts


def lines_of_time(shares: Sequence[Share], whole: timedelta) -> list[ShareLine]:
    return [ShareLine(one, 100 * one.lasted / whole if whole else 0.0) for one in shares]


@requires(Action.READ_RUNS)
@may_lag
def time_of_runs(request: HttpRequest) -> HttpResponse:
    period = request.GET.get("since", "24h").removeprefix("-")
    period = period if period in PERIODS else "24h"
    now = current_time()
    kind, _, name = request.GET.get("of", "").partition("/")
    found = time_of_fleet(since=now - PERIODS[period][1], now=now, of=(kind, name))
    context = {
        "section": "runs",
        "found": found,
        "period": period,
        "periods": [(key, words) for key, (words, _) in PERIODS.items()],
        "parts": _parts_of_reasons([(one.share, one.percent) for one in found.reasons]),
        "chosen": _chosen(kind, name, found),
        "ended": urlencode({"state": "completed,failed,crashed,cancelled", "since": _since(found, period)}),
    }
    return TemplateResponse(request, "runs/time.html", context)


def _since(found: FleetTime, period: str) -> str:
    """Return the beginning of the sample, as lists of runs read it."""
    return found.reaches.isoformat() if found.reaches else f"-{period}"


def _chosen(kind: str, name: str, found: FleetTime) -> tuple[str, int] | None:
    """Return the reason whose runs are listed, in words, and the number of these runs."""
    if kind == TAG:
        words = f"Waited for a slot of tag {quoted(name)}"
        return next(((words, one.task_runs) for one in found.tags if one.tag == name), None)
    same = (one for one in found.reasons if (one.share.kind, one.share.name) == (kind, name))
    return next(((one.share.words, one.runs) for one in same), None)


def _parts_of_reasons(reasons: Sequence[tuple[Share, float]]) -> list[Part]:
    parts, x = [], 0.0
    for share, percent in reasons:
        parts.append(Part(share.kind, round(x, 1), round(10 * percent, 1), share.words, share.lasted))
        x += 10 * percent
    return parts
