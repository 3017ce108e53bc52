"""Fields of a form made from a JSON schema: that of a flow's signature, of a block, or of the input of a pause.

A value that fields cannot show (a union of types, a list of objects) is a JSON field. A field that is sent unchanged
keeps its original value, so that showing it loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any
from urllib.parse import quote

from django.http import QueryDict

from deployments.definitions.core.parameter_errors import Flaw
from orchestration.json_texts import NUL, read_json

Schema = Mapping[str, Any]
Path = tuple[str, ...]

# Deeper objects, and objects with more members, are JSON fields.
DEEPEST, MOST_FIELDS = 3, 200
SCALARS = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
FORMATS = {"date": "date", "date-time": "moment"}
NO_VALUE = object()


class Unreadable(ValueError):
    """A text that is not a value of its field. The message says what to write."""


@dataclass(slots=True)
class Field:
    """One field: its kind, label, text, and errors. An object has fields of its own."""

    path: Path
    kind: str
    is_required: bool
    is_nullable: bool = False
    help: str = ""
    value: Any = NO_VALUE
    choices: Sequence[tuple[str, str]] = ()
    item: str = "text"
    fields: list[Field] = field(default_factory=list)
    text: str = ""
    is_touched: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "p/" + "/".join(quote(part, safe="") for part in self.path)

    @property
    def label(self) -> str:
        return self.path[-1]

    @property
    def must_be_filled(self) -> bool:
        """Whether it is refused when it is empty. One with a default is, unless its kind has an empty value."""
        has_value = self.value is not NO_VALUE and self.value is not None
        has_empty_value = self.is_nullable or self.kind in {"text", "secret", "list", "choice", "boolean"}
        return self.is_required or (has_value and not has_empty_value)

    @property
    def is_checked(self) -> bool:
        return self.text == "true"

    @property
    def every_error(self) -> list[str]:
        return [*self.errors, *(error for one in self.fields for error in one.every_error)]


def fields_of(schema: Schema | None, values: Mapping[str, Any]) -> list[Field]:
    """Return a field for each parameter in the schema, with its value or its default."""
    return _members(schema or {}, values, (), schema or {})


def _members(schema: Schema, values: Mapping[str, Any], path: Path, root: Schema) -> list[Field]:
    found = schema.get("properties")
    known = list(found.items())[:MOST_FIELDS] if isinstance(found, Mapping) else []
    known.sort(key=lambda member: _position(member[1]))
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    return [
        _field(own, (*path, name), values.get(name, NO_VALUE), name in needed, root)
        for name, own in known
        if isinstance(own, Mapping)
    ]


def _position(own: Any) -> int:
    position = own.get("position") if isinstance(own, Mapping) else None
    return position if isinstance(position, int) else 0


def _field(own: Schema, path: Path, value: Any, is_required: bool, root: Schema) -> Field:
    resolved, is_nullable = _resolved(own, root)
    if value is NO_VALUE:
        value = own.get("default", resolved.get("default", NO_VALUE))
    help_text = own.get("description") or resolved.get("description") or ""
    made = Field(path, "json", is_required, is_nullable, str(help_text), value)
    _choose_kind(made, resolved, root)
    if made.kind == "object":
        inner = value if isinstance(value, Mapping) else {}
        made.fields = _members(resolved, inner, path, root)
    elif value is not NO_VALUE:
        try:
            made.text = text_of(made, value)
        except Unreadable:
            # A template, or a value of another type, is shown as JSON.
            made.kind, made.choices = "json", ()
            made.text = text_of(made, value)
    return made


def _choose_kind(made: Field, resolved: Schema, root: Schema) -> None:
    kind, form = resolved.get("type"), resolved.get("format")
    if isinstance(options := resolved.get("enum"), list) and options:
        made.kind, made.choices = "choice", [(_dumped(one), _word(one)) for one in options]
    elif kind == "object" and resolved.get("properties") and len(made.path) <= DEEPEST:
        made.kind = "object"
    elif kind == "array":
        items = resolved.get("items")
        item, may_be_null = _resolved(items, root) if isinstance(items, Mapping) else ({}, True)
        if not may_be_null and item.get("type") in {"string", "integer", "number"} and "enum" not in item:
            made.kind, made.item = "list", SCALARS[item["type"]]
    elif isinstance(kind, str) and kind in SCALARS:
        made.kind = FORMATS.get(str(form), SCALARS[kind]) if kind == "string" else SCALARS[kind]
        if made.kind == "boolean" and (made.is_nullable or not isinstance(made.value, bool)):
            made.kind, made.choices = "choice", [("true", "true"), ("false", "false")]


def _resolved(own: Schema, root: Schema) -> tuple[Schema, bool]:
    """Return the schema behind references and `anyOf` with null, and whether null is allowed."""
    is_nullable = False
    for _ in range(20):
        if isinstance(reference := own.get("$ref"), str):
            own = _referred(reference, root)
        elif isinstance(parts := own.get("allOf"), list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            own = parts[0]
        elif isinstance(parts := own.get("anyOf"), list):
            others = [one for one in parts if isinstance(one, Mapping) and one.get("type") != "null"]
            is_nullable = is_nullable or len(others) < len(parts)
            if len(others) != 1:
                return {}, is_nullable
            own = others[0]
        else:
            break
    return own, is_nullable


def _referred(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text_of(made: Field, value: Any) -> str:
    """Return the value as the field's input shows it. Raises Unreadable if it cannot be shown."""
    if value is None:
        return "" if made.is_nullable else "null" if made.kind == "json" else _refuse("no value")
    match made.kind, value:
        case ("choice", _) if _dumped(value) in dict(made.choices):
            return _dumped(value)
        case "boolean", bool():
            return "true" if value else "false"
        case "text", str() if "\r" not in value:
            return value
        case "date", str():
            return _date_text(value)
        case "moment", str():
            return _moment_text(value)
        case (("integer" | "number"), (int() | float())) if not isinstance(value, bool):
            return str(value)
        case "list", list() if all(_is_line(one, made.item) for one in value):
            return "\n".join(str(one) for one in value)
        case "json", _:
            return json.dumps(value, indent=2, ensure_ascii=False)
    return _refuse(f"{value!r} is none of its values")


