"""Values for another program: JSON from which their types can be recreated.

A model does not always read what it writes: a field may have different names for both, a computed field is not an
input, an excluded field would get its default, a serializer may write what validators refuse, and NaN is written as
null.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any

from orionflow.errors import UnserializableError

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_LISTS = (list, tuple, set, frozenset, deque)


def readable(value: Any) -> Any:
    """Return `value` with each model that could not be read back replaced by its fields, under the names that it reads.

    Raise UnserializableError for a secret, which JSON only shows as stars, and for a model that would be read
    differently.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if hasattr(kind, "get_secret_value"):
        raise UnserializableError(f"A {kind.__name__} cannot be handed over; pass the name of a secret.")
    if _is_model(kind):
        return _model(value)
    if dataclasses.is_dataclass(kind):
        return {name: readable(part) for name, part in _fields_of(value).items()}
    if isinstance(value, _LISTS):
        return [readable(part) for part in value]
    if isinstance(value, dict):
        for name in value:
            readable(name)
        return {name: readable(part) for name, part in value.items()}
    if isinstance(value, Enum):
        readable(value.value)
    return value


def _is_model(kind: type) -> bool:
    """Whether pydantic handles the type in its own way: a model, or one of its dataclasses."""
    return hasattr(kind, "__pydantic_validator__")


def _fields_of(value: Any) -> dict[str, Any]:
    kind = type(value)
    names = kind.__pydantic_fields__ if _is_model(kind) else [field.name for field in dataclasses.fields(kind)]
    return {**{name: getattr(value, name) for name in names}, **(getattr(value, "__pydantic_extra__", None) or {})}


def _model(model: Any) -> Any:
    kind = type(model)
    fields = {name: readable(part) for name, part in _fields_of(model).items()}
    # A root model has no other fields than its content.
    by_name = fields["root"] if fields.keys() == {"root"} else _named(kind, fields)
    found = []
    for written in (model, by_name):
        if same := _is_read(model, written):
            return written
        found.append(same)
    if False in found:
        raise UnserializableError(f"A {kind.__name__} cannot be handed over: its JSON is read as another one.")
    return model


def _is_read(model: Any, written: Any) -> bool | None:
    """Whether reading the written form gives an equal model; None if it cannot be read."""
    from pydantic_core import to_json

    try:
        read = type(model).__pydantic_validator__.validate_json(to_json(written, inf_nan_mode="strings"))
        # Private attributes and NaN values differ even if the fields are equal.
        return read == model or _content(read) == _content(model)
    except Exception:
        # Includes exceptions of the user's validators or serializers.
        return None


def _content(value: Any) -> bytes:
    """Return the JSON of a value's content, however its models are written."""
    from pydantic_core import to_json

    return to_json(_bare(value), inf_nan_mode="strings", bytes_mode="base64", fallback=_in_words)


def _bare(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if hasattr(kind, "get_secret_value"):
        return _bare(value.get_secret_value())
    if _is_model(kind) or dataclasses.is_dataclass(kind):
        return {name: _bare(part) for name, part in _fields_of(value).items()}
    if isinstance(value, set | frozenset):
        # The order differs between two equal sets.
        return sorted(map(_content, value))
    if isinstance(value, _LISTS):
        return [_bare(part) for part in value]
    return {name: _bare(part) for name, part in value.items()} if isinstance(value, dict) else value


def _in_words(value: Any) -> str:
    """Return a text for a value that JSON cannot express, equal for equal values."""
    from orionflow.values.digests import digest_of

    try:
        return digest_of(value).hex()
    except UnserializableError:
        return type(value).__name__


def _named(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in fields.items():
        field = kind.__pydantic_fields__.get(name)
        *outer, last = [name] if field is None else _path(field, name)
        inner = named
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return named


def _path(field: Any, name: str) -> list[Any]:
    """Return the names under which a model looks for a field, the outermost first."""
    alias = field.validation_alias or field.alias or name
    choices = getattr(alias, "choices", [alias])
    # A plain name is the one that its schema uses.
    chosen = next((one for one in choices if isinstance(one, str)), choices[0])
    return list(getattr(chosen, "path", [chosen]))
