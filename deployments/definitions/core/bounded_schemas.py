"""JSON schemas from untrusted sources: values are validated within bounded work, and no other address is fetched.

Python's regular expressions can take years for a short text, and block all other threads meanwhile. Patterns are
therefore matched by pydantic's engine, in linear time. Patterns that it does not support are not checked here; the run
itself validates its parameters again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from deployments.definitions.core.schema_work import TooMuchWork, Work, cut, shown

__all__ = ["PROBLEMS", "flaws_of_schema", "pay_for_walks", "validator_of"]

PER_KEYWORD = 100
PER_STEP = 4
PER_NAME = 50
PER_CHILD = 150
PER_REFERENCE = 500
# The number of passes: a schema is searched, converted and copied before the first value is validated.
WALKS = 8
# An error takes some kilobytes, and those of all branches of an `anyOf` exist at the same time.
PER_FLAW = 300
# Characters. References within schemas are joined and compared at each step.
LONGEST_ADDRESS = 2000
ADDRESSES = ("$id", "$ref", "$dynamicRef", "$anchor", "$dynamicAnchor", "format")
Keyword = Callable[..., Iterable[Any] | None]
# Exceptions that the library raises for unusual schemas while it validates a value.
PROBLEMS: tuple[type[Exception], ...] = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, re.error)
VOCABULARIES = ("core", "applicator", "unevaluated", "validation", "meta-data", "format-annotation", "content")


def validator_of(schema: Mapping[str, Any], work: Work, *, formats: bool = False) -> Any:
    """Return a validator for one use. With `formats` it also checks the formats that the schema names."""
    import jsonschema  # type: ignore[import-untyped]

    own = _Keywords(work, jsonschema.Draft202012Validator.VALIDATORS, schema, judges_patterns=formats).table()
    return _bounded(schema, own, work, _formats() if formats else None)


def flaws_of_schema(schema: Any, work: Work) -> Iterator[Any]:
    """Yield the errors of a schema according to the meta-schema."""
    import jsonschema

    keywords = _Keywords(work, jsonschema.Draft202012Validator.VALIDATORS, meta_schema(), judges_patterns=True)
    yield from _bounded(meta_schema(), keywords.table(), work, None).iter_errors(schema)


def _bounded(schema: Mapping[str, Any], keywords: Mapping[str, Any], work: Work, formats: Any) -> Any:
    import jsonschema
    from referencing import Registry

    usual = jsonschema.Draft202012Validator
    types = usual.TYPE_CHECKER.redefine("boolean", _paid_by_visit(work))
    kind = jsonschema.validators.extend(usual, keywords, type_checker=types)
    # An empty registry, so that a schema with a reference to another address does not make the server fetch it.
    return kind(schema, registry=Registry(), format_checker=formats)


def _paid_by_visit(work: Work) -> Callable[[Any, Any], bool]:
    """Return a type check that also counts work: the search for evaluated parts calls nothing else for each schema."""

    def is_boolean(_: Any, instance: Any) -> bool:
        work.burn(work.per_visit)
        return isinstance(instance, bool)

    return is_boolean


@lru_cache(maxsize=1)
def _formats() -> Any:
    """Return a checker for all formats except regex, which the library would check with Python's own engine."""
    import jsonschema

    known = jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers
    return jsonschema.FormatChecker(name for name in known if name != "regex")


