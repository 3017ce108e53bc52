"""Names of the SDK with their signatures and docstrings, where a page has `::: orionflow.flow` as for mkdocstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

_DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def filled_in(markdown: str) -> str:
    return _DIRECTIVE.sub(lambda found: described(found[1]), markdown)


def described(path: str) -> str:
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    return "\n\n".join(["", *_parts(f"### {name}", name, found), *_members(name, found), ""])


def _parts(heading: str, name: str, found: Any) -> Iterator[str]:
    yield heading
    if signature := _signature(found):
        # Left of the bracket is what a reader types.
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


def _members(name: str, kind: Any) -> Iterator[str]:
    if not inspect.isclass(kind):
        return
    for member, found in inspect.getmembers(kind, inspect.isroutine):
        if not member.startswith("_") and found.__module__.startswith("orionflow") and _text(found):
            yield from _parts(f"#### {name}.{member}", member, found)


def _text(found: Any) -> str:
    """Its own docstring: an instance of a class has none."""
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
