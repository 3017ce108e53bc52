"""A flow's parameters as a JSON schema: pages draw a form from it, and the API validates requests against it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orionflow.options.parameters import annotations_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_REFERENCE = "#/definitions/{model}"


def parameter_schema(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Return the schema of a function's parameters; types that JSON schema cannot express are left open."""
    hints = annotations_of(fn)
    named = [one for one in signature.parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    types, definitions = _schemas({one.name: hints.get(one.name, Any) for one in named})
    schema: dict[str, Any] = {
        "title": "Parameters",
        "type": "object",
        "properties": {one.name: _property(one, place, types[one.name]) for place, one in enumerate(named)},
        "required": [one.name for one in named if one.default is one.empty],
        "definitions": definitions,
    }
    if not any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values()):
        schema["additionalProperties"] = False
    return schema


def _property(parameter: inspect.Parameter, place: int, type: dict[str, Any]) -> dict[str, Any]:
    described = {"title": parameter.name, "position": place, **_default(parameter)}
    if "$ref" in type:
        # Next to a `$ref`, other keywords are ignored.
        return {"allOf": [type], **described}
    return {**type, **described}


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is parameter.empty:
        return {}
    from pydantic_core import from_json, to_json

    try:
        return {"default": from_json(to_json(parameter.default))}
    except Exception:
        # A default that is not JSON stays the function's own, and is not shown.
        return {}


def _schemas(hints: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type, and the definitions that they refer to."""
    from pydantic import TypeAdapter

    known = {name: adapter for name, hint in hints.items() if (adapter := _adapter(hint)) is not None}
    if not known:
        return dict.fromkeys(hints, {}), {}
    asked: Any = [(name, "validation", adapter) for name, adapter in known.items()]
    found, shared = TypeAdapter.json_schemas(asked, ref_template=_REFERENCE)
    types = {name: dict(found[name, "validation"]) if name in known else {} for name in hints}
    return types, shared.get("$defs", {})


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:
            # A model has a configuration of its own.
            adapter = TypeAdapter(hint)
        adapter.json_schema(ref_template=_REFERENCE)
    except Exception:
        return None
    return adapter
