"""References to stored values in the data of states. Clients write this data, so nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a value is stored. `unstored` says why it may be missing."""

    storage_key: str
    storage: str | None = None
    serializer_type: str | None = None
    size: int | None = None
    expiration: datetime | None = None
    unstored: str | None = None


def reference_in(data: Any) -> Reference | None:
    """Return the reference in a state's data; fields of unexpected types count as missing."""
    match data:
        case {"type": "reference", "storage_key": str(key)}:
            pass
        case _:
            return None
    size = data.get("size")
    return Reference(
        key,
        _text(data, "storage"),
        _text(data, "serializer_type"),
        size if type(size) is int and 0 <= size < 2**63 else None,
        moment_in(data.get("expiration")),
        _text(data, "unstored"),
    )


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def moment_in(value: object) -> datetime | None:
    """Return the time that a text names, if it has a time zone."""
    try:
        read = datetime.fromisoformat(value if isinstance(value, str) else "")
        return read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None
