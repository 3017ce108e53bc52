"""Forms made from JSON schemas: what a browser sends of an unchanged form is the value, whatever the API accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from html.parser import HTMLParser
from time import process_time
from typing import Any

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from django.test import Client
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.blocks.services.blocks import opened
from deployments.models import BlockDocument, BlockReference, BlockSchema, Deployment
from orchestration.json_texts import read_json
from orion_site.forms.schema_fields import MOST_FIELDS, fields_of
from orion_site.forms.schema_values import Field
from orion_site.forms.sent_fields import read_fields
from runs.models import FlowRun, FlowRunInput
from tests.factories import state_of
from tests.rounds import examples
from tests.web.deployments import add_run, make_deployment
from tests.web.test_blocks_page import FIELDS, NESTING, make_block, make_schema
from tests.web.test_resume_page import KEYSET, answer_of, asking


class Browser(HTMLParser):
    """Reads pages as browsers do, and has what they send of an unchanged form in `sent`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._area: str | None = None
        self._select: str | None = None
        # Browsers read each kind of line break as "\n".
        self.feed(page.replace("\r\n", "\n").replace("\r", "\n"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        name = known.get("name", "")
        match tag:
            case "textarea":
                self._area, self.sent[name] = name, ""
            case "select":
                self._select = name
            case "option" if self._select and (self._select not in self.sent or "selected" in known):
                self.sent[self._select] = known["value"]
            case "input" if known.get("type") in {"checkbox", "radio"}:
                if "checked" in known:
                    self.sent[name] = known["value"]
            case "input" if name:
                self.sent[name] = _sanitized(known.get("value", ""), known.get("type", "text"))

    def handle_data(self, data: str) -> None:
        if self._area:
            self.sent[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area:
            text = self.sent[self._area].removeprefix("\n")
            self.sent[self._area], self._area = text.replace("\n", "\r\n"), None
        elif tag == "select":
            self._select = None


def _sanitized(text: str, kind: str) -> str:
    text = text.replace("\n", "")
    return text.removesuffix(":00") if kind == "datetime-local" and text.count(":") == 2 else text


def sent_unchanged(fields: list[Field]) -> QueryDict:
    page = "".join(render_to_string("forms/_schema_field.html", {"field": one}) for one in fields)
    sent = QueryDict(mutable=True)
    sent.update(Browser(page).sent)
    return sent


def every_field(fields: list[Field]) -> Iterator[Field]:
    for one in fields:
        yield one
        yield from every_field(one.fields)


# --- every schema and every value ---

NAMES = st.sampled_from(["a", "b", "", "a.b", "a[0]", "a/b", "é ß", "__prefect_kind", "x" * 300])
HARD_TEXTS = ["", " ", "0", "null", "\n", "\nx", "a\nb\n", "a\r\nb", "a\rb", " a ", "\u2028", '"&quot;<b>', "\\u0000"]
DATES = ["2026-01-31", "20260131", "2026-01-31T06:00:00+02:00", "2026-01-31T06:00:00.000123", "0001-01-01T00:00:00Z"]
texts = st.sampled_from([*HARD_TEXTS, *DATES, "long " * 200]) | st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5
)
numbers = st.sampled_from([0, 1, -1, 2**53 + 1, -(2**63), 0.0, -0.0, 1.0, 1e22, 1e-7, 1.7976931348623157e308])
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
ODD: list[Any] = [
    True,
    False,
    {},
    {"type": ["string", "null"]},
    {"type": ["integer", "string"]},
    {"type": {}},
    {"type": "array", "items": {"type": ["string", "null"]}},
    {"type": "array", "items": [{"type": "string"}]},
    {"enum": [{"a": 1}, None, [1], "x", 0, False]},
    {"const": 1},
    {"properties": []},
    {"type": "object", "properties": {"a": True}},
    {"$ref": "#/nowhere"},
    {"$ref": "#"},
    {"$ref": "#/definitions/N"},
    {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    {"anyOf": [{"type": "integer"}, True]},
    {"allOf": [{"type": "string"}, {"maxLength": 3}]},
    {"type": "string", "format": ["date"]},
    {"type": "number", "description": {}, "position": "x"},
]
scalars = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object"])},
    optional={
        "format": st.sampled_from(["date", "date-time", "uuid"]),
        "items": st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "number"}]),
        "default": values,
    },
)
schemas = st.recursive(
    st.sampled_from(ODD) | scalars,
    lambda inner: (
        st.builds(
            lambda members, required: {"type": "object", "properties": members, "required": required},
            st.dictionaries(NAMES, inner, max_size=3),
            st.lists(NAMES, max_size=1),
        )
        | st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner)
    ),
    max_leaves=6,
)
NODE = {"type": "object", "properties": {"a": {"$ref": "#/definitions/N"}, "b": {"type": "integer"}}}


