"""Spreading: runs of many deployments that are due at the same moment start one after the other.

Each deployment has its own shift, computed from its id alone. It is the same at all times, on every server and after
every change, so that a planned time can be explained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import Named

MOST_SECONDS = 86_400


def shift_of(deployment_id: UUID, spread: float) -> int:
    """Return by how many seconds the runs of this deployment are delayed; less than `spread`."""
    drawn = int.from_bytes(hashlib.sha256(deployment_id.bytes).digest()[:8], "big")
    return drawn % max(int(spread), 1)


def spread_for(definition: Mapping[str, Any], deployment_id: UUID) -> dict[str, Any]:
    """Return the definition for a deployment: with the deployment's shift, if it is spread."""
    plain = {name: value for name, value in definition.items() if name != "spread_by"}
    spread = plain.get("spread")
    return {**plain, "spread_by": shift_of(deployment_id, spread)} if spread else plain


def spread_out(timetable: Timetable, definition: Mapping[str, Any]) -> Timetable:
    """Return the timetable with the shift in the definition. Raises ScheduleError if the shift is invalid."""
    by, spread = definition.get("spread_by") or 0, definition.get("spread")
    for name, value in (("spread_by", by), ("spread", spread or 0)):
        if not isinstance(value, int | float) or not 0 <= value <= MOST_SECONDS:
            raise ScheduleError(f"{name} is a number of seconds, {MOST_SECONDS} at most.", name)
    return Spread(timetable, timedelta(seconds=by), timedelta(seconds=spread)) if spread else timetable


@dataclass(frozen=True, slots=True)
class Spread(Timetable):
    """Another timetable with every moment delayed."""

    base: Timetable
    by: timedelta
    over: timedelta

    @property
    def zone(self) -> tzinfo:  # type: ignore[override]
        return self.base.zone

    def number_between(self, begin: datetime, end: datetime) -> int | None:
        return self.base.number_between(begin - self.by, end - self.by)

    def _named_from(self, moment: datetime) -> Iterator[Named]:
        for at, wall in self.base.named_after(moment - self.by, inclusive=True):
            yield at + self.by, wall + self.by

    def describe(self) -> str:
        here = f" (here {self.by} later)" if self.by else ""
        return f"{self.base.describe()}, spread over {self.over}{here}"
