"""When a deployment runs: definitions in the form of the API, and the moments that they mean.

Nothing here knows the current time, and nothing is stored: the same definition always means the same moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from deployments.schedules.core.cron import read_cron
from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.ics import read_ics
from deployments.schedules.core.interval import read_interval
from deployments.schedules.core.rrule import read_rrule
from deployments.schedules.core.spread import spread_out
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import FIRST, LAST, first_moment
from orionflow.contract.schedules import AnyDefinition

__all__ = ["ScheduleError", "Timetable", "moment_in", "read_definition"]

READERS: dict[str, Callable[[Mapping[str, Any]], Timetable]] = {
    "cron": read_cron,
    "interval": read_interval,
    "rrule": read_rrule,
    "ics": read_ics,
}
# The contract defines the fields of each kind. Each kind is named after the field that only it has.
FIELDS = {
    kind: frozenset(one.model_fields) for one in get_args(AnyDefinition) for kind in READERS if kind in one.model_fields
}
_OF_ALL = frozenset({"spread", "spread_by"})
_KINDS = f"{', '.join([*READERS][:-1])} or {[*READERS][-1]}"


def read_definition(definition: Mapping[str, Any]) -> Timetable:
    """Return the timetable of a definition such as {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}."""
    if not isinstance(definition, Mapping):
        raise ScheduleError(f"A schedule is an object with one of {_KINDS}.")
    kinds = [kind for kind in READERS if kind in definition]
    if len(kinds) != 1:
        raise ScheduleError(f"A schedule has exactly one of {_KINDS}.", kinds[1] if kinds else None)
    if unknown := sorted(map(str, definition.keys() - FIELDS[kinds[0]])):
        raise ScheduleError(f"A schedule by {kinds[0]} has no {unknown[0]!r}.", unknown[0])
    own = {name: value for name, value in definition.items() if name not in _OF_ALL}
    return spread_out(READERS[kinds[0]](own), definition)


def moment_in(definition: Mapping[str, Any], given: datetime) -> datetime:
    """Return a moment given with a schedule in UTC. Without an offset it is in the schedule's zone.

    Before the year 1 of UTC it is its first moment, and after the year 9999 its last one.
    """
    zone = None if given.tzinfo else read_definition(definition).zone
    try:
        return first_moment(given, zone) if zone else given.astimezone(UTC)
    except OverflowError:
        return FIRST if given.year == 1 else LAST
