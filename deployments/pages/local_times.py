"""Times of schedules as text, in the zone of their schedule."""

from __future__ import annotations

from datetime import datetime


def local_text(local: datetime) -> str:
    """Return the time as it is shown on pages. Django's filter would convert it to UTC."""
    return f"{local:%a %d %b %Y %H:%M:%S %Z}" if local.second else f"{local:%a %d %b %Y %H:%M %Z}"
