"""Parameters: templates that are filled in, and the schema that they are held to."""

from __future__ import annotations

import pytest

from deployments.definitions.core import schema_work
from deployments.definitions.core.hydration import BadTemplate, hydrated, variables_named
from deployments.definitions.core.parameters import flaw_of_schema, mismatch
from tests.rounds import THOROUGH

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "s": {"type": "string"}, "who": {"$ref": "#/definitions/Person"}},
    "required": ["n"],
    "definitions": {"Person": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}},
}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"n": 1}, None),
        ({"n": 1, "s": None}, None),
        ({"n": 1, "unknown": 1}, None),
        ({"n": 1, "who": {"age": 3}}, None),
        ({}, "'n' is a required property"),
        ({"n": "x"}, "n: 'x' is not of type 'integer'"),
        ({"n": None}, "n: None is not of type 'integer'"),
        ({"n": 1, "s": 5}, "s: 5 is not of type 'string'"),
        ({"n": 1, "who": {"age": "old"}}, "who.age: 'old' is not of type 'integer'"),
        ({"n": 1, "who": {}}, "who: 'age' is a required property"),
    ],
)
def test_parameters_are_held_to_their_schema(parameters, expected):
    assert mismatch(parameters, SCHEMA) == expected


def test_tuples_may_be_written_as_they_used_to_be():
    members = [{"type": "integer"}, {"type": "string"}]
    schema = {"properties": {"pair": {"type": "array", "items": members, "additionalItems": False}}}

    assert flaw_of_schema(schema) is None
    assert mismatch({"pair": [1, "a"]}, schema) is None
    assert mismatch({"pair": ["a", "a"]}, schema) == "pair.0: 'a' is not of type 'integer'"
    assert "pair" in (mismatch({"pair": [1, "a", 2]}, schema) or "")


def test_what_is_partial_may_leave_out_but_not_be_wrong():
    assert mismatch({}, SCHEMA, partial=True) is None
    assert mismatch({"n": "x"}, SCHEMA, partial=True) == "n: 'x' is not of type 'integer'"


def test_a_schema_that_leads_away_or_round_in_circles_fits_nothing():
    away = {"properties": {"n": {"$ref": "http://example.com/x"}}, "required": ["n"]}
    circle = {"properties": {"n": {"$ref": "#/definitions/A"}}, "required": ["n"]}
    circle["definitions"] = {"A": {"$ref": "#/definitions/A"}}

    assert mismatch({"n": 1}, away) == "the schema refers to 'http://example.com/x', which is not in it"
    assert (
        mismatch({"n": 1}, circle) == "the schema refers to itself without end, or has too many parts within each other"
    )


def test_a_schema_must_be_one():
    assert flaw_of_schema(SCHEMA) is None
    assert (flaw_of_schema({"type": 5}) or "").startswith("type: ")


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        (1, 1),
        ({"a": [{"__prefect_kind": "json", "value": '{"b": 1}'}]}, {"a": [{"b": 1}]}),
        ({"__prefect_kind": "none", "value": {"a": 1}}, {"a": 1}),
        ({"__prefect_kind": None, "value": 2}, 2),
        ({"__prefect_kind": "workspace_variable", "variable_name": "region"}, "north"),
        ({"__prefect_kind": "jinja", "template": "plain"}, "plain"),
    ],
)
def test_templates_are_filled_in(value, filled):
    assert hydrated(value, {"region": "north"}) == filled


