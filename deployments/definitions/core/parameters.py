"""Validation of parameters against the JSON schema that was made from a flow's signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from deployments.definitions.core.bounded_schemas import PROBLEMS, flaws_of_schema, pay_for_walks, validator_of
from deployments.definitions.core.schema_work import TooMuchWork, Work

Schema = Mapping[str, Any]
# The number of errors among which the most specific one is searched.
MOST_FLAWS = 1000
# Keywords whose content is a value, not a schema.
_VALUES = frozenset({"default", "const", "enum", "examples"})
# Keywords that contain schemas by names that the author chose.
_BY_NAME = frozenset({"properties", "patternProperties", "definitions", "$defs", "dependentSchemas"})


def flaw_of_schema(schema: Schema) -> str | None:
    """Return why this is not a JSON schema; None if it is one."""
    # Imported here because it loads many modules for a check that few processes do.
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    work = Work()
    try:
        pay_for_walks(schema, work)
        error = best_match(islice(flaws_of_schema(modern(schema), work), MOST_FLAWS))
    except RecursionError:
        return "a pattern in it, or it itself, is nested too deeply"
    except TooMuchWork:
        return "it has too many parts, or too long ones, to be checked"
    except PROBLEMS as error:
        return f"it cannot be read: {error}"
    return None if error is None else _describe(error)


def mismatch(parameters: Mapping[str, Any], schema: Schema, *, partial: bool = False) -> str | None:
    """Return the error of the parameters, or None. With `partial`, required ones may be missing."""
    return judge_of(schema, Work(), partial=partial)(parameters)


def judge_of(schema: Schema, work: Work, *, partial: bool = False) -> Callable[[Mapping[str, Any]], str | None]:
    """Return a function that returns the error of parameters, or None. All its calls share the `work` budget."""
    from jsonschema.exceptions import best_match

    try:
        pay_for_walks(schema, work)
        validator = validator_of(relaxed(schema, partial=partial), work)
    except not_followed() as error:
        reason = why_not_followed(error)
        return lambda parameters: f"the schema {reason}"

    def judge(parameters: Mapping[str, Any]) -> str | None:
        try:
            error = best_match(islice(validator.iter_errors(parameters), MOST_FLAWS))
        except not_followed() as error:
            return f"the schema {why_not_followed(error)}"
        return None if error is None else _describe(error)

    return judge


def not_followed() -> tuple[type[Exception], ...]:
    """Return the exceptions that a validator raises for a schema with broken references."""
    from referencing.exceptions import Unresolvable

    return (Unresolvable, RecursionError, TooMuchWork, *PROBLEMS)


def why_not_followed(error: Exception) -> str:
    from referencing.exceptions import Unresolvable

    match error:
        case Unresolvable():
            return f"refers to {error.ref!r}, which is not in it"
        case RecursionError():
            return "refers to itself without end, or has too many parts within each other"
        case TooMuchWork():
            return "asks for too much work; send fewer values, or let its parts refer to each other less often"
    return f"cannot be followed: {error}"


def modern(schema: Any) -> Any:
    """Return the schema with tuples in today's form: older clients list their members as `items`."""
    match schema:
        case list():
            return [modern(one) for one in schema]
        case {"items": list() as members} if "$schema" not in schema:
            rest = {name: modern(one) for name, one in schema.items() if name not in {"items", "additionalItems"}}
            further = {"items": modern(schema["additionalItems"])} if "additionalItems" in schema else {}
            return {**rest, "prefixItems": modern(members), **further}
        case {"$schema": str(), **others}:
            # A part that names an older draft would be validated by another validator than the rest.
            return modern(others)
        case dict():
            return {name: one if name in _VALUES else modern(one) for name, one in schema.items()}
    return schema


def relaxed(schema: Schema, *, partial: bool) -> dict[str, Any]:
    """Return the schema as signatures mean it: an argument or a model's field with a default may also be null."""
    schema = modern(schema)
    loose = {**schema, **_with_nulls(schema)}
    for place in ("definitions", "$defs"):
        if isinstance(inner := schema.get(place), Mapping):
            loose[place] = {
                name: {**one, **_with_nulls(one)} if isinstance(one, Mapping) else one for name, one in inner.items()
            }
    return _without_required(loose) if partial else loose


def _without_required(schema: Any) -> Any:
    """Return the schema without required parts. A property may itself have the name `required`."""
    match schema:
        case list():
            return [_without_required(one) for one in schema]
        case Mapping():
            return {
                name: one if name in _VALUES else _by_name(one) if name in _BY_NAME else _without_required(one)
                for name, one in schema.items()
                if name != "required"
            }
    return schema


def _by_name(parts: Any) -> Any:
    if not isinstance(parts, Mapping):
        return parts
    return {name: _without_required(one) for name, one in parts.items()}


def _with_nulls(schema: Schema) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {"properties": dict(_properties(properties, schema.get("required") or ()))}


def _properties(properties: Mapping[str, Any], required: Any) -> Iterator[tuple[str, Any]]:
    for name, own in properties.items():
        yield name, own if name in required else {"anyOf": [own, {"type": "null"}]}


def _describe(error: Any) -> str:
    """Return the message of the most specific nested error, with the path to it."""
    for inner in error.context or ():
        if inner.validator_value != "null":
            error = inner
            break
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where}: {error.message}" if where else error.message
