"""YAML output without a YAML library: block style for structures, JSON scalars (which are YAML) for values."""

from __future__ import annotations

import re
from typing import Any

from orionflow.cli.safe_text import as_json

# Words that need no quotes; a text that YAML could read as a number, a date or a boolean is quoted.
_PLAIN = re.compile(r"^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$")
_AMBIGUOUS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def as_yaml(value: Any) -> str:
    return "\n".join(_block(value))


def _block(value: Any) -> list[str]:
    match value:
        case dict() if value:
            return [line for key, inner in value.items() for line in _entry(f"{_scalar(str(key))}:", inner)]
        case list() if value:
            return [line for inner in value for line in _item(inner)]
    return [_scalar(value)]


def _entry(label: str, value: Any) -> list[str]:
    if isinstance(value, dict | list) and value:
        return [label, *("  " + line for line in _block(value))]
    return [f"{label} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    first, *rest = _block(value)
    return [f"- {first}", *("  " + line for line in rest)]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _AMBIGUOUS:
        return value
    text = as_json(value)
    # YAML reads 1e-05 as a text: its numbers with an exponent need a point.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
