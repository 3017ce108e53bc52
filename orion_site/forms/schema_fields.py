"""Fields of a form made from a JSON schema: that of a flow's signature, of a block, or of the input of a pause.

A value that fields cannot show (a union of types, a list of objects, an object with members that its schema does not
name) is a JSON field. A field or an object that is sent unchanged keeps its original value, so that showing it loses
nothing. A form sends marks of the fields that it had: fields that it did not have are not taken for empty ones. However
a schema refers to itself, the form stays within a number of fields, options and characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.definitions.core.hydration import KIND
from orion_site.forms.schema_values import NO_VALUE, Field, Path, Schema, Unreadable, dumped, text_of

# Objects that are deeper, or whose members would be more fields than the form may have in all, are JSON fields.
DEEPEST, MOST_FIELDS = 3, 200
# Names repeat in each field below them. Objects with longer ones are JSON fields.
LONGEST_NAME = 255
# A schema can refer many times to one long description, default or list of options.
LONGEST_HELP, MOST_OF_DEFAULTS, MOST_OPTIONS, MOST_OF_OPTIONS = 5_000, 500_000, 10_000, 500_000
# More alternatives, names and characters than these are not read for each field.
MOST_ALTERNATIVES, MOST_REQUIRED, LONGEST_REFERENCE = 100, 1_000, 2_000
SCALARS = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
FORMATS = {"date": "date", "date-time": "moment"}


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
            found.append((dumped(one), _word(one)))
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


def required_of(schema: Schema) -> set[str]:
    """Return the names of the members that must have a value."""
    required = schema.get("required")
    listed = required[:MOST_REQUIRED] if isinstance(required, list) else []
    return {name for name in listed if isinstance(name, str)}


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
    needed = required_of(schema)
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
            form.of_defaults -= len(dumped(value))
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


def _word(value: Any) -> str:
    return value if isinstance(value, str) else dumped(value)