@lru_cache(maxsize=1)
def meta_schema() -> dict[str, Any]:
    """Return the meta-schema as one document: in its usual seven parts, resolved by name, it is six times slower."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    parts = [REGISTRY.contents(f"https://json-schema.org/draft/2020-12/meta/{name}") for name in VOCABULARIES]
    whole = REGISTRY.contents("https://json-schema.org/draft/2020-12/schema")
    merged = {
        "type": ["object", "boolean"],
        "properties": {name: one for part in (*parts, whole) for name, one in part["properties"].items()},
        "$defs": {name: one for part in parts for name, one in part.get("$defs", {}).items()},
    }
    found: dict[str, Any] = _referring_to_itself(merged)
    return found


def _referring_to_itself(schema: Any) -> Any:
    match schema:
        case {"$dynamicRef": "#meta"}:
            return {"$ref": "#"}
        case list():
            return [_referring_to_itself(one) for one in schema]
        case dict():
            return {name: _referring_to_itself(one) for name, one in schema.items()}
    return schema


def pay_for_walks(schema: Any, work: Work) -> None:
    """Pay in advance for all that is done once with each part of a schema. Refuse schemas with long addresses."""
    work.burn(WALKS * work.weigh(schema))
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if any(isinstance(text := one.get(name), str) and len(text) > LONGEST_ADDRESS for name in ADDRESSES):
                raise TooMuchWork
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


class _Keywords:
    """The library's keywords, each paid for by the size of its input, and our replacements for some of them."""

    def __init__(
        self, work: Work, usual: Mapping[str, Any], schema: Mapping[str, Any], *, judges_patterns: bool
    ) -> None:
        self.work = work
        self.judges_patterns = judges_patterns
        self.usual = usual
        self.schema = schema
        # By identity, because all parts live as long as their schema.
        self._widest: dict[int, int] = {}
        self._enums: dict[int, frozenset[Any]] = {}
        self._whole = 0

    def table(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "$ref": self.reference,
            "$dynamicRef": self.reference_by_name,
            "const": self.const,
            "enum": self.enum,
            "format": self.format,
            "pattern": self.pattern,
            "required": self.required,
            "uniqueItems": self.unique,
            "unevaluatedItems": self.unevaluated("unevaluatedItems"),
            "unevaluatedProperties": self.unevaluated("unevaluatedProperties"),
        }
        if _mentions(self.schema, "patternProperties"):
            # The library's own search for evaluated properties uses Python's regular expressions.
            own |= {"patternProperties": self.pattern_properties, "additionalProperties": self.additional}
            own["unevaluatedProperties"] = _nothing
        return {name: self._metered(name, keyword) for name, keyword in {**self.usual, **own}.items()}

    def _metered(self, name: str, keyword: Keyword) -> Keyword:
        """Wrap a keyword so that it is paid for: a few nested keywords may be applied to every one of many values."""
        work, cost = self.work, self._cost(name)

        def metered(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            work.burn(PER_KEYWORD + cost(value, instance))
            work.go_deeper()
            try:
                for flaw in keyword(validator, value, instance, schema) or ():
                    work.burn(PER_FLAW + len(flaw.message) // 2)
                    flaw.message = cut(flaw.message)
                    yield flaw
            finally:
                work.come_back()

        return metered

    def _cost(self, name: str) -> Callable[[Any, Any], int]:
        """Return the cost of a keyword itself. Keywords that it calls pay for themselves."""
        match name:
            case "items" | "additionalProperties" | "propertyNames" | "patternProperties" | "contains":
                return lambda value, instance: _length(instance) * self._child(value)
            case "properties" | "dependentSchemas" | "prefixItems":
                return lambda value, instance: (
                    PER_STEP * _length(value) + min(_length(value), _length(instance)) * self._widest_in(value)
                )
            case "allOf" | "anyOf" | "oneOf":
                return lambda value, _: 2 * _length(value) * self._widest_in(value)
            case "not" | "if":
                return lambda value, _: self._child(value)
            case "dependentRequired":
                return lambda value, _: PER_STEP * sum(1 + _length(one) for one in _values(value))
            case "required" | "type":
                return lambda value, _: PER_NAME * _length(value) if isinstance(value, list) else 0
        return lambda value, instance: 0

    def _child(self, schema: Any) -> int:
        """Return the cost of one subschema: the library looks at every name in it each time it validates a value."""
        return PER_CHILD + PER_STEP * len(schema) if isinstance(schema, dict) else PER_CHILD

    def _widest_in(self, schemas: Any) -> int:
        if (known := self._widest.get(id(schemas))) is None:
            known = self._widest[id(schemas)] = max(map(self._child, _values(schemas)), default=0)
        return known

    # --- our own ---

    def reference(self, validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[Any]:
        self.work.burn(PER_REFERENCE + PER_CHILD * ref.count("/"))
        if not ref.startswith("#/") and ref != "#":
            self._pay_for_crawling()
        yield from self.usual["$ref"](validator, ref, instance, schema)

    def reference_by_name(self, validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[Any]:
        self._pay_for_crawling()
        yield from self.usual["$dynamicRef"](validator, ref, instance, schema)

    def _pay_for_crawling(self) -> None:
        """Pay for looking up a part by name, for which the library searches the whole schema each time."""
        if self._whole:
            self.work.burn(self._whole)
        else:
            self._whole = 5 * self.work.weigh(self.schema) + PER_REFERENCE

    def const(self, validator: Any, const: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if self._comparable(const) != self._comparable(instance):
            yield _flaw(f"{shown(const)} was expected")

    def enum(self, validator: Any, values: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if (known := self._enums.get(id(values))) is None:
            known = self._enums[id(values)] = frozenset(map(self._comparable, values))
        if self._comparable(instance) not in known:
            yield _flaw(f"{shown(instance)} is not one of {shown(values)}")

    def unique(self, validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
        if wanted and isinstance(instance, list) and len({self._comparable(one) for one in instance}) < len(instance):
            yield _flaw(f"{shown(instance)} has non-unique elements")

    def _comparable(self, value: Any) -> Any:
        if isinstance(value, list | dict):
            self.work.burn(2 * self.work.weigh(value))
        else:
            self.work.burn(PER_KEYWORD + _length(value))
        return _comparable(value)

    def required(self, validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[Any]:
        for name in names if isinstance(instance, dict) else ():
            if name not in instance:
                # Keep the name with each error: a form shows the error at that name.
                yield _flaw(f"{name!r} is a required property", validator_value=[name])

    def pattern(self, validator: Any, text: str, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, str) and self.work.may_match(text, instance) is False:
            yield _flaw(f"{shown(instance)} does not match {text!r}")

    def format(self, validator: Any, name: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if name == "regex" and self.judges_patterns:
            if isinstance(instance, str) and (reason := self.work.flaw_of_pattern(instance)):
                yield _flaw(reason)
            return
        self.work.burn(_length(instance))
        yield from self.usual["format"](validator, name, instance, schema)

    def pattern_properties(
        self, validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
    ) -> Iterator[Any]:
        for one, inner in patterns.items() if isinstance(instance, dict) else ():
            for name, value in instance.items():
                if self.work.may_match(one, name):
                    yield from validator.descend(value, inner, path=name, schema_path=one)

    def additional(self, validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            patterns = schema.get("patternProperties", {})
            named = {name for name in instance if any(self.work.may_match(one, name) is not False for one in patterns)}
            rest = {name: value for name, value in instance.items() if name not in named}
            plain = {key: value for key, value in schema.items() if key != "patternProperties"}
            yield from self.usual["additionalProperties"](validator, allowed, rest, plain)

    def unevaluated(self, name: str) -> Keyword:
        """Replace a keyword of quadratic cost: the library collects evaluated names in a list and searches it."""

        def keyword(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
            length = _length(instance)
            before, self.work.per_visit = self.work.per_visit, PER_CHILD + PER_STEP * length * (length + 50)
            try:
                self.work.burn(self.work.per_visit)
                yield from self.usual[name](validator, allowed, instance, schema)
            finally:
                self.work.per_visit = before

        return keyword


def _flaw(message: str, **known: Any) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message, **known)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | dict | str) else 0


def _values(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


def _comparable(value: Any) -> Any:
    """Return a hashable that is equal for equal JSON values: 1 equals 1.0, but not true.

    Numbers become text, because an attacker could choose numbers with equal hashes, which would be compared pair by
    pair.
    """
    match value:
        case bool() | None:
            return value
        case int():
            return "number", hex(value)
        case float():
            return "number", hex(int(value)) if value.is_integer() else value.hex()
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
