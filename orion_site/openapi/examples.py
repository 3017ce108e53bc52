"""Examples for the OpenAPI document: real exchanges that the contract tests recorded.

`UPDATE_CONTRACT=1 pytest tests/contract` records them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_suffix(".json")


class Examples:
    """The recorded exchanges by operation.

    The name of a variant starts with that of its operation: `set_state_refused`.
    """

    def __init__(self, operation_ids: Iterable[str]) -> None:
        known = set(operation_ids)
        self._of: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for name, exchange in _recorded().items():
            if owner := _owner(name, known):
                variant = name.removeprefix(owner).strip("_").replace("_", " ") or "usual"
                self._of.setdefault(owner, []).append((variant, exchange))

    def add_to(self, described: dict[str, Any]) -> None:
        """Add recorded requests and answers to the description of an operation."""
        for variant, exchange in self._of.get(described["operationId"], ()):
            if exchange["request"] is not None:
                _add(described.get("requestBody"), variant, exchange["request"])
            _add(described["responses"].get(str(exchange["status"])), variant, exchange["response"])


def _add(part: dict[str, Any] | None, variant: str, value: Any) -> None:
    for kind, content in (part or {}).get("content", {}).items():
        if kind == "application/json" or isinstance(value, str):
            content.setdefault("examples", {})[variant] = {"value": value}


def _owner(name: str, known: set[str]) -> str | None:
    """Return the known operation with the longest name that is a prefix of `name`."""
    parts = name.split("_")
    candidates = ("_".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((one for one in candidates if one in known), None)


def operation_id(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    recorded: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return recorded
