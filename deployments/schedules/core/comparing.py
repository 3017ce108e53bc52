"""Whether two definitions mean the same schedule, however differently they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.interval import anchor_of
from deployments.schedules.core.zones import zone_of

# Clients of Prefect 2 send the time at which a schedule was made where nobody gave an anchor. It may be so old when it
# arrives: they build images in between.
UNSAID_FOR = timedelta(hours=1)


def is_same(wanted: Mapping[str, Any], stored: Mapping[str, Any], now: datetime) -> bool:
    """Whether a schedule that is asked for is the stored one; an anchor that nobody gave may be any."""
    one, other = comparable(wanted), comparable(stored)
    if "interval" in one and not has_anchor(wanted, now):
        one, other = {**one, "anchor_date": None}, {**other, "anchor_date": None}
    return one == other


def comparable(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with what it leaves open filled in, and moments as moments."""
    filled = {name: value for name, value in definition.items() if value is not None}
    if "ics" not in filled:
        # A calendar may name its zone itself, so there none is not UTC.
        filled["timezone"] = definition.get("timezone") or "UTC"
    if "cron" in filled:
        filled["cron"] = " ".join(str(filled["cron"]).split())
        filled.setdefault("day_or", True)
    if "anchor_date" in filled:
        filled["anchor_date"] = _moment(filled)
    return filled


def has_anchor(definition: Mapping[str, Any], now: datetime) -> bool:
    """Whether somebody chose the anchor of an interval. The very time at which a program ran is nobody's choice."""
    if definition.get("anchor_date") is None:
        return False
    anchor = _moment(definition)
    if not isinstance(anchor, datetime) or not anchor.microsecond:
        return True
    return not now - UNSAID_FOR <= anchor <= now + timedelta(minutes=1)


def key_of_times(definition: Mapping[str, Any]) -> str:
    """Equal for definitions that may mean the same schedule: all but the anchors."""
    found = comparable(definition)
    found.pop("anchor_date", None)
    if "interval" in found:
        found["interval"] = float(found["interval"])
    return json.dumps(found, sort_keys=True, default=str)


def completed(definition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The definition as it is stored: an interval without an anchor counts from now."""
    if "interval" in definition and definition.get("anchor_date") is None:
        return {**definition, "anchor_date": now.astimezone(UTC).isoformat()}
    return dict(definition)


def _moment(definition: Mapping[str, Any]) -> Any:
    try:
        return anchor_of(definition.get("anchor_date"), zone_of(definition.get("timezone")))
    except ScheduleError:
        return definition.get("anchor_date")