def fitting(own: Any) -> st.SearchStrategy[Any]:
    """Values like those that the schema asks for, and now and then others."""
    kind = own.get("type") if isinstance(own, dict) else None
    match kind:
        case "object" if own.get("properties"):
            members = {name: fitting(inner) for name, inner in own["properties"].items()}
            like: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional={**members, "other": leaves})
        case "array":
            like = st.lists(texts, max_size=3) | st.lists(numbers, max_size=3)
        case "string":
            like = texts
        case "integer" | "number":
            like = numbers
        case _:
            like = values
    return st.one_of(like, like, like, st.none(), values)


@st.composite
def forms(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    members = draw(st.dictionaries(NAMES, schemas, min_size=2, max_size=5))
    chosen = draw(st.fixed_dictionaries({}, optional={name: fitting(own) for name, own in members.items()}))
    return {"type": "object", "properties": members, "definitions": {"N": NODE}}, chosen


@examples(15, 400)
@given(forms())
def test_an_unchanged_form_sends_exactly_the_given_values(form: tuple[dict[str, Any], dict[str, Any]]):
    schema, chosen = form
    fields = fields_of(schema, chosen)
    shown = {one.label for one in fields}

    read = read_fields(fields, sent_unchanged(fields))

    expected = {name: value for name, value in chosen.items() if name in shown}
    assert not [one.every_error for one in fields if one.every_error]
    assert shown == {name for name, own in schema["properties"].items() if own is not False}
    assert expected.keys() <= read.keys()
    assert json.dumps({name: read[name] for name in expected}) == json.dumps(expected)


@example("[\\u0000-\\u001f]")
@given(values)
def test_a_value_in_a_json_field_is_read_as_it_was(value: Any):
    assert json.dumps(read_json(json.dumps(value))) == json.dumps(value)


# --- however a schema repeats itself ---


def recursive(number: int) -> dict[str, Any]:
    own = {f"p{one}": {"anyOf": [{"$ref": "#/definitions/N"}, {"type": "null"}]} for one in range(number)}
    return {"properties": own, "definitions": {"N": {"type": "object", "properties": own}}}


def repeated(own: Mapping[str, Any], **definitions: Any) -> dict[str, Any]:
    return {"properties": {f"p{one}": dict(own) for one in range(150)}, "definitions": definitions}


def chained(number: int) -> dict[str, Any]:
    """Types that refer to each other and never to themselves: their tree is much larger than the schema."""
    known: dict[str, Any] = {"T0": {"type": "string"}}
    for one in range(1, number):
        members = {f"m{other}": {"$ref": f"#/definitions/T{one - 1}"} for other in range(20)}
        known[f"T{one}"] = {"type": "object", "properties": members}
    return {"properties": known[f"T{number - 1}"]["properties"], "definitions": known}


LONG = "x" * 200_000
D = {"$ref": "#/definitions/D"}
REPEATING: dict[str, dict[str, Any]] = {
    "recursive": recursive(10),
    "wide and recursive": recursive(200),
    "chained": chained(5),
    "a long description": repeated(D, D={"type": "string", "description": LONG}),
    "a long default": repeated(D, D={"type": "string", "default": LONG}),
    "a long default of an object": repeated(
        D, D={"type": "object", "properties": {"a": {"type": "string"}}, "default": {"a": LONG}}
    ),
    "a long name": {"properties": {"a": {"type": "object", "properties": {LONG: {}, **dict.fromkeys("abcd", {})}}}},
    "many options": repeated(D, D={"enum": [*range(9_000)]}),
    "long options": repeated(D, D={"enum": [LONG, LONG + "y"]}),
    "many alternatives": repeated(D, D={"anyOf": [{"type": "null"}] * 100_000}),
    "a long reference": repeated(D, D={"$ref": "#" + "/a" * 100_000}),
    "many required": repeated(D, D={**NODE, "required": [str(one) for one in range(100_000)]}),
}


@pytest.mark.parametrize("schema", REPEATING.values(), ids=REPEATING)
def test_a_schema_that_repeats_itself_has_a_bounded_form(schema: dict[str, Any]):
    began = process_time()
    fields = fields_of(schema, {})
    taken = process_time() - began
    texts = [one.help + one.text + "".join(map(str, one.choices)) for one in every_field(fields)]

    assert len(texts) <= MOST_FIELDS
    assert sum(map(len, texts)) < 4_000_000
    assert all(len(name) < 2_000 for name in [one.name for one in every_field(fields)])
    assert taken < 1
    assert read_fields(fields, QueryDict()).keys() <= schema["properties"].keys()


def test_members_of_an_object_have_fields_while_there_is_room():
    inner = {"type": "object", "properties": {f"m{one}": {"type": "integer"} for one in range(120)}}
    members = {"first": inner, "second": inner, "last": {"type": "string"}}

    assert [one.kind for one in fields_of({"properties": members}, {})] == ["object", "json", "text"]


# --- in whole pages ---

ADDRESS = {"type": "object", "properties": {"town": {"type": "string"}, "zip": {"type": "string", "default": "0"}}}
COPIED: dict[str, Any] = {
    "sql": "\nselect 1\nfrom t\n",
    "config": {"town": "Ulm", "extra": {"k": [1, None]}},
    "partly": {"town": "Ulm"},
    "nothing": None,
    "large": {f"k{one}": one for one in range(205)},
    "at": "2026-01-31T06:00:00.000123+02:00",
    "lines": ["a\rb", "c"],
    "pattern": "[\\u0000-\\u001f]",
    "names": ["a", None],
    "n": 2**53 + 1,
}
TYPES: dict[str, Any] = {
    "sql": {"type": "string"},
    "config": ADDRESS,
    "partly": ADDRESS,
    "nothing": {"anyOf": [ADDRESS, {"type": "null"}], "default": {"town": "Bonn"}},
    "large": {"type": "object", "properties": {f"k{one}": {"type": "integer"} for one in range(205)}},
    "at": {"type": "string", "format": "date-time"},
    "lines": {"type": "array", "items": {"type": "string"}},
    "pattern": {},
    "names": {"type": "array", "items": {"type": ["string", "null"]}},
    "n": {"type": "number"},
}


@pytest.mark.parametrize("query", ["", "&as=json"])
def test_a_copy_that_is_not_changed_has_the_parameters_of_the_run(browser: Client, query: str):
    made = make_deployment(parameter_openapi_schema={"type": "object", "properties": TYPES})
    old = add_run(made, ago=timedelta(hours=1), parameters=COPIED)
    address = f"/deployments/{made.pk}/run?copy={old.pk}{query}"

    page = browser.get(address).content.decode()
    answer = browser.post(address, Browser(page).sent)

    assert answer.status_code == 302
    run = FlowRun.objects.exclude(pk=old.pk).get()
    assert json.dumps(run.parameters, sort_keys=True) == json.dumps(COPIED, sort_keys=True)


def test_a_changed_text_of_several_lines_keeps_the_others(browser: Client):
    made = make_deployment(parameter_openapi_schema={"properties": TYPES}, parameters=COPIED)
    address = f"/deployments/{made.pk}/run"
    sent = Browser(browser.get(address).content.decode()).sent

    browser.post(address, sent | {"p/sql": "select 2\r\nfrom t", "p/partly/town": "Bonn"})

    assert FlowRun.objects.get().parameters == COPIED | {
        "sql": "select 2\nfrom t",
        "partly": {"town": "Bonn", "zip": "0"},
    }


BEFORE: dict[str, Any] = {
    "region": {"type": "string", "default": "north"},
    "limit": {"type": "integer", "default": 100},
    "dry": {"type": "boolean", "default": True},
    "mode": {"enum": ["full", "delta"], "default": "full"},
    "target": {"type": "object", "properties": {"host": {"type": "string"}}},
}
MORE: dict[str, Any] = {
    "note": {"type": "string", "default": "by default"},
    "loud": {"type": "boolean", "default": True},
    "tables": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
}
TYPED = {"p/region": "west", "p/limit": "7", "p/mode": '"delta"', "p/target/host": "db"}
CHANGED = "The deployment has changed since this page was opened"


@pytest.mark.parametrize(
    ("after", "shown", "lost"),
    [
        ({**BEFORE, **MORE}, {"note": "by default", "loud": "true", "tables": "a"}, ""),
        ({**BEFORE, "limit": {"type": "string"}}, {"limit": ""}, "limit: 7"),
        ({**BEFORE, "mode": {"enum": ["new"], "default": "new"}}, {"mode": '"new"'}, "mode: &quot;delta&quot;"),
        ({"region": BEFORE["region"], "dry": BEFORE["dry"]}, {}, "limit: 7; mode: &quot;delta&quot;; target.host: db"),
        (None, None, "region: west; limit: 7; mode: &quot;delta&quot;; target.host: db"),
    ],
    ids=["more parameters", "another type", "other options", "fewer parameters", "no schema"],
)
def test_a_form_of_a_deployment_that_has_changed_is_shown_again_with_what_was_typed(
    browser: Client, after: dict[str, Any] | None, shown: dict[str, str] | None, lost: str
):
    made = make_deployment(parameter_openapi_schema={"properties": BEFORE})
    address = f"/deployments/{made.pk}/run"
    # The tick of `dry` is taken away.
    sent = Browser(browser.get(address).content.decode()).sent | TYPED
    del sent["p/dry"]
    schema, stored = ({"properties": after}, {}) if after else ({}, {"a": 1})
    Deployment.objects.filter(pk=made.pk).update(parameter_openapi_schema=schema, parameters=stored)

    refused = browser.post(address, sent)
    page, form = refused.content.decode(), refused.context["form"]
    runs = FlowRun.objects.count()
    again = browser.post(address, Browser(page).sent)

    assert (refused.status_code, runs, again.status_code) == (422, 0, 302)
    assert CHANGED in page
    # PostgreSQL orders the members of objects in its own way.
    assert all(text in page for text in lost.split("; "))
    assert ("gone or changed: " in page) == bool(lost)
    texts = {one.label: one.text for one in form.fields}
    if shown is None:
        assert json.loads(form.raw) == FlowRun.objects.get().parameters == {"a": 1}
    else:
        assert texts == texts | {"region": "west", "dry": "false"} | shown
        assert FlowRun.objects.get().parameters["dry"] is False


def test_json_that_was_typed_before_the_deployment_had_a_schema_is_used(browser: Client):
    made = make_deployment()
    address = f"/deployments/{made.pk}/run"
    sent = Browser(browser.get(address).content.decode()).sent | {"raw": '{"limit": 7}'}
    Deployment.objects.filter(pk=made.pk).update(parameter_openapi_schema={"properties": BEFORE})

    wrong = browser.post(address, sent | {"raw": "{"})
    browser.post(address, sent)

    assert (wrong.context["form"].is_raw, wrong.context["form"].raw) == (True, "{")
    assert FlowRun.objects.get().parameters == {"limit": 7}


def test_an_answer_to_another_question_is_not_sent(browser: Client):
    run = asking({"type": "object", "properties": {"a": {"type": "string"}}})
    address = f"/runs/{run.pk}/resume"
    sent = Browser(browser.get(address).content.decode()).sent | {"p/a": "yes"}
    other = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}}}
    FlowRunInput.objects.filter(flow_run=run, key=KEYSET["schema"]).update(value=json.dumps(other))

    refused = browser.post(address, sent)
    stood = answer_of(run)
    browser.post(address, Browser(refused.content.decode()).sent)

    assert (refused.status_code, stood) == (422, None)
    assert "The run asks for something else" in refused.content.decode()
    assert answer_of(run) == {"a": "yes", "b": "x"}


