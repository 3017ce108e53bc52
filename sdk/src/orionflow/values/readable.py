"""Values for a program elsewhere: JSON from which their types make them again.

What a model writes is not always what it reads: a field may have one name for each, a computed field is no field, a
serializer may write what no validator takes, and a float that is no number is written as null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orionflow.errors import UnserializableError


def readable(value: Any) -> Any:
    """`value` with each model that could not be read back replaced by its fields, under the names that it reads.

    Raises UnserializableError for a secret, of which JSON tells nothing but stars.
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return [readable(part) for part in value]
    if kind is dict:
        return {name: readable(part) for name, part in value.items()}
    if hasattr(kind, "get_secret_value"):
        raise UnserializableError(f"A {kind.__name__} cannot be handed over; pass the name of a secret.")
    return _model(value) if hasattr(kind, "__pydantic_extra__") else value


def _model(model: Any) -> Any:
    fields = {name: readable(getattr(model, name)) for name in type(model).model_fields}
    if _is_read(model, model):
        return model
    by_name = {**_named(type(model), fields), **(model.__pydantic_extra__ or {})}
    # A root model is its content.
    other = fields["root"] if fields.keys() == {"root"} else by_name
    return other if _is_read(model, other) else model


def _is_read(model: Any, written: Any) -> bool:
    from pydantic_core import to_json

    try:
        type(model).model_validate_json(to_json(written, inf_nan_mode="strings"))
    except Exception:
        # Also what a validator or a serializer of the user's raises.
        return False
    return True


def _named(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in fields.items():
        *outer, last = _path(kind.model_fields[name], name)
        inner = named
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return named


def _path(field: Any, name: str) -> list[Any]:
    """The names under which a model looks for a field, the outermost first."""
    alias = field.validation_alias or field.alias or name
    choices = getattr(alias, "choices", [alias])
    # A plain name is the one that its schema names.
    chosen = next((one for one in choices if isinstance(one, str)), choices[0])
    return list(getattr(chosen, "path", [chosen]))
