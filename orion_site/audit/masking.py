"""Values for entries: secrets are masked; long values are cut, with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orionflow.contract.masking import MASK, NAMES_A_SECRET

LONGEST = 1_000
_BEGIN = 200


def masked(value: Any, name: str = "") -> Any:
    """Return the value with everything masked whose name suggests a secret."""
    if isinstance(value, dict):
        return {key: masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one, name) for one in value]
    if value in (None, "", True, False) or not NAMES_A_SECRET.search(name):
        return value
    return MASK


def shortened(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shortened(value) for name, value in fields.items()}


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    if len(text) <= LONGEST:
        return value
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_BEGIN]}… ({len(text):,} characters, SHA-256 {digest})"
