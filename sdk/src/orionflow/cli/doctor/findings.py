"""What an examination found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the installation: well, doubtful, or broken, and what to do."""

    check: str
    verdict: Literal["ok", "warning", "problem"]
    text: str
    fix: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def size(count: float) -> str:
    """`3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
