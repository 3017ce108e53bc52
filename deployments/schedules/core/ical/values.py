"""Properties of iCalendar components, whether they come once, many times, or as lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from icalendar import Component

from deployments.schedules.core.ical.zones import Zones, several
from deployments.schedules.core.zones import first_moment, wall_of

# Where the names of zones are kept from the parser, which would guess some of them.
ZONE = "X-ORION-ZONE"


@dataclass(frozen=True, slots=True)
class Stated:
    """A date or a time as it was written, and the zone that it names."""

    said: date
    zone_name: str | None

    @property
    def is_day(self) -> bool:
        return not isinstance(self.said, datetime)

    @property
    def wall(self) -> datetime:
        said = self.said
        return said.replace(tzinfo=None) if isinstance(said, datetime) else datetime.combine(said, time())

    def zone(self, zones: Zones, floating: tzinfo | None = None) -> tzinfo:
        """Times that name no zone are of `floating`: those of an event are meant where the event begins."""
        if not isinstance(self.said, datetime):
            return zones.days
        if self.zone_name:
            return zones.named(self.zone_name)
        return UTC if self.said.tzinfo else floating or zones.default

    def moment(self, zones: Zones, floating: tzinfo | None = None) -> datetime:
        return first_moment(self.wall, self.zone(zones, floating))

    def day(self, zones: Zones) -> date:
        """Among whole days: its date. Programs write its midnight, of any zone, or the moment at which it begins."""
        if not isinstance(self.said, datetime) or self.wall.time() == time():
            return self.wall.date()
        return wall_of(self.moment(zones, zones.days), zones.days).date()


def stated(component: Component, name: str) -> list[Stated]:
    """Return the dates of a property; of periods, their starts."""
    return [
        Stated(one.dt[0] if isinstance(one.dt, tuple) else one.dt, _zone_name(said, one))
        for said in several(component, name)
        for one in getattr(said, "dts", [said])
    ]


def _zone_name(*parameterised: Any) -> str | None:
    return next((str(one.params[ZONE]) for one in parameterised if ZONE in one.params), None)


def rules(component: Component, name: str) -> list[str]:
    return [rule.to_ical().decode() for rule in several(component, name)]
