"""Names of the SDK with signatures and docstrings, for directives of mkdocstrings such as `::: orionflow.flow`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

# With the members that are listed, if any; other members are parts of the engine.
DIRECTIVE = re.compile(r"^::: ([\w.]+)$(?:\n +options:\n +members: \[(.*)\]$)?", re.MULTILINE)


def filled_in(markdown: str) -> str:
    return DIRECTIVE.sub(lambda found: described(found[1], named_members(found[2])), markdown)


def named_members(listed: str | None) -> list[str]:
    return [one.strip() for one in listed.split(",")] if listed else []


def described(path: str, members: Iterable[str]) -> str:
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    return "\n\n".join(["", *_parts(f"### {name}", name, found), *_members(name, found, members), ""])


def _parts(heading: str, name: str, found: Any) -> Iterator[str]:
    yield heading
    if signature := _signature(found):
        # The text before the parenthesis is what users type.
        yield f"```python\n{name}{signature}\n```"
    if text := _text(found):
        yield text


class _Plain:
    """An annotation that is shown as it was written, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _plain(annotation: object) -> object:
    return _Plain(annotation) if isinstance(annotation, str) else annotation


def _members(name: str, kind: Any, members: Iterable[str]) -> Iterator[str]:
    for member in members:
        yield from _parts(f"#### {name}.{member}", member, getattr(kind, member))


def _text(found: Any) -> str:
    """Return the object's own docstring."""
    text = getattr(found, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""


def _signature(found: Any) -> str:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return ""
    parameters = [
        one.replace(annotation=_plain(one.annotation))
        for one in signature.parameters.values()
        if one.name not in ("self", "cls")
    ]
    shown = signature.replace(parameters=parameters, return_annotation=_plain(signature.return_annotation))
    if len(str(shown)) <= 90:
        return str(shown)
    returned = str(shown).rpartition(")")[2]
    return "\n".join(["(", *(f"    {line}," for line in _lines(parameters)), f"){returned}"])


def _lines(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or one.kind is one.VAR_POSITIONAL
        yield str(one)
