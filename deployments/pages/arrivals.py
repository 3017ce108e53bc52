"""The runs that came due in a queue and those that started, hour by hour: bars up and down, in one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from deployments.pages.selectors.arrivals import Arrivals, Hour
from runs.pages.charts import UpAndDown


@dataclass(frozen=True, slots=True)
class Bars:
    """One hour: its place, the paths of its bars, which are empty where it has no run, and the list of its due runs."""

    hour: Hour
    x: int
    up: str
    down: str
    address: str

    @property
    def words(self) -> str:
        since, until = (timezone.localtime(one) for one in (self.hour.since, self.hour.until))
        return f"{since:%Y-%m-%d %H:%M} to {until:%H:%M %Z}: {self.hour.due} came due, {self.hour.started} started"


@dataclass(frozen=True, slots=True)
class Chart:
    """The hours, oldest first, the height of the line between up and down, and the most runs of an hour."""

    bars: Sequence[Bars]
    width: int
    middle: float
    most_due: int
    most_started: int
    is_cut: bool

    @property
    def newest_first(self) -> Sequence[Bars]:
        return self.bars[::-1]


def chart_of(arrivals: Arrivals, queue_id: UUID) -> Chart | None:
    """Draw the hours; None if no run came due or started in them, and none was left out."""
    most_due, most_started = (
        max((getattr(one, name) for one in arrivals.hours), default=0) for name in ("due", "started")
    )
    if not (most_due or most_started or arrivals.is_cut):
        return None
    layout = UpAndDown.of(len(arrivals.hours), most_due, most_started)
    middle, bars = layout.middle, []
    for number, one in enumerate(arrivals.hours):
        x = number * layout.STEP
        up, down = (
            f"M{x} {middle}v{sign * layout.length(runs):g}h{layout.BAR}V{middle}z" if runs else ""
            for sign, runs in ((-1, one.due), (1, one.started))
        )
        bars.append(Bars(one, x, up, down, _listing(one, queue_id)))
    return Chart(bars, layout.width, middle, most_due, most_started, arrivals.is_cut)


def _listing(one: Hour, queue_id: UUID) -> str:
    query = {"queue": queue_id, "since": one.since.isoformat(), "until": one.until.isoformat()}
    return f"{reverse('runs:runs')}?{urlencode(query)}"
