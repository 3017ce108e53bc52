"""Answers made from rows. The contract says which fields there are; rows have most of them under the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from django.db.models import Model
from pydantic import BaseModel

from orionflow.contract.wire import Answer, own_fields


def as_answer(kind: type[Answer], row: Any, **derived: Any) -> dict[str, Any]:
    """Return an answer with every field of `kind`: from `derived`, or from the row's attribute of that name.

    Nothing is validated, because the row comes from the database. Fields that Prefect does not have are left out where
    they are null or have their default.
    """
    shape = _shape(kind, frozenset(derived))
    answer: dict[str, Any] = dict.fromkeys(shape.names)
    answer.update(zip(shape.of_row, shape.read(row), strict=True))
    for name, value in derived.items():
        answer[shape.wire_names.get(name, name)] = value
    for name, default in shape.own:
        if answer[name] is None or answer[name] == default:
            del answer[name]
    return answer


def changes_in(sent: BaseModel, rows: type[Model]) -> dict[str, Any]:
    """Return the sent fields by column. Null empties a column that may be empty, and is ignored for others."""
    columns = rows._meta
    return {
        name: value
        for name, value in sent.model_dump(exclude_unset=True).items()
        if value is not None or columns.get_field(name).null
    }


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a row becomes an answer. Names are those of the wire, in its order."""

    names: tuple[str, ...]
    of_row: tuple[str, ...]
    read: Callable[[Any], tuple[Any, ...]]
    wire_names: Mapping[str, str]
    own: tuple[tuple[str, Any], ...]


@cache
def _shape(kind: type[Answer], derived: frozenset[str]) -> _Shape:
    fields = kind.model_fields
    wire_names = {name: one.serialization_alias or name for name, one in fields.items()}
    read = [name for name in fields if name not in derived]
    getter = attrgetter(*read) if read else None
    return _Shape(
        names=tuple(wire_names.values()),
        of_row=tuple(wire_names[name] for name in read),
        read=_reader(read, getter),
        wire_names=wire_names,
        own=tuple((wire_names[name], fields[name].default) for name in fields if name in own_fields(kind)),
    )


def _reader(names: list[str], getter: Any) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda row: ()
    # With a single name, an attrgetter returns the value itself instead of a tuple.
    return (lambda row: (getter(row),)) if len(names) == 1 else getter
