"""No schema and no value makes more work than is paid for: counted in calls and in fuel, never by a clock."""

from __future__ import annotations

import cProfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.definitions.core import schema_work
from deployments.definitions.core.parameter_errors import BadSchema, flaws
from deployments.definitions.core.parameters import flaw_of_schema, mismatch
from deployments.definitions.core.schema_work import TooMuchWork, Work, atoms_of
from deployments.work.core.job_variables import misfit
from tests.rounds import THOROUGH, examples

# With a little of the usual fuel, so that counting takes no minutes: work is in proportion to it.
PART = 10 if THOROUGH else 1
LITTLE = 5_000_000 if THOROUGH else 100_000
# Calls of Python and C functions for this much fuel. The hostile schemas ask for billions.
MOST_CALLS = LITTLE // 3


@pytest.fixture(scope="module")
def _everything_is_loaded():
    """The first validation of a process loads modules, which is no work of its schema."""
    most_calls({"unevaluatedItems": False, "properties": {"a": {"pattern": "a"}}}, {"a": "a"})


@pytest.fixture
def _little_fuel(_everything_is_loaded, monkeypatch):
    monkeypatch.setattr(schema_work, "FUEL", LITTLE)


def calls_of(work) -> int:
    """How many functions are called. What one call costs is bounded by the size of a request."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        work()
    finally:
        profile.disable()
    return sum(entry.callcount for entry in profile.getstats())


def flaws_or_none(values, schema):
    with suppress(BadSchema):
        flaws(values, schema)


def most_calls(schema, values):
    """Of the ways in which a request may have values held to a schema, the one that calls most."""
    template = {"variables": schema, "job_configuration": {"a": 1}}
    return max(
        calls_of(lambda: flaw_of_schema(schema)),
        calls_of(lambda: mismatch(values, schema)),
        calls_of(lambda: flaws_or_none(values, schema)),
        calls_of(lambda: misfit(template, values, complete=True)),
    )


def held(schema):
    return {"type": "object", "properties": {"a": schema}}


def doubling(depth, part):
    parts = {f"p{number}": part({"$ref": f"#/$defs/p{number + 1}"}) for number in range(depth)}
    return {"$defs": {**parts, f"p{depth}": {"type": "integer"}}, "$ref": "#/$defs/p0"}


SOME = [f"name{number}" for number in range(300 * PART)]
NAMES = [f"name{number}" for number in range(3000 if THOROUGH else 1200)]
MANY = 1_000 * PART
# Numbers whose hashes are all the same.
COLLIDING = [(2**61 - 1) * number for number in range(len(NAMES))]
EVERYTHING = "[\u0000-\U0010ffff]"

HOSTILE = {
    "enum": (held({"items": {"enum": NAMES}}), {"a": [f"other{number}" for number in range(len(NAMES))]}),
    "enum of one hash": (held({"items": {"enum": COLLIDING}}), {"a": [-number for number in COLLIDING[1:]]}),
    "unique of one hash": (held({"uniqueItems": True}), {"a": COLLIDING}),
    "many properties": ({"properties": {f"p{number}": {"type": "integer"} for number in range(LITTLE // 50)}}, {}),
    "many properties of many": (held({"items": {"properties": dict.fromkeys(NAMES, True)}}), {"a": [{}] * MANY}),
    "many unknown keywords": (held({"items": dict.fromkeys(NAMES, True)}), {"a": [{}] * MANY}),
    "long pattern": (held({"pattern": "a?" * 500_000}), {"a": "x"}),
    "large patterns": (held({"anyOf": [{"pattern": rf"\w{{200}}{n}"} for n in range(len(NAMES))]}), {"a": "x"}),
    "patterns in any case": (
        held({"anyOf": [{"pattern": f"(?i){EVERYTHING * 200}{n}"} for n in range(99)]}),
        {"a": ""},
    ),
    "patterns of Python": (held({"anyOf": [{"pattern": f"(?=x){EVERYTHING * 900}{n}"} for n in range(99)]}), {"a": ""}),
    "slow matches": (held({"items": {"pattern": "^(a|b)*a(a|b){5000}$"}}), {"a": ["ab" * 4999] * 500}),
    "patterns as values": (
        held({"items": {"format": "regex"}}),
        {"a": [f"(?i){EVERYTHING * 99}{n}" for n in range(99)]},
    ),
    "many choices": (held({"items": {"anyOf": [{"type": "integer"}] * 500}}), {"a": ["x"] * MANY}),
    "one of many": (held({"oneOf": [True] * (LITTLE // 50)}), {"a": 1}),
    "doubling": (doubling(40, lambda ref: {"allOf": [ref, ref]}), {}),
    "doubling negations": (doubling(40, lambda ref: {"anyOf": [ref, {"not": {"not": ref}}]}), {}),
    "doubling what is evaluated": (
        {"unevaluatedProperties": False, **doubling(30, lambda ref: {"dependentSchemas": {"a": ref, "b": ref}})},
        {"a": 1, "b": 2},
    ),
    "evaluated names": (
        {"unevaluatedProperties": False, "allOf": [{"properties": dict.fromkeys(NAMES, True)}]},
        dict.fromkeys(NAMES, 1),
    ),
    "evaluated items": (
        held({"unevaluatedItems": False, "allOf": [{"prefixItems": [True] * 999}] * 20}),
        {"a": [1] * 9999},
    ),
    "anchors": (
        {"properties": dict.fromkeys(NAMES, {"$ref": "#foo"}), "$defs": {"x": {"$anchor": "foo"}}},
        dict.fromkeys(NAMES, 1),
    ),
    "dynamic anchors": (
        held({"items": {"$dynamicRef": "#m"}, "$defs": {"x": {"$dynamicAnchor": "m"}, **dict.fromkeys(NAMES, True)}}),
        {"a": [1] * 9999},
    ),
    "long addresses": (held({"items": {"$id": "http://x/" + "y" * 100_000}}), {"a": [1] * 9999}),
    "dependent names": (held({"items": {"dependentRequired": {"a": NAMES}}}), {"a": [{"a": 1}] * 3000}),
    "required names": (held({"items": {"required": NAMES}}), {"a": [{}] * 3000}),
    "contains": (held({"items": {"contains": {"const": 5}}}), {"a": [[1] * 1000] * 1000}),
    "patterns for names": ({"patternProperties": {f"^n{n}x": {} for n in range(300)}}, dict.fromkeys(NAMES, 1)),
    "const": (held({"items": {"const": [1] * 1000}}), {"a": [[1] * 1000] * 1000}),
    "types": (held({"items": {"type": ["integer"] * 3000}}), {"a": ["x"] * 3000}),
    "long messages": (held({"allOf": [{"type": "integer"}] * 1000}), {"a": "x" * 1_000_000}),
    "defaults": ({"properties": {name: {"type": "string", "default": 1} for name in NAMES}}, {}),
    "a circle": ({"properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#/properties/a"}]}, {"a": 1}),
}


@pytest.mark.usefixtures("_little_fuel")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_answered_within_bounds(name):
    schema, values = HOSTILE[name]

    assert most_calls(schema, values) <= MOST_CALLS


SIMPLE = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(COLLIDING[:9]))
VALUES = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcd"), inner), max_leaves=30
)


def schemas():
    return st.recursive(
        st.one_of(
            st.booleans(),
            st.builds(lambda kind: {"type": kind}, st.sampled_from(["integer", "string", "array", "object", "null"])),
            st.builds(lambda values: {"enum": values}, st.lists(SIMPLE, min_size=1, max_size=300)),
            st.sampled_from([{"$ref": "#"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"pattern": "^(a+)+$"}]),
            st.just({"uniqueItems": True}),
        ),
        lambda inner: st.one_of(
            *(
                st.builds(lambda parts, name=name: {name: parts}, st.lists(inner, min_size=1, max_size=30))
                for name in ("allOf", "anyOf", "oneOf", "prefixItems")
            ),
            *(
                st.builds(lambda part, name=name: {name: part}, inner)
                for name in ("not", "items", "contains", "propertyNames", "additionalProperties", "unevaluatedItems")
            ),
            *(
                st.builds(lambda parts, name=name: {name: parts}, st.dictionaries(st.sampled_from("abcd"), inner))
                for name in ("properties", "patternProperties", "dependentSchemas", "$defs")
            ),
        ),
        max_leaves=25,
    )


@pytest.mark.usefixtures("_little_fuel")
@examples(2, 300)
@given(schemas(), st.dictionaries(st.sampled_from("ab"), schemas()), st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_no_schema_asks_for_more_than_its_fuel(schema, parts, values):
    whole = {"$defs": parts, "allOf": [schema, schema], "properties": {"a": schema}}

    assert most_calls(whole, values) <= MOST_CALLS


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (held({"items": {"type": "integer"}}), {"a": [1] * (15_000 * PART)}),
        (held({"items": {"enum": NAMES}}), {"a": NAMES}),
        ({"properties": {name: {"type": "integer", "title": name} for name in SOME}}, dict.fromkeys(SOME, 1)),
        (held({"items": {"pattern": r"^\d{4}-\d{2}-\d{2}$"}}), {"a": ["2026-11-28"] * (2_000 * PART)}),
    ],
)
def test_large_values_that_fit_are_taken(schema, values, monkeypatch):
    monkeypatch.setattr(schema_work, "FUEL", schema_work.FUEL // 10 * PART)

    assert flaw_of_schema(schema) is None
    assert mismatch(values, schema) is None


def test_the_first_flaw_of_thousands_is_named():
    schema, values = HOSTILE["enum"]

    assert (mismatch(values, schema) or "").startswith("a.0: 'other0' is not one of ['name0', 'name1'")


@pytest.mark.parametrize(
    ("value", "same"),
    [(1, 1.0), (0, 0.0), (1e308, int(1e308)), ([1, {"a": 2.0}], [1.0, {"a": 2}])],
)
def test_numbers_are_equal_as_in_json(value, same):
    assert mismatch({"a": same}, held({"enum": [value]})) is None
    assert mismatch({"a": same}, held({"const": value})) is None


@pytest.mark.parametrize(("value", "other"), [(1, True), (0, False), ("1", 1), (None, False), ([], {}), (1, 1.5)])
def test_what_is_another_value_in_json_is_not_equal(value, other):
    assert mismatch({"a": other}, held({"enum": [value]}))
    assert mismatch({"a": other}, held({"const": value}))


def test_a_flaw_in_any_part_of_a_schema_is_found():
    deep = held({"items": {"anyOf": [{"properties": {"b": {"$defs": {"c": {"minimum": "x"}}}}}]}})

    assert (
        flaw_of_schema(deep) == "properties.a.items.anyOf.0.properties.b.$defs.c.minimum: 'x' is not of type 'number'"
    )


@pytest.mark.parametrize(
    ("pattern", "at_least"),
    [("abc", 3), ("(ab){50}", 100), ("((a{10}){10}){10}", 1000), ("a{5,}", 5), (r"\d{4}-\d{2}", 6), ("(a|b)*", 2)],
)
def test_the_atoms_of_a_pattern_are_never_underestimated(pattern, at_least):
    assert atoms_of(pattern) >= at_least


@pytest.mark.usefixtures("_little_fuel")
def test_work_ends_when_its_fuel_does():
    work = Work(fuel=1000)

    with pytest.raises(TooMuchWork):
        work.weigh([1] * 100)
    assert Work().left == LITTLE
