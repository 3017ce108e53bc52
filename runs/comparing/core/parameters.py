"""Differences between the parameters of two runs; objects are compared by their fields, one level down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orionflow.contract.masking import MASK, NAMES_A_SECRET, known

LONGEST_SHOWN = 80
# An object with more fields than this is compared as a whole.
MOST_FIELDS = 50
ABSENT = object()
# Stands for a large parameter that the query did not read.
OMITTED = "__orion_omitted__"


def flattened(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by name, and fields of objects by `name.field`."""
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and value and len(value) <= MOST_FIELDS and OMITTED not in value:
            flat.update({f"{name}.{field}": inner for field, inner in value.items()})
        else:
            flat[name] = value
    return flat


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, text before and text after of each parameter that differs; an absent one is an empty text."""
    old, new = flattened(before), flattened(after)
    for name in dict.fromkeys([*new, *old]):
        one, other = old.get(name, ABSENT), new.get(name, ABSENT)
        if one != other or type(one) is not type(other):
            yield name, *_texts(name, one, other)


def _texts(name: str, before: Any, after: Any) -> tuple[str, str]:
    texts = (value_text(name, before), value_text(name, after))
    if texts[0] != texts[1]:
        return texts
    # The difference is hidden by the cut or by a mask.
    return f"{texts[0]} (before)", f"{texts[1]} (another value)"


def value_text(name: str, value: Any) -> str:
    """Return a short text for a value: masked where its name suggests a secret, its size where it is large."""
    match value:
        case _ if value is ABSENT:
            return ""
        case _ if NAMES_A_SECRET.search(name):
            return MASK
        case dict() if OMITTED in value:
            return f"{value[OMITTED].get('bytes', 0):,} bytes"
    text = known.masked(json.dumps(value, ensure_ascii=False, default=str))
    if len(text) <= LONGEST_SHOWN:
        return text
    match value:
        case list():
            return f"{len(value):,} values: {text[:40]}…"
        case dict():
            return f"{len(value):,} fields: {text[:40]}…"
    return f"{text[: LONGEST_SHOWN - 1]}…"
