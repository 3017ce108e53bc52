"""The schedule as the calendar of a month: which runs were due, what is planned, and what calendars exclude."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from deployments.models import Deployment
from deployments.pages.days import day_of
from deployments.pages.deployment import WITHIN
from deployments.pages.selectors.month import MOST_NAMED, Month, MonthDay, month_of
from orchestration.database_clock import current_time
from orionflow.contract.states import BAD, StateType, in_order
from runs.pages.selectors.keyset import Count

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Came:
    """Runs of a day with one kind of outcome: their number, and the list of them."""

    words: str
    state_type: str
    number: Count
    address: str


@dataclass(frozen=True, slots=True)
class DayCell:
    """A day with its texts and links."""

    found: MonthDay
    came: Sequence[Came]
    is_today: bool
    is_past: bool
    is_chosen: bool
    address: str

    @property
    def others(self) -> int:
        """Return the number of deployments that are planned and not named."""
        return self.found.deployments - len(self.found.planned)

    @property
    def clock_change(self) -> str:
        """Return how long the day is, if clocks change on it."""
        return "" if self.found.hours == 24 else f"{self.found.hours:g} hours: clocks change"


def month(request: HttpRequest) -> HttpResponse:
    now, zone = current_time(), timezone.get_current_timezone()
    today = now.astimezone(zone).date()
    chosen = day_of(request.GET.get("day", ""))
    first = day_of(f"{request.GET.get('month', '')}-01") or (chosen or today).replace(day=1)
    days = [first + timedelta(days=number) for number in range(monthrange(first.year, first.month)[1])]
    found = month_of(days=days, chosen=chosen, zone=zone, now=now)
    of_day = next((one for one in found.days if one.day == chosen), None)
    cells = [_cell(one, chosen, today, found) for one in found.days]
    context = {
        "section": "schedule",
        "found": found,
        "title": f"{first:%B %Y}",
        "weeks": _weeks(cells),
        "weekdays": WEEKDAYS,
        "chosen": next((cell for cell in cells if cell.is_chosen), None),
        "past_runs": [(one.deployment, _came(of_day, one.came, one.deployment)) for one in found.past_runs if of_day],
        "most_divided": MOST_NAMED,
        "before": _address(first - timedelta(days=1)),
        "after": _address(days[-1] + timedelta(days=1)),
        "this": "" if first == today.replace(day=1) else _address(today),
        "zone": timezone.get_current_timezone_name(),
        "spans": {name: words for name, (words, _) in WITHIN.items()},
    }
    return TemplateResponse(request, "deployments/month.html", context)


def _address(day: date) -> str:
    return f"?view=month&month={day:%Y-%m}"


def _weeks(cells: Sequence[DayCell]) -> list[list[DayCell | None]]:
    """Return weeks from Monday to Sunday. Days of other months are empty."""
    places: list[DayCell | None] = [*[None] * cells[0].found.day.weekday(), *cells]
    places += [None] * (-len(places) % 7)
    return [places[begin : begin + 7] for begin in range(0, len(places), 7)]


def _cell(one: MonthDay, chosen: date | None, today: date, found: Month) -> DayCell:
    address = f"{_address(one.day)}&day={one.day}#day"
    return DayCell(one, _came(one, one.came), one.day == today, one.end <= found.now, one.day == chosen, address)


def _came(one: MonthDay, came: Mapping[str, int], deployment: Deployment | None = None) -> list[Came]:
    """Return the outcomes of a day, or of the runs of one deployment, with the addresses of their lists."""
    kinds = [
        ("completed", (StateType.COMPLETED,)),
        ("failed", in_order(BAD)),
        ("other", in_order(frozenset(StateType) - BAD - {StateType.COMPLETED})),
    ]
    shown = []
    for words, types in kinds:
        if number := sum(came.get(kind, 0) for kind in types):
            shown.append(Came(words, str(types[0]), Count(number), _list(one, types, deployment)))
    return shown


def _list(one: MonthDay, types: Sequence[str], deployment: Deployment | None) -> str:
    zone = timezone.get_current_timezone()
    since, until = (moment.astimezone(zone).isoformat() for moment in (one.begin, one.end))
    asked = {"state": ",".join(types).lower(), "since": since, "until": until}
    asked |= {"deployment": str(deployment.pk)} if deployment else {}
    return f"{reverse('runs:runs')}?{urlencode(asked, safe=',:')}"
