"""Flaws of parameters at their places, as a form wants them."""

from __future__ import annotations

import pytest

from deployments.definitions.core.parameter_errors import BadSchema, Filling, as_tree, filled_as_far_as_possible, flaws

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string", "default": "a"},
        "at": {"type": "string", "format": "date"},
        "who": {"$ref": "#/definitions/Person"},
        "all": {"type": "array", "items": {"$ref": "#/definitions/Person"}},
        "pair": {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]},
    },
    "required": ["n"],
    "definitions": {"Person": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}},
}


def errors_of(values, schema=SCHEMA, **variables):
    return as_tree(flaws(filled_as_far_as_possible(values, Filling(variables, flaw_of_text)), schema))


def flaw_of_text(text):
    return None if text.endswith("}}") else "unfinished"


def at(name, *errors):
    return {"property" if isinstance(name, str) else "index": name, "errors": list(errors)}


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ({"n": 1, "s": None, "who": None, "other": 1}, []),
        ({}, [at("n", "'n' is a required property")]),
        ({"n": "x"}, [at("n", "'x' is not of type 'integer'")]),
        ({"n": 1, "s": 5}, [at("s", "5 is not of type 'string'")]),
        ({"n": 1, "at": "noon"}, [at("at", "'noon' is not a 'date'")]),
        ({"n": 1, "who": {}}, [at("who", at("age", "'age' is a required property"))]),
        ({"n": 1, "pair": ["x", "y"]}, [at("pair", at(0, "'x' is not of type 'integer'"))]),
        (
            {"n": 1, "all": [{"age": 1}, {}, {"age": "x"}]},
            [
                at(
                    "all",
                    at(1, at("age", "'age' is a required property")),
                    at(2, at("age", "'x' is not of type 'integer'")),
                )
            ],
        ),
    ],
)
def test_each_flaw_is_reported_at_its_place(values, errors):
    assert errors_of(values) == errors


@pytest.mark.parametrize("name", ["it's", 'a "b"', "n is a required property", "n" * 20_000])
def test_a_missing_value_of_any_name_is_reported_at_its_place(name):
    (flaw,) = flaws({}, {"properties": {name: {"type": "integer"}}, "required": [name]})

    assert (flaw.place, flaw.is_missing) == ((name,), True)


def test_flaws_of_the_whole_are_plain_texts():
    assert errors_of({"n": 1}, {"enum": [{}]}) == ["{'n': 1} is not one of [{}]"]


@pytest.mark.parametrize(
    ("template", "errors"),
    [
        ({"__prefect_kind": "json", "value": "4"}, []),
        ({"__prefect_kind": "none", "value": 4}, []),
        ({"__prefect_kind": "json", "value": '"x"'}, [at("n", "'x' is not of type 'integer'")]),
        ({"__prefect_kind": "workspace_variable", "variable_name": "v"}, [at("n", "'12' is not of type 'integer'")]),
        # Nothing is in the form yet: as if the field were not there.
        ({"__prefect_kind": "json"}, [at("n", "'n' is a required property")]),
        ({"__prefect_kind": "workspace_variable"}, [at("n", "'n' is a required property")]),
    ],
)
def test_templates_are_filled_in_before(template, errors):
    assert errors_of({"n": template}, v="12") == errors


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"__prefect_kind": "json", "value": "{"}, "Invalid JSON"),
        ({"__prefect_kind": "workspace_variable", "variable_name": "v"}, "no variable 'v'"),
        ({"__prefect_kind": "none"}, "missing"),
        ({"__prefect_kind": "other", "value": 1}, "unknown"),
        ({"__prefect_kind": "jinja"}, "missing"),
        ({"__prefect_kind": "jinja", "template": "{{ a"}, "unfinished"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_one_flaw_at_its_place(template, reason):
    (inside,) = errors_of({"n": 1, "all": [template]})
    (beside,) = errors_of({"n": 1, "unknown": template})

    assert (inside["property"], inside["errors"][0]["index"]) == ("all", 0)
    assert [reason in error for error in (*inside["errors"][0]["errors"], *beside["errors"])] == [True, True]


def test_a_text_that_an_event_will_fill_in_fits_anything():
    text = {"__prefect_kind": "jinja", "template": "{{ a }}"}

    assert errors_of({"n": text, "all": [text, {"age": text}]}) == []


def test_a_form_that_is_one_empty_template_holds_nothing():
    assert filled_as_far_as_possible({"__prefect_kind": "json"}, Filling({}, flaw_of_text)) == {}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": {"$ref": "http://example.com/x"}}, "required": ["n"]},
        {"properties": {"n": {"$ref": "#/$defs/A"}}, "required": ["n"], "$defs": {"A": {"$ref": "#/$defs/A"}}},
    ],
)
def test_nothing_is_held_to_a_schema_that_leads_away_or_round_in_circles(schema):
    with pytest.raises(BadSchema):
        flaws({"n": 1}, schema)


def test_the_number_of_reported_flaws_is_limited():
    (entry,) = errors_of({"a": ["x"] * 1_200}, {"properties": {"a": {"items": {"type": "integer"}}}})

    assert len(entry["errors"]) == 1000
