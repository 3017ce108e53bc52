"""Parameters that stand for other values, such as `{"__prefect_kind": "json", "value": "…"}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

KIND = "__prefect_kind"


class BadTemplate(ValueError):
    """A template that cannot be filled in. The message says why, and what to do instead."""


def variables_named(value: Any) -> Iterator[str]:
    """Yield the names of the variables that templates in `value` refer to."""
    match value:
        case {"__prefect_kind": "workspace_variable", "variable_name": str(name)}:
            yield name
        case dict():
            for inner in value.values():
                yield from variables_named(inner)
        case list():
            for inner in value:
                yield from variables_named(inner)


def hydrated(value: Any, variables: Mapping[str, str]) -> Any:
    """Return `value` with every template in it replaced by its value."""
    match value:
        case list():
            return [hydrated(inner, variables) for inner in value]
        case dict() if KIND in value:
            return _filled_in(value, variables)
        case dict():
            return {name: hydrated(inner, variables) for name, inner in value.items()}
    return value


def _filled_in(template: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    match template[KIND]:
        case None | "none":
            return hydrated(template.get("value"), variables)
        case "json":
            return _from_json(template.get("value"))
        case "workspace_variable":
            return _variable(template.get("variable_name"), variables)
        case "jinja":
            return _without_expressions(template.get("template"))
        case kind:
            raise BadTemplate(f"Templates of kind {kind!r} are unknown; send the value itself.")


def _from_json(text: Any) -> Any:
    if not isinstance(text, str):
        raise BadTemplate('A template of kind "json" needs a "value": a text that holds JSON.')
    if "\\u0000" in text:
        raise BadTemplate("Text must not contain the character NUL (\\u0000).")
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise BadTemplate(f"Invalid JSON in a parameter: {error}.") from None


def _variable(name: Any, variables: Mapping[str, str]) -> str:
    if not isinstance(name, str) or name not in variables:
        raise BadTemplate(f"There is no variable {name!r}; make it first.")
    return variables[name]


def _without_expressions(template: Any) -> str:
    if not isinstance(template, str) or "{{" in template or "{%" in template:
        raise BadTemplate("Jinja expressions in parameters are not supported; send the value itself.")
    return template
