"""A reason why a run does not move, as every selector that looks for one says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

HOLDERS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a run from moving, since when, who is in the way, and what would help."""

    code: str
    text: str
    fix: str | None = None
    since: datetime | None = None
    holders: Sequence[dict[str, Any]] | None = None


def told(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "an unknown time"
