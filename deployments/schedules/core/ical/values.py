"""Access to properties of iCalendar components, which may occur once, repeatedly, or as lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from icalendar import Component

from deployments.schedules.core.ical.zones import Zones, several
from deployments.schedules.core.zones import first_moment, wall_of

# The parameter that hides the names of zones from the parser, which would guess some of them.
ZONE = "X-ORION-ZONE"


@dataclass(frozen=True, slots=True)
class Stated:
    """A date or time as it was written, with the name of its zone."""

    value: date
    zone_name: str | None

    @property
    def is_day(self) -> bool:
        return not isinstance(self.value, datetime)

    @property
    def wall(self) -> datetime:
        given = self.value
        return given.replace(tzinfo=None) if isinstance(given, datetime) else datetime.combine(given, time())

    def zone(self, zones: Zones, floating: tzinfo | None = None) -> tzinfo:
        """Return its zone. A time without one is in `floating`, the zone in which its event starts."""
        if not isinstance(self.value, datetime):
            return zones.days
        if self.zone_name:
            return zones.named(self.zone_name)
        return UTC if self.value.tzinfo else floating or zones.default

    def moment(self, zones: Zones, floating: tzinfo | None = None) -> datetime:
        return first_moment(self.wall, self.zone(zones, floating))

    def day(self, zones: Zones) -> date:
        """Return the date, for events of whole days. Programs write midnight in any zone, or the day's first moment."""
        if not isinstance(self.value, datetime) or self.wall.time() == time():
            return self.wall.date()
        return wall_of(self.moment(zones, zones.days), zones.days).date()


def stated(component: Component, name: str) -> list[Stated]:
    """Return the dates of a property. Periods are represented by their starts."""
    return [
        Stated(one.dt[0] if isinstance(one.dt, tuple) else one.dt, _zone_name(given, one))
        for given in several(component, name)
        for one in getattr(given, "dts", [given])
    ]


def _zone_name(*parameterised: Any) -> str | None:
    return next((str(one.params[ZONE]) for one in parameterised if ZONE in one.params), None)


def rules(component: Component, name: str) -> list[str]:
    return [rule.to_ical().decode() for rule in several(component, name)]
