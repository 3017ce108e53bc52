"""Fields of a form made from a JSON schema: that of a flow's signature, of a block, or of the input of a pause.

A value that fields cannot show (a union of types, a list of objects, an object with members that its schema does not
name) is a JSON field. A field or an object that is sent unchanged keeps its original value, so that showing it loses
nothing. A form sends marks of the fields that it had: fields that it did not have are not taken for empty ones. However
a schema refers to itself, the form stays within a number of fields, options and characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from math import isfinite
from typing import Any
from urllib.parse import quote, unquote

from django.http import QueryDict

from deployments.definitions.core.hydration import KIND
from deployments.definitions.core.parameter_errors import Flaw
from orchestration.json_texts import NUL, read_json

Schema = Mapping[str, Any]
Path = tuple[str, ...]

# Objects that are deeper, or whose members would be more fields than the form may have in all, are JSON fields.
DEEPEST, MOST_FIELDS = 3, 200
# Names repeat in each field below them. Objects with longer ones are JSON fields.
LONGEST_NAME = 255
# A schema can refer many times to one long description, default or list of options.
LONGEST_HELP, MOST_OF_DEFAULTS, MOST_OPTIONS, MOST_OF_OPTIONS = 5_000, 500_000, 10_000, 500_000
# More alternatives, names and characters than these are not read for each field.
MOST_ALTERNATIVES, MOST_REQUIRED, LONGEST_REFERENCE = 100, 1_000, 2_000
# Longer texts have a field of several lines, and longer JSON is not indented.
LONGEST_LINE, LONGEST_INDENTED = 500, 20_000
LARGEST_INTEGER = 2**63
# The names of fields begin with this. A hidden field has marks of so many characters for all of them.
PREFIX, MARKS, MARK = "p/", "marks", 8
# Texts that have no field any more are quoted: so many of them, and so many characters of each.
MOST_QUOTED, LONGEST_QUOTED = 20, 200
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
        return PREFIX + "/".join(quote(part, safe="") for part in self.path)

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
        return self.kind in {"list", "json"} or (self.kind == "text" and _is_long(self.text))

    @property
    def is_checked(self) -> bool:
        return self.text == "true"

    @property
    def every_error(self) -> list[str]:
        return [*self.errors, *(error for one in self.fields for error in one.every_error)]


@dataclass(slots=True)
class _Form:
    """The schema that references lead into, and how much the form may still contain."""

    root: Schema
    fields: int = MOST_FIELDS
    options: int = MOST_OPTIONS
    of_options: int = MOST_OF_OPTIONS
    of_defaults: int = MOST_OF_DEFAULTS

    def choices(self, options: Sequence[Any]) -> list[tuple[str, str]]:
        """Return the options with their words; none if they are more than the form may contain."""
        self.options -= len(options)
        found: list[tuple[str, str]] = []
        for one in options if self.options >= 0 else ():
            found.append((_dumped(one), _word(one)))
            self.of_options -= len(found[-1][0])
            if self.of_options < 0:
                return []
        return found


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The schema behind references and alternatives with null."""

    schema: Schema
    is_nullable: bool
    references: frozenset[str]


def properties_of(schema: Schema) -> dict[str, Schema]:
    """Return the schemas of the members that can have a value."""
    found = schema.get("properties")
    known = found.items() if isinstance(found, Mapping) else ()
    return {name: {} if own is True else own for name, own in known if own is True or isinstance(own, Mapping)}


def fields_of(schema: Schema | None, values: Mapping[str, Any]) -> list[Field]:
    """Return a field for each parameter in the schema, with its value or its default."""
    known = properties_of(schema or {})
    shown = {name: known[name] for name in list(known)[:MOST_FIELDS]}
    form = _Form(schema or {}, MOST_FIELDS - len(shown))
    return _members(shown, schema or {}, values, (), form)


