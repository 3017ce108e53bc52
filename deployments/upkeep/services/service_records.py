"""Write and read the record of each service's last ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from deployments.models import ServiceRecord
from orchestration.transactions import repeated_on_conflict, write_transaction


@dataclass(frozen=True, slots=True)
class Ticks:
    """Some ticks of one service, and the result of the last one."""

    count: int = 0
    errors: int = 0
    last_tick: datetime | None = None
    last_success: datetime | None = None
    last_seconds: float = 0.0
    last_error: str = ""
    last_error_at: datetime | None = None

    def and_one(self, *, at: datetime, seconds: float, error: str = "") -> Ticks:
        more = replace(self, count=self.count + 1, last_tick=at, last_seconds=seconds)
        if not error:
            return replace(more, last_success=at)
        return replace(more, errors=self.errors + 1, last_error=error, last_error_at=at)

    def shifted(self, by: timedelta) -> Ticks:
        """Return these ticks in the time of another clock."""
        moments = {name: getattr(self, name) for name in ("last_tick", "last_success", "last_error_at")}
        return replace(self, **{name: at + by for name, at in moments.items() if at is not None})


@repeated_on_conflict
def note_ticks(ticks: Mapping[str, tuple[float, Ticks]], *, ticker: str) -> None:
    """Add ticks, in the database's time, to the records of their services. They come by name, with periods."""
    with write_transaction():
        # Sort by name: two tickers that write the same records must not wait for each other.
        for name in sorted(ticks):
            every_seconds, made = ticks[name]
            _note(name, {"every_seconds": every_seconds, "ticker": ticker, **_columns(made)}, made)


def _note(name: str, columns: dict[str, Any], made: Ticks) -> None:
    grown = {"ticks": F("ticks") + made.count, "errors": F("errors") + made.errors}
    if ServiceRecord.objects.filter(pk=name).update(**columns, **grown):
        return
    first = ServiceRecord(name=name, ticks=made.count, errors=made.errors, **columns)
    ServiceRecord.objects.bulk_create([first], ignore_conflicts=True)


def _columns(made: Ticks) -> dict[str, Any]:
    columns: dict[str, Any] = {"last_tick": made.last_tick, "last_seconds": made.last_seconds}
    if made.last_success:
        columns["last_success"] = made.last_success
    if made.last_error_at:
        columns |= {"last_error": made.last_error[:10_000], "last_error_at": made.last_error_at}
    return columns
