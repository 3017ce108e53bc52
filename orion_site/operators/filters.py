"""Filters of the admin's lists whose cost is bounded: choices among the newest rows, and dates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from orchestration.database_clock import current_time

PERIODS = {
    "Last hour": timedelta(hours=1),
    "Last 24 hours": timedelta(hours=24),
    "Last 7 days": timedelta(days=7),
    "Last 30 days": timedelta(days=30),
}


class _AmongNewest:
    """Filters only the newest rows, because the column has no index."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)  # type: ignore[call-arg]
        self._admin = model_admin

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        asked = self.used_parameters  # type: ignore[attr-defined]
        return super().queryset(request, self._admin.newest(queryset) if asked else queryset)  # type: ignore[misc]


class NewestChoices(_AmongNewest, admin.ChoicesFieldListFilter):
    """Filters by one of a column's choices, among the newest rows."""


class NewestBoolean(_AmongNewest, admin.BooleanFieldListFilter):
    """Filters by yes or no, among the newest rows."""


class VerdictFilter(admin.SimpleListFilter):
    """Filters by the verdict on the proposal that led to a state, among the newest rows."""

    title = parameter_name = "verdict"

    def __init__(self, request: Any, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self._admin = model_admin

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ACCEPT", "Accepted"), ("REJECT", "Rejected: another state was written")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = dict(self.lookup_choices)
        if (asked := self.value()) is None:
            return queryset
        return self._admin.newest(queryset).filter(verdict=asked) if asked in known else queryset.none()


class DatesFilter(admin.FieldListFilter):
    """Filters by a period up to now, or by two dates, with an indexed column."""

    template = "admin/dates_filter.html"
    suffixes: ClassVar = ("gte", "lt")

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        self.since_name, self.until_name = (f"{field_path}__{suffix}" for suffix in self.suffixes)
        super().__init__(field, request, params, model, model_admin, field_path)
        self.since, self.until = self._asked(self.since_name), self._asked(self.until_name)
        self.problem = ""

    def expected_parameters(self) -> list[str | None]:
        return [*self._names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, text in ((self.since_name, self.since), (self.until_name, self.until)):
            if not text:
                continue
            moment = _moment(text, end_of_day=name == self.until_name)
            if moment is None:
                # Without the invalid date, the list would show more than the user meant.
                self.problem = f"{text[:40]!r} is not a date: write 2026-11-28."
                return queryset.none()
            queryset = queryset.filter(**{name: moment})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        now = current_time().replace(microsecond=0)
        self.others = [(key, value) for key, value in changelist.get_filters_params().items() if key not in self._names]
        if changelist.query:
            self.others.append(("q", changelist.query))
        shown = {"Any time": "", **{word: (now - period).isoformat() for word, period in PERIODS.items()}}
        for word, since in shown.items():
            asked = {self.since_name: since} if since else {}
            yield {
                "selected": self._is_close(since, now) and not self.until,
                "query_string": changelist.get_query_string(asked, self._names),
                "display": word,
            }

    @property
    def _names(self) -> list[str]:
        return [self.since_name, self.until_name]

    def _asked(self, name: str) -> str:
        values = self.used_parameters.get(name) or [""]
        return str(values[-1] if isinstance(values, list) else values).strip()

    def _is_close(self, since: str, now: datetime) -> bool:
        """Whether the filter's start differs from this period's by less than ten minutes."""
        if not since or not self.since:
            return since == self.since
        asked = _moment(self.since, end_of_day=False)
        return asked is not None and abs(asked - datetime.fromisoformat(since)) < timedelta(minutes=10)

    def day_of(self, text: str) -> str:
        moment = _moment(text, end_of_day=False)
        try:
            return timezone.localtime(moment).date().isoformat() if moment else ""
        except OverflowError:
            return ""

    @property
    def since_day(self) -> str:
        return self.day_of(self.since)

    @property
    def until_day(self) -> str:
        return self.day_of(self.until)


def _moment(text: str, *, end_of_day: bool) -> datetime | None:
    try:
        if day := parse_date(text):
            midnight = datetime.combine(day + timedelta(days=1 if end_of_day else 0), time())
            return timezone.make_aware(midnight).astimezone(UTC)
        moment = parse_datetime(text)
        # In UTC, because databases cannot store a time whose year in UTC is 0 or 10000.
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