def _members(
    known: Mapping[str, Schema],
    schema: Schema,
    values: Mapping[str, Any],
    path: Path,
    form: _Form,
    within: frozenset[str] = frozenset(),
) -> list[Field]:
    required = schema.get("required")
    listed = required[:MOST_REQUIRED] if isinstance(required, list) else []
    needed = {name for name in listed if isinstance(name, str)}
    return [
        _field(own, (*path, name), values.get(name, NO_VALUE), name in needed, form, within)
        for name, own in sorted(known.items(), key=lambda member: _position(member[1]))
    ]


def _position(own: Schema) -> int:
    position = own.get("position")
    return position if isinstance(position, int) else 0


def _field(own: Schema, path: Path, value: Any, is_required: bool, form: _Form, within: frozenset[str]) -> Field:
    found = _resolved(own, form.root)
    is_default = value is NO_VALUE and form.of_defaults > 0
    if is_default:
        value = own.get("default", found.schema.get("default", NO_VALUE))
    made = Field(path, "json", is_required, found.is_nullable, _help_of(own, found.schema), value)
    known = {} if found.references & within else _shown_members(made, found.schema, form)
    if known:
        made.kind = "object"
        inner = value if isinstance(value, Mapping) else {}
        made.fields = _members(known, found.schema, inner, path, form, within | found.references)
        if is_default and inner:
            form.of_defaults -= len(_dumped(value))
        return made
    _choose_kind(made, found.schema, form)
    if value is not NO_VALUE:
        try:
            made.text = text_of(made, value)
        except Unreadable:
            # A template, or a value of another type, is shown as JSON.
            made.kind, made.choices = "json", ()
            made.text = text_of(made, value)
    if is_default:
        form.of_defaults -= len(made.text)
    return made


def _help_of(own: Schema, resolved: Schema) -> str:
    text = own.get("description") or resolved.get("description")
    if not isinstance(text, str):
        return ""
    return text if len(text) <= LONGEST_HELP else f"{text[:LONGEST_HELP]}…"


def _shown_members(made: Field, schema: Schema, form: _Form) -> dict[str, Schema]:
    """Return the members that have fields, which are counted; none if the value is not an object of just those."""
    found, value = schema.get("properties"), made.value
    if schema.get("type") != "object" or not isinstance(found, Mapping) or "enum" in schema:
        return {}
    if len(made.path) > DEEPEST or len(found) > form.fields:
        return {}
    known = properties_of(schema)
    if any(len(name) > LONGEST_NAME for name in (*made.path, *known)):
        return {}
    if isinstance(value, Mapping):
        fits = KIND not in value and value.keys() <= known.keys()
    else:
        fits = value is NO_VALUE or (value is None and made.is_nullable)
    if fits:
        form.fields -= len(known)
    return known if fits else {}


def _choose_kind(made: Field, resolved: Schema, form: _Form) -> None:
    kind, formatted = resolved.get("type"), resolved.get("format")
    if isinstance(options := resolved.get("enum"), list) and options:
        if choices := form.choices(options):
            made.kind, made.choices = "choice", choices
    elif kind == "array":
        items = resolved.get("items")
        item = _resolved(items, form.root) if isinstance(items, Mapping) else None
        if item and not item.is_nullable and "enum" not in item.schema:
            own = item.schema.get("type")
            if isinstance(own, str) and own in {"string", "integer", "number"}:
                made.kind, made.item = "list", SCALARS[own]
    elif isinstance(kind, str) and kind in SCALARS:
        made.kind = FORMATS.get(str(formatted), "text") if kind == "string" else SCALARS[kind]
        if made.kind == "boolean" and (made.is_nullable or not isinstance(made.value, bool)):
            made.kind, made.choices = "choice", [("true", "true"), ("false", "false")]


