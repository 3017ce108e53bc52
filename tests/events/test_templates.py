"""Texts of automations: what is filled in, what is refused, and that neither can be made to last or to grow."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from events.automations.core.jinja import LONGEST
from events.automations.core.templates import BadText, fill_in, filled_parameters, misplaced, texts_in

RUN = UUID(int=7)
VALUES = {
    "flow_run": {
        "id": RUN,
        "name": "nightly",
        "tags": ["a", "b"],
        "url": "http://here/runs/7",
        "state": {"name": "Failed"},
    },
    "event": {
        "occurred": datetime(2026, 1, 5, 12, tzinfo=UTC),
        "resource": {"id": "sensor.1", "prefect.resource.id": "sensor.1", "items": 3},
        "related": [{"id": "room.1"}, {"id": "room.2"}],
        "payload": {"nothing": None, "list": [1, {"x": "<&>"}]},
    },
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain {braces}\n", "plain {braces}\n"),
        ("{{ flow_run.name }} is {{ flow_run.state.name }}", "nightly is Failed"),
        ("{{ flow_run.id }} {{event.occurred}}", f"{RUN} 2026-01-05 12:00:00+00:00"),
        ("{{ event.resource['prefect.resource.id'] }} {{ event.related[1].id }}", "sensor.1 room.2"),
        # A label is a label, though dictionaries have a method of that name.
        ("{{ event.resource.items }}", "3"),
        ("[{{ nobody }}{{ nobody.at.all }}{{ event.payload.nothing }}]", "[]"),
        ("{{ flow_run|ui_url }}{{ event|ui_resource_events_url }}", "http://here/runs/7"),
        ("{{ flow_run.name|upper }} {{ nobody|default('x') }} {{ flow_run.tags|join(', ') }}", "NIGHTLY x a, b"),
        ("{{ event.payload|tojson }}", '{"nothing": null, "list": [1, {"x": "<&>"}]}'),
        ("{% if flow_run.state.name in ['Failed', 'Crashed'] %}bad{% else %}good{% endif %}", "bad"),
        ("{{ 'a' if event.related|length > 1 and not nobody is defined else 'b' }}", "a"),
        ("{% for one in event.related %}{{ loop.index }}:{{ one.id }} {% endfor %}", "1:room.1 2:room.2 "),
        ("{# nobody reads this #}x", "x"),
    ],
)
def test_texts_are_filled_in(text, filled):
    assert misplaced(text) is None
    assert fill_in(text, VALUES) == filled


@pytest.mark.parametrize(
    "text",
    [
        "{{ a",
        "{% if a %}",
        "{% unknown %}",
        "{{ a|unknown }}",
        "{{ a|_rounds }}",
        "{{ a|round(9, 'ceil') }}",
        "{{ a|replace('x', 'y') }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9 }}",
        "{{ a + b }}",
        "{{ a ~ b }}",
        "{{ range(9) }}",
        "{{ event.resource.items() }}",
        "{{ a[1:2] }}",
        "{% set a = 1 %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% for a in b recursive %}{% endfor %}",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in x %}{% endfor %}" * 11,
        "{{ a }}" * 5001,
        "{{ " + "not " * 2000 + "a }}",
        "{{ " + "9" * 5000 + " }}",
    ],
)
def test_invalid_and_executable_templates_are_refused(text):
    assert misplaced(text) is not None
    with pytest.raises(BadText):
        fill_in(text, VALUES)


def test_mistakes_are_reported_with_their_line():
    wrong = misplaced("a\nb\n{{ c + 1 }}")

    assert wrong is not None
    assert (wrong.line, "add" in wrong.message) == (3, True)


@pytest.mark.parametrize(
    "text",
    ["{{ flow_run.__class__ }}", "{{ flow_run.name.__class__.__mro__ }}", "{{ event.occurred.year }}", "{{ self.x }}"],
)
def test_attributes_of_python_objects_are_not_there(text):
    assert fill_in(text, VALUES) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{{ long }}{{ long }}{{ long }}",
        "{{ long" + "|list|string" * 30 + " }}",
        "{{ quotes" + "|tojson" * 60 + " }}",
        "{{ long|join(long) }}",
        "{{ 1 > 'a' }}",
    ],
)
def test_no_text_grows_without_bound(text):
    values = {"long": "x" * (LONGEST - 10), "quotes": '"' * 1000}

    with pytest.raises(BadText):
        fill_in(text, values)


def test_loops_end():
    assert fill_in("{% for a in many %}x{% endfor %}", {"many": range(10**9)}) == "x" * 100


@pytest.mark.parametrize(
    "inside",
    ["{{ long|upper|lower|length }}", "{{ long|tojson|length }}" * 200, "{% if 'a' in long %}{% endif %}" * 100, "x"],
)
def test_no_text_takes_long(inside):
    text = "{% for a in many %}{% for b in many %}" + inside + "{% endfor %}{% endfor %}"

    with pytest.raises(BadText, match="too much work"):
        fill_in(text * 5, {"many": range(1000), "long": "x" * 99_000})


def test_parameters_are_filled_in_wherever_they_hold_a_text():
    given = {
        "id": "{{ flow_run.id }}",
        "n": 3,
        "deep": [{"name": {"__prefect_kind": "jinja", "template": "{{ flow_run.name }}"}}],
        "later": {"__prefect_kind": "json", "value": "{{ flow_run.name }}"},
    }

    filled = filled_parameters(given, VALUES)

    assert filled == {"id": str(RUN), "n": 3, "deep": [{"name": "nightly"}], "later": given["later"]}
    assert list(texts_in(given)) == ["{{ flow_run.id }}", "{{ flow_run.name }}"]


def test_a_text_that_is_nested_too_deeply_is_reported():
    wrong = misplaced("{{ " + "[" * 2000 + "]" * 2000 + " }}")

    assert (wrong.line, wrong.message) == (1, "the text is nested too deeply")
