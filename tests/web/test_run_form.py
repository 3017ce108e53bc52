"""Running a deployment with other parameters: a form by its schema, checked at the field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from deployments.models import Deployment, WorkQueue
from orion_site.forms.schema_fields import fields_of
from orion_site.forms.schema_values import Field
from runs.models import FlowRun
from tests.web.conftest import HOSTILE
from tests.web.deployments import add_run, make_deployment

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Parameters",
    "properties": {
        "region": {"type": "string", "default": "north", "description": "Which region to count", "position": 1},
        "day": {"type": "string", "format": "date", "position": 0},
        "limit": {"type": "integer", "default": 100, "minimum": 1},
        "share": {"type": "number", "default": 0.5},
        "dry": {"type": "boolean", "default": False},
        "mode": {"allOf": [{"$ref": "#/definitions/Mode"}], "default": "full"},
        "since": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
        "tables": {"type": "array", "items": {"type": "string"}, "default": ["a", "b"]},
        "target": {"$ref": "#/definitions/Target"},
        "anything": {},
    },
    "required": ["day"],
    "definitions": {
        "Mode": {"enum": ["full", "delta"], "type": "string"},
        "Target": {
            "type": "object",
            "properties": {"host": {"type": "string"}, "port": {"type": "integer", "default": 5432}},
            "required": ["host"],
        },
    },
}


@pytest.fixture
def census(db: None) -> Deployment:
    return make_deployment(
        parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True, parameters={"region": "south"}, tags=["prod"]
    )


def shown(browser: Client, deployment: Deployment, query: str = "") -> dict[str, Any]:
    """The fields of the form as a browser would send them."""
    form = browser.get(f"/deployments/{deployment.pk}/run{query}").context["form"]
    return {"start": "now", "name": form.name, "tags": form.tags, **sent_by(form.fields)}


def sent_by(fields: list[Field]) -> dict[str, str]:
    sent: dict[str, str] = {}
    for one in fields:
        if one.kind == "object":
            sent |= sent_by(one.fields)
        elif one.kind != "boolean" or one.is_checked:
            sent[one.name] = one.text
    return sent


def the_run() -> FlowRun:
    return FlowRun.objects.get()


def test_each_kind_of_parameter_has_its_field_with_its_default(census: Deployment):
    fields = fields_of(SCHEMA, census.parameters)

    assert [(one.label, one.kind, one.text) for one in fields] == [
        ("day", "date", ""),
        ("limit", "integer", "100"),
        ("share", "number", "0.5"),
        ("dry", "boolean", "false"),
        ("mode", "choice", '"full"'),
        ("since", "moment", ""),
        ("tables", "list", "a\nb"),
        ("target", "object", ""),
        ("anything", "json", ""),
        ("region", "text", "south"),
    ]


def test_the_form_marks_what_is_required_and_explains(browser: Client, census: Deployment):
    page = browser.get(f"/deployments/{census.pk}/run").content.decode()

    assert "Which region to count" in page
    assert '<label for="p/day">day<span class="muted"> (required)</span>' in page
    assert 'type="date"' in page


def test_what_is_sent_as_it_was_shown_adds_nothing_to_the_deployment(browser: Client, census: Deployment):
    sent = shown(browser, census) | {"p/day": "2026-11-28"}

    answer = browser.post(f"/deployments/{census.pk}/run", sent)

    run = the_run()
    assert answer["location"] == f"/runs/{run.pk}"
    assert run.parameters == {"region": "south", "day": "2026-11-28"}
    assert run.tags == ["prod"]


def test_each_kind_of_value_reaches_the_run(browser: Client, census: Deployment):
    sent = shown(browser, census) | {
        "name": "by-hand",
        "tags": "a, b,, a",
        "p/region": "",
        "p/day": "2026-11-28",
        "p/limit": "7",
        "p/share": "1e-1",
        "p/dry": "true",
        "p/mode": '"delta"',
        "p/since": "2026-11-01T06:00",
        "p/tables": "x\r\n\r\ny",
        "p/target/host": "db",
        "p/anything": '{"a": [1]}',
    }

    browser.post(f"/deployments/{census.pk}/run", sent)

    run = the_run()
    assert (run.name, run.tags) == ("by-hand", ["prod", "a", "b"])
    assert run.parameters == {
        "region": "",
        "day": "2026-11-28",
        "limit": 7,
        "share": 0.1,
        "dry": True,
        "mode": "delta",
        "since": "2026-11-01T06:00:00+00:00",
        "tables": ["x", "y"],
        "target": {"host": "db", "port": 5432},
        "anything": {"a": [1]},
    }


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("p/day", "", "This field is required."),
        ("p/day", "yesterday", "is not a date"),
        ("p/limit", "many", "is not a whole number"),
        ("p/limit", "0", "0 is less than the minimum of 1"),
        ("p/limit", "", "cannot be left empty"),
        ("p/share", "nan", "not a number that JSON has"),
        ("p/since", "noon", "is not a date and time"),
        ("p/target/port", "x", "is not a whole number"),
        ("p/target/port", "1", "This field is required."),
        ("p/anything", "{", "This is not JSON"),
    ],
)
def test_values_that_do_not_fit_are_reported_at_their_field(
    browser: Client, census: Deployment, name: str, text: str, error: str
):
    sent = shown(browser, census) | {"p/day": "2026-11-28", name: text}

    answer = browser.post(f"/deployments/{census.pk}/run", sent)

    form = answer.context["form"]
    assert answer.status_code == 422
    assert [error in " ".join(one.every_error) for one in form.fields].count(True) == 1
    assert "The run was not made." in answer.content.decode()
    assert FlowRun.objects.count() == 0


def test_what_was_filled_in_stays_beside_an_error(browser: Client, census: Deployment):
    sent = shown(browser, census) | {"p/region": "west", "tags": "mine", "p/dry": "true"}

    form = browser.post(f"/deployments/{census.pk}/run", sent).context["form"]

    assert form.tags == "mine"
    assert {one.label: one.text for one in form.fields if one.label in {"region", "dry"}} == {
        "region": "west",
        "dry": "true",
    }


def test_a_run_can_start_at_a_time(browser: Client, census: Deployment):
    sent = shown(browser, census) | {"p/day": "2026-11-28", "start": "at", "at": "2100-01-01T06:30"}

    browser.post(f"/deployments/{census.pk}/run", sent)

    assert the_run().expected_start_time == datetime(2100, 1, 1, 6, 30, tzinfo=UTC)


def test_an_invalid_time_is_reported_at_its_field(browser: Client, census: Deployment):
    sent = shown(browser, census) | {"p/day": "2026-11-28", "start": "at", "at": "soon"}

    assert browser.post(f"/deployments/{census.pk}/run", sent).context["form"].at_error


def test_a_time_that_would_be_ignored_is_reported_at_its_field(browser: Client, census: Deployment):
    sent = shown(browser, census) | {"p/day": "2026-11-28", "start": "now", "at": "2100-01-01T06:30"}

    answer = browser.post(f"/deployments/{census.pk}/run", sent)

    assert "Choose “At”" in answer.context["form"].at_error
    assert not FlowRun.objects.exists()


def test_a_copy_is_filled_in_as_the_run_was(browser: Client, census: Deployment):
    values = {
        "region": "east",
        "day": "2026-01-02",
        "target": {"host": "h", "port": 1},
        "since": "2026-01-01T00:00:00Z",
    }
    old = add_run(census, ago=timedelta(hours=1), parameters=values, tags=["prod", "once"])

    sent = shown(browser, census, f"?copy={old.pk}")
    browser.post(f"/deployments/{census.pk}/run?copy={old.pk}", sent)

    made = FlowRun.objects.exclude(pk=old.pk).get()
    assert sent["tags"] == "once"
    assert made.parameters == values
    assert made.tags == ["prod", "once"]


@pytest.mark.parametrize(
    ("tags", "edit", "made"),
    [
        (["team=a,b", "once"], "{}", ["team=a,b", "once"]),
        (["team=a,b", "once"], "new, {}, c,d", ["new", "team=a,b", "once", "c", "d"]),
        (["team=a,b", "team=a,b, c"], "{}", ["team=a,b", "team=a,b, c"]),
        (["team=a,b", " outer ", ","], "{}", ["team=a,b", " outer ", ","]),
    ],
)
def test_a_copy_keeps_tags_with_commas(
    browser: Client, census: Deployment, tags: list[str], edit: str, made: list[str]
):
    old = add_run(census, ago=timedelta(hours=1), parameters={"day": "2026-01-02"}, tags=["prod", *tags])
    sent = shown(browser, census, f"?copy={old.pk}")

    browser.post(f"/deployments/{census.pk}/run?copy={old.pk}", sent | {"tags": edit.format(sent["tags"])})

    assert FlowRun.objects.exclude(pk=old.pk).get().tags == ["prod", *made]


@pytest.mark.parametrize(
    ("policy", "texts"),
    [
        ({"retries": 1_000_001, "retry_delay": 86_400.25}, ("1000001", "86400.25")),
        ({"retries": 2.0, "retry_delay": 3}, ("2", "3")),
        ({"retries": 0, "retry_delay": None}, ("", "")),
    ],
)
def test_a_copy_shows_retries_exactly(
    browser: Client, census: Deployment, policy: dict[str, Any], texts: tuple[str, str]
):
    old = add_run(census, ago=timedelta(hours=1), empirical_policy=policy)

    answer = browser.get(f"/deployments/{census.pk}/run?copy={old.pk}")

    settings = answer.context["form"].settings
    assert (settings.retries, settings.retry_delay) == texts
    assert ("As the copied run had them" in answer.content.decode()) == any(texts)


OTHER_SETTINGS: dict[str, Any] = {
    "name": "import of May",
    "context": {"why": "again"},
    "job_variables": {"env": {"REGION": "east"}},
    "work_queue_name": "gpu",
    "empirical_policy": {
        "retries": 3,
        "retry_delay": 10,
        "retry_jitter_factor": 0.5,
        "resumes": 1,
        "pause_keys": ["a"],
    },
    "limited_by": [41],
}


def settings_in(answer: Any) -> dict[str, str]:
    form = answer.context["form"]
    names = ("work_queue", "job_variables", "retries", "retry_delay")
    return {"name": form.name, **{name: getattr(form.settings, name) for name in names}}


def test_a_copy_has_everything_that_one_run_can_have(browser: Client, census: Deployment):
    gpu = WorkQueue.objects.create(name="gpu", work_pool=census.work_queue.work_pool if census.work_queue else None)
    old = add_run(census, ago=timedelta(hours=1), parameters={"day": "2026-01-02"}, work_queue_id=gpu.pk)
    FlowRun.objects.filter(pk=old.pk).update(**OTHER_SETTINGS)
    address = f"/deployments/{census.pk}/run?copy={old.pk}"

    page = browser.get(address)
    wrong = browser.post(address, shown(browser, census, f"?copy={old.pk}") | WRONG_SETTINGS)
    browser.post(address, shown(browser, census, f"?copy={old.pk}") | settings_in(page))

    made = FlowRun.objects.exclude(pk=old.pk).get()
    assert {name: getattr(made, name) for name in OTHER_SETTINGS} == OTHER_SETTINGS | {
        "empirical_policy": {"retries": 3, "retry_delay": 10.0, "retry_jitter_factor": 0.5}
    }
    assert "Its context is copied, too." in page.content.decode()
    assert wrong.context["form"].settings.errors.keys() == {"job_variables", "retries", "retry_delay"}
    assert "REGION" in browser.get(f"/runs/{made.pk}?tab=parameters").content.decode()


@pytest.mark.parametrize(("typed", "made"), [("", [1, 5.5]), ("0", 0.0), ("7", 7.0)])
def test_a_copy_keeps_a_list_of_retry_delays_unless_one_is_written(
    browser: Client, census: Deployment, typed: str, made: Any
):
    old = add_run(census, ago=timedelta(hours=1), parameters={"day": "2026-01-02"})
    FlowRun.objects.filter(pk=old.pk).update(empirical_policy={"retries": 2, "retry_delay": [1, 5.5]})
    address = f"/deployments/{census.pk}/run?copy={old.pk}"

    page = browser.get(address).content.decode()
    browser.post(address, shown(browser, census, f"?copy={old.pk}") | {"retries": "2", "retry_delay": typed})

    assert "Empty: 1, 5.5, as before the retries of the copied run." in page
    assert FlowRun.objects.exclude(pk=old.pk).get().empirical_policy == {"retries": 2, "retry_delay": made}


WRONG_SETTINGS = {"job_variables": "[1]", "retries": "-1", "retry_delay": "soon"}


@pytest.mark.parametrize("wanted", ["nonsense", "0197f3a0-0000-7000-8000-000000000001"])
def test_what_cannot_be_copied_is_not_found(browser: Client, census: Deployment, wanted: str):
    assert browser.get(f"/deployments/{census.pk}/run?copy={wanted}").status_code == 404


def test_runs_of_other_flows_cannot_be_copied(browser: Client, census: Deployment):
    other = add_run(make_deployment(flow="other"), ago=timedelta(hours=1))

    assert browser.get(f"/deployments/{census.pk}/run?copy={other.pk}").status_code == 404


def test_a_deployment_without_a_schema_takes_json(browser: Client):
    made = make_deployment(parameters={"a": 1})

    form = browser.get(f"/deployments/{made.pk}/run").context["form"]
    browser.post(f"/deployments/{made.pk}/run", {"raw": '{"a": 2, "b": [null]}'})

    assert json.loads(form.raw) == {"a": 1}
    assert the_run().parameters == {"a": 2, "b": [None]}


@pytest.mark.parametrize("raw", ["{", "[1]"])
def test_invalid_json_is_reported_at_its_field(browser: Client, raw: str):
    made = make_deployment()

    assert browser.post(f"/deployments/{made.pk}/run", {"raw": raw}).context["form"].raw_error


def test_a_schema_can_be_answered_with_json_too_and_is_held_to(browser: Client, census: Deployment):
    wrong = browser.post(f"/deployments/{census.pk}/run?as=json", {"raw": '{"limit": "x", "day": "2026-11-28"}'})
    browser.post(f"/deployments/{census.pk}/run?as=json", {"raw": '{"limit": 3, "day": "2026-11-28"}'})

    assert any("limit" in problem for problem in wrong.context["form"].problems)
    assert the_run().parameters == {"region": "south", "limit": 3, "day": "2026-11-28"}


def test_a_value_that_its_field_cannot_show_is_shown_as_json_and_kept(browser: Client):
    template = {"__prefect_kind": "json", "value": "7"}
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": template}, "m": {"type": "string"}}}
    made = make_deployment(parameter_openapi_schema=schema, parameters={})

    fields = fields_of(schema, {})
    browser.post(f"/deployments/{made.pk}/run", shown(browser, made) | {"p/m": "x"})

    assert [(one.kind, json.loads(one.text)) for one in fields if one.label == "n"] == [("json", template)]
    assert the_run().parameters == {"m": "x"}


def test_run_now_leads_to_the_form_where_parameters_are_missing(browser: Client, census: Deployment):
    answer = browser.post(f"/deployments/{census.pk}/run-now", follow=True)

    assert answer.redirect_chain == [(f"/deployments/{census.pk}/run", 302)]
    assert "is a required property" in answer.content.decode()


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"$ref": "#/definitions/A"}}},
        {"properties": {"a": {"$ref": "#/nowhere"}, "b": 3, "c": {"enum": []}, "d": {"type": ["string", "null"]}}},
        {"properties": [], "required": "x"},
        {
            "properties": {"a": {"$ref": "#/definitions/A"}},
            "definitions": {"A": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}}},
        },
    ],
)
def test_an_odd_schema_has_a_form_nevertheless(browser: Client, schema: dict[str, Any]):
    made = make_deployment(parameter_openapi_schema=schema)

    assert browser.get(f"/deployments/{made.pk}/run").status_code == 200


def test_texts_of_others_are_text_and_not_markup(browser: Client):
    own = {"type": "string", "description": HOSTILE, "default": HOSTILE}
    made = make_deployment(parameter_openapi_schema={"type": "object", "properties": {HOSTILE: own}})

    page = browser.get(f"/deployments/{made.pk}/run").content.decode()
    wrong = browser.post(f"/deployments/{made.pk}/run", {"name": HOSTILE, "start": "at", "at": HOSTILE})

    assert HOSTILE not in page + wrong.content.decode()


def test_the_form_costs_few_queries(browser: Client, census: Deployment, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        browser.get(f"/deployments/{census.pk}/run")


def test_a_deployment_that_is_not_there_is_not_found(browser: Client):
    assert browser.get(f"/deployments/{uuid4()}/run").status_code == 404


@pytest.mark.parametrize(
    ("sent", "given"),
    [("", False), ("false", False), ("off", False), ("true", True), ("on", True), ("0", None), ("no", None)],
)
def test_what_a_program_sends_for_a_tick_is_read_or_refused(
    browser: Client, census: Deployment, sent: str, given: bool | None
):
    answer = browser.post(f"/deployments/{census.pk}/run", {"p/day": "2026-03-08", "p/dry": sent})

    if given is None:
        field = next(one for one in answer.context["form"].fields if one.label == "dry")
        assert field.errors == [f"{sent!r} is not a tick: write true or false."]
        assert not FlowRun.objects.exists()
    else:
        assert FlowRun.objects.get().parameters.get("dry", False) is given