def test_a_block_of_a_type_that_has_changed_is_shown_again(browser: Client):
    make_schema()
    sent = Browser(browser.get("/blocks/new/login").content.decode()).sent
    sent |= {"name": "shop", "p/user": "ada", "p/password": "hunter2"}
    schema = BlockSchema.objects.get()
    members = {**FIELDS["properties"], "region": {"type": "string", "default": "north"}}
    BlockSchema.objects.update(fields={**schema.fields, "properties": members})

    refused = browser.post("/blocks/new/login", sent)
    made = BlockDocument.objects.count()
    browser.post("/blocks/new/login", Browser(refused.content.decode()).sent)

    assert (refused.status_code, made) == (422, 0)
    assert "This form has other fields since it was opened" in refused.content.decode()
    stored = opened(BlockDocument.objects.get())
    assert stored == {"user": "ada", "password": "hunter2", "port": 5432, "region": "north"}


def test_a_program_that_sends_no_marks_runs_the_deployment(browser: Client):
    made = make_deployment(parameter_openapi_schema={"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}})

    browser.post(f"/deployments/{made.pk}/run", {"p/n": "3"})

    assert FlowRun.objects.get().parameters == {"n": 3}


def test_a_copy_keeps_what_a_program_leaves_out(browser: Client):
    made = make_deployment(parameter_openapi_schema={"properties": {**BEFORE, **MORE}})
    values = {"region": "", "limit": 7, "mode": "delta", "target": {"host": "db"}, "loud": False, "tables": ["b", "c"]}
    old = add_run(made, ago=timedelta(hours=1), parameters=values, tags=["once"])
    FlowRun.objects.filter(pk=old.pk).update(empirical_policy={"retries": 3}, name="by hand")

    for sent in ({}, {"p/limit": "8", "p/dry": "false", "tags": ""}):
        browser.post(f"/deployments/{made.pk}/run?copy={old.pk}", sent)

    first, second = FlowRun.objects.exclude(pk=old.pk).order_by("pk")
    assert [one.empirical_policy["retries"] for one in (first, second)] == [3, 3]
    assert (first.parameters, first.tags, first.name) == (values, ["once"], "by hand")
    assert (second.parameters, second.tags) == ({**values, "limit": 8, "dry": False}, [])


def test_a_block_keeps_what_a_program_leaves_out(browser: Client):
    make_schema("database", NESTING)
    inner = make_block(make_schema())
    browser.post("/blocks/new/database", {"name": "db", "p/schema": "public", "block/login": str(inner.pk)})
    outer = BlockDocument.objects.get(name="db")

    browser.post(f"/blocks/{inner.pk}/edit", {"p/port": "1"})
    browser.post(f"/blocks/{outer.pk}/edit", {"p/schema": "private"})
    browser.post("/blocks/new/login", {"name": "new", "p/user": "eve", "p/password": "x"})

    inner.refresh_from_db()
    assert opened(inner) == {"user": "ada", "password": "hunter2", "port": 1}
    assert BlockReference.objects.get(parent=outer).document_id == inner.pk
    assert opened(BlockDocument.objects.get(name="new"))["port"] == 5432


def test_more_parameters_than_a_form_has_are_shown_as_json(browser: Client):
    many = {f"k{one}": {"type": "integer"} for one in range(MOST_FIELDS + 1)}
    made = make_deployment(parameter_openapi_schema={"properties": many})

    assert browser.get(f"/deployments/{made.pk}/run").context["form"].is_raw


@pytest.mark.parametrize("text", ["9" * 30, "9" * 5000])
def test_a_number_that_the_api_would_refuse_is_an_error_of_its_field(browser: Client, text: str):
    made = make_deployment(parameter_openapi_schema={"properties": {"n": {"type": "integer"}}})

    form = browser.post(f"/deployments/{made.pk}/run", {"p/n": text}).context["form"]

    assert form.fields[0].errors
    assert not FlowRun.objects.exists()


@pytest.mark.parametrize(
    ("schema", "stored"),
    [
        ({"type": "object", "properties": {"names": {"type": "array", "items": {"type": ["string", "null"]}}}}, {}),
        ({"type": "object", "properties": {"a": {"type": "string", "default": "x\ny"}}}, {"a": "x\ny"}),
        ({"type": "object", **recursive(10)}, {}),
        ({"type": "object", "properties": {"\ud800": {}}}, None),
    ],
)
def test_a_pause_with_an_unusual_schema_has_a_page_and_an_answer(browser: Client, schema: Any, stored: Any):
    run = asking(schema)

    page = browser.get(f"/runs/{run.pk}")
    alone = browser.get(f"/runs/{run.pk}/resume")
    browser.post(f"/runs/{run.pk}/resume", Browser(alone.content.decode()).sent)

    assert (page.status_code, alone.status_code) == (200, 200)
    assert (state_of(run), answer_of(run)) == ("PAUSED" if stored is None else "RUNNING", stored)
