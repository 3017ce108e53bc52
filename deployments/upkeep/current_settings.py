"""Settings that may change while servers run: as the environment has them, or as somebody changed them since.

Whoever reads such a setting asks here each time. What another process changed holds within two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce

from deployments.models import ChangedSetting

KEPT_SECONDS = 2.0
DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Bounds:
    """Within which a setting may be changed."""

    most: int
    unit: str
    least: int = 0
    # What somebody must know who changes it.
    warning: str = ""


_DELETES = "What is older is deleted within the hour, and cannot be restored. 0 keeps it for ever."
CHANGEABLE: Mapping[str, Bounds] = {
    "ORION_LATE_AFTER_SECONDS": Bounds(86_400, "seconds"),
    "ORION_CRASH_GRACE_SECONDS": Bounds(86_400, "seconds"),
    "ORION_RETENTION_DAYS_RUNS": Bounds(DAYS, "days", warning=_DELETES),
    "ORION_RETENTION_DAYS_LOGS": Bounds(DAYS, "days", warning=_DELETES),
    "ORION_RETENTION_DAYS_EVENTS": Bounds(DAYS, "days", warning=_DELETES),
    "ORION_RETENTION_DAYS_AUDIT": Bounds(DAYS, "days", warning=_DELETES),
}

_read: tuple[float, Mapping[str, int]] = (0.0, {})


def current(name: str) -> int:
    """Return a changeable setting as it is now."""
    return _changed().get(name, int(getattr(settings, name)))


def current_in_query(name: str) -> Coalesce:
    """Return the setting as a part of a query that is asked in any case."""
    changed = ChangedSetting.objects.filter(name=name).values("value")
    return Coalesce(Subquery(changed), Value(int(getattr(settings, name))))


def forget() -> None:
    """Look again at the next question."""
    global _read
    _read = (0.0, {})


def _changed() -> Mapping[str, int]:
    global _read
    until, values = _read
    if time.monotonic() >= until:
        values = {one.name: one.value for one in ChangedSetting.objects.all()}
        _read = (time.monotonic() + KEPT_SECONDS, values)
    return values
