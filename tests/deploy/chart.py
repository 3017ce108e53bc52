"""A reader of the chart's templates: the part of Go's template language, and of Helm's functions, that they use.

Helm itself cannot be installed where these tests run. Everything that this reader does not know is an error, so that
templates stay simple.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s|()]+|[|()]')
Node = tuple[str, Any]


class Chart:
    """Templates with the values of a release."""

    def __init__(self, folder: Path, name: str = "demo", namespace: str = "flows", **values: Any) -> None:
        chart = yaml.safe_load((folder / "Chart.yaml").read_text())
        self.values = _merged(yaml.safe_load((folder / "values.yaml").read_text()), values)
        self.scope = {
            "Values": self.values,
            "Release": {"Name": name, "Namespace": namespace, "Service": "Helm"},
            "Chart": {"Name": chart["name"], "AppVersion": chart["appVersion"], "Version": chart["version"]},
        }
        self.defined: dict[str, list[Node]] = {}
        self.used: set[str] = set()
        self._render(_parsed((folder / "templates" / "_helpers.tpl").read_text()))
        self.texts = {
            path.name: self._render(_parsed(path.read_text())) for path in sorted((folder / "templates").glob("[!_]*"))
        }

    @property
    def objects(self) -> list[dict[str, Any]]:
        texts = [text for name, text in self.texts.items() if name.endswith(".yaml")]
        return [one for text in texts for one in yaml.safe_load_all(text) if one]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
        return found

    def _render(self, nodes: list[Node]) -> str:
        text = ""
        for kind, what in nodes:
            match kind:
                case "text":
                    text += what
                case "define":
                    self.defined[what[0]] = what[1]
                case "if":
                    condition, then, otherwise = what
                    text += self._render(then if self._value(condition) else otherwise)
                case "value":
                    value = self._value(what)
                    text += "" if value is None else _shown(value)
        return text

    def _value(self, expression: str) -> Any:
        words = _WORD.findall(expression)
        value, rest = self._call(words)
        while rest and rest[0] == "|":
            value, rest = self._call([*rest[1:]], piped=[value])
        assert not rest, f"cannot be read: {expression}"
        return value

    def _call(self, words: list[str], piped: list[Any] | None = None) -> tuple[Any, list[str]]:
        name, rest, arguments = words[0], words[1:], []
        while rest and rest[0] not in ("|", ")"):
            if rest[0] == "(":
                value, rest = self._call(rest[1:])
                arguments, rest = [*arguments, value], rest[1:]
            else:
                arguments, rest = [*arguments, self._atom(rest[0])], rest[1:]
        if not arguments and piped is None and (name[0] in '."' or name.isdigit()):
            return self._atom(name), rest
        return self._function(name, [*arguments, *(piped or [])]), rest

    def _function(self, name: str, given: list[Any]) -> Any:
        match name, given:
            case "include", [str(template), _]:
                return self._render(self.defined[template])
            case "toYaml", [value]:
                return yaml.safe_dump(value, sort_keys=False).rstrip("\n")
            case "nindent", [int(width), str(text)]:
                return "\n" + "\n".join(" " * width + line if line else line for line in text.split("\n"))
            case "quote", [value]:
                return json.dumps(_shown(value))
            case "default", [usual, value]:
                return value or usual
            case "not", [value]:
                return not value
            case "add", [int(one), int(other)]:
                return one + other
        raise AssertionError(f"the reader does not know {name} with {len(given)} arguments")

    def _atom(self, word: str) -> Any:
        if word.startswith('"'):
            return json.loads(word)
        if word.isdigit():
            return int(word)
        if word == ".":
            return self.scope
        assert word.startswith("."), f"the reader does not know {word}"
        value: Any = self.scope
        for part in word[1:].split("."):
            # Helm prints nothing for what is not there; a typing mistake is to be seen here.
            assert part in value, f"{word} is not in the values"
            value = value[part]
        self.used.add(word)
        return value


def _parsed(source: str) -> list[Node]:
    nodes, rest = _block(list(_tokens(source)), ())
    assert not rest, rest
    return nodes


def _tokens(source: str) -> Iterator[Node]:
    """Texts and actions; a dash in an action takes the space on its side."""
    at, trims = 0, False
    for found in re.finditer(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", source, re.DOTALL):
        text = source[at : found.start()]
        text = text.lstrip() if trims else text
        yield "text", text.rstrip() if found[1] else text
        yield "action", found[2]
        at, trims = found.end(), bool(found[3])
    text = source[at:]
    yield "text", text.lstrip() if trims else text


def _block(tokens: list[Node], until: tuple[str, ...]) -> tuple[list[Node], list[Node]]:
    nodes: list[Node] = []
    while tokens:
        (kind, what), *tokens = tokens
        verb, _, rest = what.partition(" ") if kind == "action" else ("", "", "")
        if kind == "text":
            nodes.append((kind, what))
        elif verb in until:
            return nodes, [(kind, what), *tokens]
        elif verb == "define":
            body, tokens = _block(tokens, ("end",))
            nodes.append(("define", (json.loads(rest), body)))
            tokens = tokens[1:]
        elif verb == "if":
            then, tokens = _block(tokens, ("else", "end"))
            otherwise: list[Node] = []
            if tokens[0][1] == "else":
                otherwise, tokens = _block(tokens[1:], ("end",))
            nodes.append(("if", (rest, then, otherwise)))
            tokens = tokens[1:]
        elif not what.startswith("/*"):
            nodes.append(("value", what))
    assert not until, f"{until} is missing"
    return nodes, []


def _merged(usual: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {name: _merged(usual[name], value) for name, value in own.items() if isinstance(usual.get(name), dict)}
    return {**usual, **own, **both}


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