def _resolved(own: Schema, root: Schema) -> _Resolved:
    is_nullable, references = False, set()
    for _ in range(20):
        if isinstance(reference := own.get("$ref"), str):
            references.add(reference)
            own = _referred(reference, root)
        elif isinstance(parts := own.get("allOf"), list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            own = parts[0]
        elif isinstance(parts := own.get("anyOf", own.get("oneOf")), list):
            others = [one for one in parts[:MOST_ALTERNATIVES] if not _is_null(one)]
            is_nullable = is_nullable or len(others) < len(parts[:MOST_ALTERNATIVES])
            if len(parts) > MOST_ALTERNATIVES or len(others) != 1 or not isinstance(others[0], Mapping):
                own = {}
                break
            own = others[0]
        elif isinstance(kinds := own.get("type"), list) and len(kinds) == 2 and "null" in kinds:
            is_nullable = True
            own = {**own, "type": next((one for one in kinds if one != "null"), None)}
        else:
            break
    return _Resolved(own, is_nullable, frozenset(references))


def _is_null(own: Any) -> bool:
    return isinstance(own, Mapping) and own.get("type") == "null"


def _referred(reference: str, root: Schema) -> Schema:
    if len(reference) > LONGEST_REFERENCE:
        return {}
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text_of(made: Field, value: Any) -> str:
    """Return the value as the field's input shows it. Raises Unreadable if it cannot be shown."""
    if made.kind == "choice" and (text := _dumped(value)) in dict(made.choices):
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
    text = _dumped(value)
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


def shown_texts(fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each field, with those of objects."""
    for one in fields:
        yield one.name, one.text
        yield from shown_texts(one.fields)


def marks_of(fields: Iterable[Field]) -> str:
    """Return a mark for each field that has an input. It says what is shown, and how what is sent is read.

    Call it before the fields are read. Whether a field was empty counts, because an empty text means something else if
    the field has a default.
    """
    return " ".join(_mark_of(one) for one in _inputs(fields)) or "none"


def _mark_of(one: Field) -> str:
    shown = [one.name, one.kind, one.item, one.is_nullable, not one.text, list(one.choices)]
    return sha256(_dumped(shown).encode(errors="surrogatepass")).hexdigest()[:MARK]


def _inputs(fields: Iterable[Field]) -> Iterator[Field]:
    for one in fields:
        if one.kind == "object":
            yield from _inputs(one.fields)
        else:
            yield one


def has_other_fields(marks: str, sent: QueryDict) -> bool:
    """Whether the form that was sent had other fields. Programs send no marks, and know what they send."""
    known = sent.get(MARKS, "").split()
    return bool(known) and set(known) != set(marks.split())


def keep_typed(fields: Sequence[Field], sent: QueryDict) -> str:
    """Show what was sent in those fields that the form had, too; return the other texts as words."""
    known, names = set(sent.get(MARKS, "").split()), set[str]()
    for one in _inputs(fields):
        if _mark_of(one) in known:
            one.text = _text_sent(one, sent)
            names.add(one.name)
    others = [(name, text) for name, text in sent.items() if name.startswith(PREFIX) and name not in names]
    return "; ".join(f"{_words_of(name)}: {_shortened(str(text))}" for name, text in others[:MOST_QUOTED] if text)


def _words_of(name: str) -> str:
    return _shortened(".".join(unquote(part) for part in name.removeprefix(PREFIX).split("/")))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}…"


def _text_sent(one: Field, sent: QueryDict) -> str:
    text = ("true" if one.name in sent else "false") if one.kind == "boolean" else sent.get(one.name, "")
    return text.replace("\r\n", "\n")


def read_fields(fields: Iterable[Field], sent: QueryDict) -> dict[str, Any]:
    """Return the submitted values without empty ones. A text that is not valid becomes an error of its field."""
    values: dict[str, Any] = {}
    for one in fields:
        if one.kind == "object":
            inner = read_fields(one.fields, sent)
            one.is_touched = any(field.is_touched for field in one.fields)
            # An object without a given value is absent unless a field in it was changed, whatever their defaults.
            if not one.is_touched and one.value is not NO_VALUE:
                values[one.label] = one.value
            elif one.is_touched or one.is_required:
                values[one.label] = inner if one.is_touched or not one.is_nullable else None
            continue
        shown = one.text
        one.text = _text_sent(one, sent)
        one.is_touched = _as_sent(one.kind, one.text) != _as_sent(one.kind, shown)
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


def _as_sent(kind: str, text: str) -> str:
    # Browsers leave out seconds that are zero: they send 2026-01-31T06:00 for 2026-01-31T06:00:00.
    return text[:-3] if kind == "moment" and len(text) == 19 and text.endswith(":00") else text


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
