"""JSON schemas of strangers: values are held to them within bounded work, and nothing is fetched for it.

Python's own expressions can take years for a short text, and hold up every thread meanwhile. Patterns are therefore
matched by the engine of pydantic, which is as fast as the text is long. What it does not know, it cannot judge: that is
left to the run itself, which validates its parameters once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import SchemaError, SchemaValidator

FUEL = 20_000_000
PER_KEYWORD = 100
PER_REFERENCE = 500
PER_PATTERN = 100
# Keywords within keywords; Python's own limit would be met inside of a library that does not survive it.
DEEPEST = 100
# Each takes some kilobytes, and those of all branches of an `anyOf` are there at once.
PER_FLAW = 300
LONGEST_MATCHED = 10_000
Keyword = Callable[..., Iterable[Any] | None]
# What a strange schema makes its library raise while a value is held to it.
PROBLEMS: tuple[type[Exception], ...] = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, re.error)


class TooMuchWork(Exception):
    """Values could not be held to a schema in bounded time."""


class _Work:
    """What may be done for one validation."""

    def __init__(self) -> None:
        self._left = FUEL
        self._depth = 0

    def go_deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise RecursionError

    def come_back(self) -> None:
        self._depth -= 1

    def burn(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise TooMuchWork

    def may_match(self, pattern: str, text: str) -> bool | None:
        """Whether the pattern is found in the text; None if nobody can say in bounded time."""
        self.burn(PER_PATTERN + len(text))
        search = _search(pattern) if len(text) <= LONGEST_MATCHED else None
        return None if search is None else search.isinstance_python(text)


@lru_cache(maxsize=256)
def _search(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator({"type": "str", "pattern": pattern, "regex_engine": "rust-regex"})
    except SchemaError:
        return None


def validator_of(schema: Mapping[str, Any], *, formats: bool = False) -> Any:
    """What holds values to the schema, once; to the formats that it names as well, if asked to."""
    import jsonschema  # type: ignore[import-untyped]
    from referencing import Registry

    usual = jsonschema.Draft202012Validator
    kind = jsonschema.validators.extend(usual, _keywords(_Work(), usual.VALIDATORS, schema))
    # An empty registry: a schema that refers to another address must not make the server ask there.
    return kind(schema, registry=Registry(), format_checker=usual.FORMAT_CHECKER if formats else None)


def _keywords(work: _Work, usual: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    from jsonschema import ValidationError

    def reference(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[Any]:
        work.burn(PER_REFERENCE)
        yield from usual["$ref"](validator, ref, instance, schema)

    def pattern(validator: Any, text: str, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, str) and work.may_match(text, instance) is False:
            yield ValidationError(f"{instance!r} does not match {text!r}")

    def pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
        for one, inner in patterns.items() if isinstance(instance, dict) else ():
            for name, value in instance.items():
                if work.may_match(one, name):
                    yield from validator.descend(value, inner, path=name, schema_path=one)

    def additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            patterns = schema.get("patternProperties", {})
            named = {name for name in instance if any(work.may_match(one, name) is not False for one in patterns)}
            rest = {name: value for name, value in instance.items() if name not in named}
            plain = {key: value for key, value in schema.items() if key != "patternProperties"}
            yield from usual["additionalProperties"](validator, allowed, rest, plain)

    def unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
        if wanted and isinstance(instance, list) and len({_comparable(one) for one in instance}) < len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")

    own: dict[str, Any] = {"$ref": reference, "pattern": pattern, "uniqueItems": unique}
    if _mentions(schema, "patternProperties"):
        # Its own search for what was evaluated goes by the expressions of Python.
        own |= {"patternProperties": pattern_properties, "additionalProperties": additional}
        own["unevaluatedProperties"] = _nothing
    return {name: _metered(keyword, work) for name, keyword in {**usual, **own}.items()}


def _metered(keyword: Keyword, work: _Work) -> Keyword:
    """A few keywords within each other may be held to every one of many values."""

    def metered(validator: Any, *given: Any) -> Iterator[Any]:
        work.burn(PER_KEYWORD)
        work.go_deeper()
        try:
            for flaw in keyword(validator, *given) or ():
                work.burn(PER_FLAW)
                yield flaw
        finally:
            work.come_back()

    return metered


def _comparable(value: Any) -> Any:
    """Equal for values that JSON takes for the same: 1 and 1.0 are, 1 and true are not."""
    match value:
        case bool():
            return "bool", value
        case list():
            return "list", tuple(_comparable(one) for one in value)
        case dict():
            return "dict", frozenset((name, _comparable(one)) for name, one in value.items())
    return value


def _nothing(*_: Any) -> Iterable[Any]:
    return ()


def _mentions(schema: Any, keyword: str) -> bool:
    match schema:
        case list():
            return any(_mentions(one, keyword) for one in schema)
        case dict():
            return keyword in schema or any(_mentions(one, keyword) for one in schema.values())
    return False
