"""Values for a program elsewhere: JSON from which their types make them again.

What a model writes is not always what it reads: a field may have one name for each, a computed field is no field, an
excluded one would be its default, a serializer may write what no validator takes, and a float that is no number is
written as null.
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
    """`value` with each model that could not be read back replaced by its fields, under the names that it reads.

    Raises UnserializableError for a secret, of which JSON tells nothing but stars, and for a model that would be read
    as another one.
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
    """Whether pydantic writes and reads it in its own way: a model, or a dataclass of its make."""
    return hasattr(kind, "__pydantic_validator__")


def _fields_of(value: Any) -> dict[str, Any]:
    kind = type(value)
    names = kind.__pydantic_fields__ if _is_model(kind) else [field.name for field in dataclasses.fields(kind)]
    return {**{name: getattr(value, name) for name in names}, **(getattr(value, "__pydantic_extra__", None) or {})}


def _model(model: Any) -> Any:
    kind = type(model)
    fields = {name: readable(part) for name, part in _fields_of(model).items()}
    # A root model is its content.
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
    """Whether the same model is made of what is written; None if none is."""
    from pydantic_core import to_json

    try:
        read = type(model).__pydantic_validator__.validate_json(to_json(written, inf_nan_mode="strings"))
        # Private attributes and numbers that are none differ where the fields say the same.
        return read == model or _content(read) == _content(model)
    except Exception:
        # Also what a validator or a serializer of the user's raises.
        return None


def _content(value: Any) -> bytes:
    """Return the JSON of what a value holds, whatever its models write of it."""
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
        # In an order of its own in each.
        return sorted(map(_content, value))
    if isinstance(value, _LISTS):
        return [_bare(part) for part in value]
    return {name: _bare(part) for name, part in value.items()} if isinstance(value, dict) else value


def _in_words(value: Any) -> str:
    """Return the text of what JSON knows nothing of: the same for the same."""
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
    # A plain name is the one that its schema names.
    chosen = next((one for one in choices if isinstance(one, str)), choices[0])
    return list(getattr(chosen, "path", [chosen]))
