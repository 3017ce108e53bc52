"""Blocks as values: the checksum of a schema, the secret parts of a document, and its references."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from orionflow.contract.masking import MASK, secrets_in

ANY = "*"


def checksum_of(fields: Mapping[str, Any]) -> str:
    """Return the checksum that client and server compute alike, from the fields without secrets and nested blocks."""
    schema = _without_key("secret_fields", fields)
    definitions = schema.pop("definitions", None) or {}
    if kept := _plain_definitions(schema, definitions):
        schema["definitions"] = kept
    return f"sha256:{sha256(json.dumps([[schema], {}], sort_keys=True).encode()).hexdigest()}"


def secret_paths(fields: Mapping[str, Any]) -> list[list[str]]:
    """Return the paths of a schema's secret fields. A path that ends with a star covers everything below.

    Fields with the format `password`, or that are write-only, are secret even if `secret_fields` does not name them.
    """
    properties = fields.get("properties")
    written_only = (
        [[name] for name, inner in properties.items() if _hides(inner)] if isinstance(properties, dict) else []
    )
    return [path.split(".") for path in named_secrets(fields)] + written_only


def named_secrets(fields: Mapping[str, Any]) -> list[str]:
    """Return a schema's own list of secret fields, without entries that are not names."""
    named = fields.get("secret_fields")
    return [path for path in named if isinstance(path, str)] if isinstance(named, list) else []


def hidden_paths(shown: Mapping[str, Any], whole: Mapping[str, Any]) -> list[list[str]]:
    """Return the paths at which a document shows a mask instead of its value."""
    paths: list[list[str]] = []
    for name, value in whole.items():
        seen = shown.get(name)
        if seen == MASK != value:
            paths.append([name])
        elif isinstance(value, dict) and isinstance(seen, dict):
            paths += [[name, *rest] for rest in hidden_paths(seen, value)]
    return paths


def hidden_values(shown: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that a document holds but does not show."""
    for name, value in whole.items():
        seen = shown.get(name)
        if seen == MASK != value:
            yield from secrets_in(value)
        elif isinstance(value, dict) and isinstance(seen, dict):
            yield from hidden_values(seen, value)


def masked(content: Mapping[str, Any], paths: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return the content without its secrets. A secret that has no value is shown as null."""
    shown = dict(content)
    for path in paths:
        shown = _masked_at(shown, path)
    return shown


def with_secrets_kept(new: Mapping[str, Any], shown: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new content with those secrets restored that were sent back masked, as they were shown."""
    return {name: _kept(value, shown.get(name), whole.get(name)) for name, value in new.items()}


def split_references(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the plain content, and for each field that refers to a document the id of that document.

    Raises ValueError for a reference that names no document.
    """
    references = {name: _target(name, value) for name, value in content.items() if _is_reference(value)}
    return {name: value for name, value in content.items() if name not in references}, references


def _hides(definition: Any) -> bool:
    if not isinstance(definition, dict):
        return False
    return definition.get("format") == "password" or definition.get("writeOnly") is True


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "$ref" in value


def _target(name: str, value: dict[str, Any]) -> str:
    target = value["$ref"].get("block_document_id") if isinstance(value["$ref"], dict) else None
    if not isinstance(target, str):
        raise ValueError(f"The reference in {name!r} names no block_document_id.")
    return target


def _masked_at(value: Any, path: Sequence[str]) -> Any:
    if not path or not isinstance(value, dict):
        return None if value is None else MASK
    first, rest = path[0], path[1:]
    names = list(value) if first == ANY else [first] if first in value else []
    # "a.*" hides the values of a dictionary, including nested ones.
    return {**value, **{name: _masked_at(value[name], rest) for name in names}}


def _kept(new: Any, shown: Any, whole: Any) -> Any:
    if new == MASK == shown:
        return whole
    if isinstance(new, dict) and isinstance(shown, dict) and isinstance(whole, dict):
        return with_secrets_kept(new, shown, whole)
    return new


def _without_key(key: str, value: Any) -> Any:
    # Lists stay as they are, because clients leave them alone when they compute the checksum.
    if not isinstance(value, dict):
        return value
    return {name: _without_key(key, inner) for name, inner in value.items() if name != key}


def _plain_definitions(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definitions that are used without passing through another block, which has a checksum of its own."""
    kept: dict[str, Any] = {}
    ahead = list(_referred(schema))
    while ahead:
        name = ahead.pop()
        definition = definitions.get(name)
        if isinstance(definition, dict) and name not in kept and definition.get("block_type_slug") is None:
            kept[name] = definition
            ahead.extend(_referred(definition))
    return kept


def _referred(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/definitions/")
        for inner in value.values():
            yield from _referred(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _referred(inner)
