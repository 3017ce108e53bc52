"""Job templates, and the variables that runs and deployments give them."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.work.core.job_variables import flaw_of_template, merged, misfit

VARIABLES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "default": "run"},
        "cpus": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["cpus"],
}
TEMPLATE = {"job_configuration": {"command": "{{ command }} -c {{cpus}}", "env": ["{{ env }}"]}, "variables": VARIABLES}


@pytest.mark.parametrize(
    ("template", "flaw"),
    [
        ({}, None),
        (TEMPLATE, None),
        ({**TEMPLATE, "job_configuration": {"user": "{{ prefect.variables.user }}"}}, None),
        ({"job_configuration": {"a": 1}}, "it needs both"),
        ({"job_configuration": {}, "variables": VARIABLES}, "it needs both"),
        ({"x": 1}, "it needs both"),
        (
            {**TEMPLATE, "job_configuration": {"image": "{{ image }}:{{ tag }}"}},
            "uses image, tag, which variables do not",
        ),
        ({**TEMPLATE, "variables": {"properties": {"a": {"type": "nope"}}}}, "not a JSON schema"),
        ({**TEMPLATE, "variables": {"properties": 3}}, "not a JSON schema"),
    ],
)
def test_a_template_declares_what_it_uses(template, flaw):
    found = flaw_of_template(template)

    assert found is None if flaw is None else flaw in found


@pytest.mark.parametrize(
    ("layers", "complete", "flaw"),
    [
        ([{"cpus": 2}], True, None),
        ([{}, {"cpus": 2}], True, None),
        ([{"cpus": 2}, {"cpus": "two"}], True, "cpus: 'two' is not of type 'integer'"),
        ([{"cpus": "two"}, {"cpus": 2}], True, None),
        ([{}], False, None),
        ([{}], True, "'cpus' is a required property"),
        ([{"cpus": 2, "env": None}], True, None),
        ([{"cpus": 2, "env": {"A": 1}}], True, "env.A: 1 is not of type 'string'"),
        ([{"cpus": 2, "other": 1}], True, None),
        ([{"cpus": 2, "env": {"A": 1}}, {"env": {"B": "x"}}], True, "env.A: 1 is not of type 'string'"),
    ],
)
def test_variables_fit_the_template_of_their_pool(layers, complete, flaw):
    assert misfit(TEMPLATE, *layers, complete=complete) == flaw


def test_later_layers_replace_earlier_ones_but_for_environments():
    earlier = {"image": "a", "env": {"A": "1", "B": "1"}, "command": {"x": 1}}

    found = merged(earlier, {"env": {"B": "2"}, "command": {"y": 2}}, {"env": {"C": "3"}})

    assert found == {"image": "a", "env": {"A": "1", "B": "2", "C": "3"}, "command": {"y": 2}}
    assert earlier["env"] == {"A": "1", "B": "1"}


@pytest.mark.parametrize("template", [{}, {"variables": {}}, {"variables": None}, {"job_configuration": {"a": 1}}])
def test_without_a_schema_everything_fits(template):
    assert misfit(template, {"cpus": "two"}, complete=True) is None


@pytest.mark.parametrize("default", ["two", {"$ref": {"block_document_id": "1"}}])
def test_defaults_that_cannot_be_judged_excuse_what_is_missing(default):
    properties = {"cpus": {"type": "integer", "default": default}, "name": {"type": "string"}}
    template = {"variables": {"properties": properties, "required": ["cpus", "name"]}}

    assert misfit(template, {}, complete=True) is None
    assert misfit(template, {"cpus": "three"}, complete=True) == "cpus: 'three' is not of type 'integer'"
