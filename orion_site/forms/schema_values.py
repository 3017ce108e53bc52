"""One field of a form made from a JSON schema: its kind, its value as a text, and the value of a text that is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any
from urllib.parse import quote

from orchestration.json_texts import NUL, read_json

Schema = Mapping[str, Any]
Path = tuple[str, ...]

# Longer texts have a field of several lines, and longer JSON is not indented.
LONGEST_LINE, LONGEST_INDENTED = 500, 20_000
LARGEST_INTEGER = 2**63
# The names of fields begin with this, and those of the second inputs of secrets, which have several lines.
PREFIX, IN_LINES = "p/", "lines/"
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
        return PREFIX + "/".join(quote(part, safe="") for part in self.path)

    @property
    def name_in_lines(self) -> str:
        return IN_LINES + self.name.removeprefix(PREFIX)

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
    def has_lines(self) -> bool:
        """Whether it needs an input of several lines: one of a single line loses line breaks."""
        return self.kind in {"list", "json"} or (self.kind in {"text", "secret"} and _is_long(self.text))

    @property
    def is_checked(self) -> bool:
        return self.text == "true"

    @property
    def every_error(self) -> list[str]:
        return [*self.errors, *(error for one in self.fields for error in one.every_error)]


def text_of(made: Field, value: Any) -> str:
    """Return the value as the field's input shows it. Raises Unreadable if it cannot be shown."""
    if made.kind == "choice" and (text := dumped(value)) in dict(made.choices):
        return text
    if value is None:
        return "" if made.is_nullable else "null" if made.kind == "json" else _refuse("no value")
    match made.kind, value:
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
            return as_json(value)
    return _refuse(f"{value!r} is none of its values")


def as_json(value: Any) -> str:
    """Return the value as JSON for people, without an indent if it is so long that indents would multiply it."""
    text = dumped(value)
    return text if len(text) > LONGEST_INDENTED else json.dumps(value, indent=2, ensure_ascii=False)


def _is_long(text: str) -> bool:
    return "\n" in text or len(text) > LONGEST_LINE


def _refuse(why: str) -> str:
    raise Unreadable(why)


def _is_line(one: Any, kind: str) -> bool:
    if kind == "text":
        return isinstance(one, str) and bool(one.strip()) and one == one.strip() and not {"\n", "\r"} & set(one)
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


def read_text(one: Field) -> Any:
    """Return the value of the text in a field, or NO_VALUE. Raises Unreadable if it is none."""
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
            return _tick(text)
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


def _tick(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Unreadable(f"{text!r} is not a tick: write true or false.")
    return text == "true"


def number_of(text: str, kind: str) -> int | float:
    try:
        whole = int(text)
    except ValueError:
        if kind == "integer":
            raise Unreadable(f"{text!r} is not a whole number.") from None
    else:
        if not -LARGEST_INTEGER <= whole < LARGEST_INTEGER:
            raise Unreadable("Whole numbers must fit into 64 bits.")
        return whole
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


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