def _refuse(why: str) -> str:
    raise Unreadable(why)


def _is_line(one: Any, kind: str) -> bool:
    if kind == "text":
        return isinstance(one, str) and bool(one.strip()) and one == one.strip() and "\n" not in one
    return isinstance(one, int | float) and not isinstance(one, bool)


def _date_text(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise Unreadable(value) from None


def _moment_text(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise Unreadable(value) from None
    return moment.replace(tzinfo=None, microsecond=0).isoformat()


def shown_texts(fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each field, with those of objects."""
    for one in fields:
        yield one.name, one.text
        yield from shown_texts(one.fields)


def read_fields(fields: Iterable[Field], sent: QueryDict) -> dict[str, Any]:
    """Return the submitted values without empty ones. A text that is not valid becomes an error of its field."""
    values: dict[str, Any] = {}
    for one in fields:
        if one.kind == "object":
            inner = read_fields(one.fields, sent)
            one.is_touched = any(field.is_touched for field in one.fields)
            # An object without a given value is absent unless a field in it was changed, whatever their defaults.
            if one.is_touched or one.is_required or isinstance(one.value, Mapping):
                values[one.label] = inner
            continue
        shown = one.text
        one.text = ("true" if one.name in sent else "false") if one.kind == "boolean" else sent.get(one.name, "")
        one.text = one.text.replace("\r\n", "\n")
        one.is_touched = one.text != shown
        if not one.is_touched and one.value is not NO_VALUE:
            values[one.label] = one.value
            continue
        try:
            value = _read(one)
        except Unreadable as error:
            one.errors.append(str(error))
            continue
        if value is not NO_VALUE:
            values[one.label] = value
    return values


def _read(one: Field) -> Any:
    text = one.text if one.kind == "text" else one.text.strip()
    if not text:
        return _of_nothing(one)
    if "\x00" in text:
        raise Unreadable(NUL)
    match one.kind:
        case "text":
            return text
        case "integer" | "number":
            return number_of(text, one.kind)
        case "boolean":
            return text == "true"
        case "list":
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return lines if one.item == "text" else [number_of(line, one.item) for line in lines]
        case "moment":
            return _moment(text)
        case "date":
            return _date_text_or_refuse(text)
    try:
        return read_json(text)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _of_nothing(one: Field) -> Any:
    """Return the value of an empty field."""
    if one.is_nullable and (one.is_required or one.value is not NO_VALUE):
        return None
    if one.value is NO_VALUE or one.value is None:
        return NO_VALUE
    match one.kind:
        case "text":
            return ""
        case "list":
            return []
    raise Unreadable("This cannot be left empty.")


def number_of(text: str, kind: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        if kind == "integer":
            raise Unreadable(f"{text!r} is not a whole number.") from None
    try:
        number = float(text)
    except ValueError:
        raise Unreadable(f"{text!r} is not a number.") from None
    if not isfinite(number):
        raise Unreadable(f"{text!r} is not a number that JSON has.")
    return number


def _date_text_or_refuse(text: str) -> str:
    try:
        return _date_text(text)
    except Unreadable:
        raise Unreadable(f"{text!r} is not a date; write it as 2026-01-31.") from None


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"{text!r} is not a date and time; write it as 2026-01-31T06:00:00.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def show_flaws(fields: Sequence[Field], found: Iterable[Flaw]) -> list[str]:
    """Add each error to its field, and return the errors without a field."""
    others = []
    for flaw in found:
        one = _field_at(fields, flaw.place)
        if one is None:
            where = ".".join(str(part) for part in flaw.place)
            others.append(f"{where}: {flaw.message}" if where else flaw.message)
        elif not one.errors:
            rest = flaw.place[len(one.path) :]
            at = f"{'.'.join(str(part) for part in rest)}: " if rest else ""
            one.errors.append("This field is required." if flaw.is_missing and not rest else at + flaw.message)
    return others


def _field_at(fields: Sequence[Field], place: Sequence[str | int]) -> Field | None:
    for one in fields:
        if tuple(place[: len(one.path)]) == one.path:
            return _field_at(one.fields, place) or one
    return None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _dumped(value)
