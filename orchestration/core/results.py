"""Results as artifacts: Prefect's clients store in a result how to show it as an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestration.core.states import is_unpersisted

LABELS = ("artifact_key", "artifact_type", "artifact_description")
LONGEST_TYPE = 255


@dataclass(frozen=True, slots=True)
class ShownResult:
    """The part of a result that becomes an artifact of the run."""

    type: str
    description: str | None
    data: dict[str, Any]


def taken_apart(data: Any) -> tuple[Any, ShownResult | None]:
    """Return a state's data as it is stored, and the result to show. Data that is not stored is not shown either."""
    if not isinstance(data, dict) or is_unpersisted(data):
        return data, None
    kind, description = data.get("artifact_type"), data.get("artifact_description")
    if not isinstance(kind, str) or not 0 < len(kind) <= LONGEST_TYPE:
        return data, None
    kept = {name: value for name, value in data.items() if name not in LABELS}
    return kept, ShownResult(kind, description if isinstance(description, str) else None, kept)