@pytest.mark.parametrize(
    "value",
    [
        {"__prefect_kind": "json"},
        {"__prefect_kind": "json", "value": 5},
        {"__prefect_kind": "json", "value": "nonsense"},
        {"__prefect_kind": "json", "value": "[NaN]"},
        {"__prefect_kind": "json", "value": '"\\u0000"'},
        {"__prefect_kind": "workspace_variable"},
        {"__prefect_kind": "workspace_variable", "variable_name": ["region"]},
        {"__prefect_kind": "jinja", "template": "{{ 1 }}"},
        {"__prefect_kind": {"a": 1}},
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(value):
    with pytest.raises(BadTemplate):
        hydrated({"deep": [value]}, {"region": "north"})


def test_variables_are_found_wherever_they_are_named():
    deep = {"a": [{"b": {"__prefect_kind": "workspace_variable", "variable_name": "x"}}], "c": 1}

    assert list(variables_named(deep)) == ["x"]


def held(name, schema):
    return {"type": "object", "properties": {name: schema}}


# A text on which Python's expressions go on for years.
TRAP = "a" * 5000 + "!"


@pytest.mark.parametrize(
    ("schema", "parameters", "expected"),
    [
        (held("a", {"pattern": "^(a+)+$"}), {"a": TRAP}, f"a: {TRAP!r} does not match '^(a+)+$'"),
        (held("a", {"pattern": "^(a+)+$"}), {"a": "aaa"}, None),
        (held("a", {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}), {"a": "aaa"}, None),
        ({"patternProperties": {"^(a|a)*$": {"type": "integer"}}}, {TRAP: 1}, None),
        ({"patternProperties": {"^a": {"type": "integer"}}}, {"ab": "x"}, "ab: 'x' is not of type 'integer'"),
        ({"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False}, {"aa": 1}, None),
        ({"patternProperties": {"^(a|a)*$": {}}, "unevaluatedProperties": False}, {TRAP: 1}, None),
        (
            {"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False},
            {"b": 1},
            "Additional properties are not allowed ('b' was unexpected)",
        ),
        # What only the engine of Python knows is judged by the run.
        (held("a", {"pattern": "^(?=x)(a+)+$"}), {"a": TRAP}, None),
    ],
)
def test_no_pattern_takes_longer_than_its_text(schema, parameters, expected):
    assert flaw_of_schema(schema) is None
    assert mismatch(parameters, schema) == expected


def test_parts_that_double_their_work_again_and_again_are_given_up(monkeypatch):
    monkeypatch.setattr(schema_work, "FUEL", schema_work.FUEL // (10 if THOROUGH else 50))
    parts = {f"p{number}": {"allOf": [{"$ref": f"#/$defs/p{number + 1}"}] * 2} for number in range(40)}
    schema = {"$defs": {**parts, "p40": {}}, "$ref": "#/$defs/p0"}

    assert "too much work" in mismatch({}, schema)


@pytest.mark.parametrize("pattern", ["a{99999999999999999999}", "(" * 5000])
def test_patterns_that_break_their_reader_are_flaws(pattern):
    assert flaw_of_schema(held("a", {"pattern": pattern}))


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "http://[", "properties": {"a": {"$ref": "x"}}},
        {"$ref": "#/required/x", "required": ["a"]},
        {"$ref": "http://["},
    ],
)
def test_dangling_references_are_reported(schema):
    assert mismatch({"a": 1}, schema).startswith("the schema ")


@pytest.mark.parametrize(
    ("values", "are_unique"),
    [
        ([{"x": number} for number in range(20_000 if THOROUGH else 4_000)], True),
        ([{"x": 1, "y": [2]}, {"y": [2.0], "x": 1}], False),
        ([1, True, "1", None, [1], {"1": 1}], True),
        ([0, False, 0.0], False),
    ],
)
def test_union_members_are_distinguished_once_each(values, are_unique):
    assert (mismatch({"a": values}, held("a", {"uniqueItems": True})) is None) == are_unique


def test_many_values_are_not_held_to_many_choices(monkeypatch):
    monkeypatch.setattr(schema_work, "FUEL", schema_work.FUEL // (10 if THOROUGH else 50))
    schema = held("a", {"items": {"anyOf": [{"type": "integer"}] * 500}})

    assert "too much work" in mismatch({"a": ["x"] * 10_000}, schema)


def test_a_long_chain_of_references_ends_in_a_sentence():
    parts = {f"p{number}": {"items": {"$ref": f"#/$defs/p{number + 1}"}} for number in range(300)}
    schema = {"$defs": {**parts, "p300": {}}, "$ref": "#/$defs/p0"}
    nested: list[object] = []
    for _ in range(200):
        nested = [nested]

    assert "too many parts within each other" in mismatch(nested, schema)
