"""Settings that can be changed while servers run: the value from the environment, or the changed one.

Code that uses such a setting reads it here each time. A change by another process takes effect within two seconds.
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
    """The limits of a changeable setting."""

    most: int
    unit: str
    least: int = 0
    # A warning for the user who changes it.
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
    """Return the current value of a changeable setting."""
    return _changed().get(name, int(getattr(settings, name)))


def current_in_query(name: str) -> Coalesce:
    """Return the setting as an expression, for use in a query that is made anyway."""
    changed = ChangedSetting.objects.filter(name=name).values("value")
    return Coalesce(Subquery(changed), Value(int(getattr(settings, name))))


def forget() -> None:
    """Read the settings again the next time."""
    global _read
    _read = (0.0, {})


def _changed() -> Mapping[str, int]:
    global _read
    until, values = _read
    if time.monotonic() >= until:
        values = {one.name: one.value for one in ChangedSetting.objects.all()}
        _read = (time.monotonic() + KEPT_SECONDS, values)
    return values
