"""A paused run is resumed on its page, and one that waits for input is answered there in a form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from orchestration.core.states import State
from orion_site.accounts.permissions import LOCAL_OWNER, Action, Actor
from runs.flow_runs.commands import resume_flow_run
from runs.models import FlowRun, FlowRunInput
from tests.factories import NOON, later, make_flow_run, make_state, state_of
from tests.web.deployments import make_deployment
from tests.web.test_run_form import sent_by

KEYSET = {"schema": "paused-1-schema", "response": "paused-1-response", "description": "paused-1-description"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "pieces": {"type": "integer", "default": 1, "minimum": 1, "description": "How many to buy"},
        "until": {"type": "string", "format": "date"},
        "ship": {"$ref": "#/definitions/Address"},
    },
    "required": ["approved"],
    "definitions": {"Address": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}},
}


def asking(schema: Any = SCHEMA, description: str = "", **details: Any) -> FlowRun:
    return ask(make_flow_run(pausing(**details)), schema, description)


def pausing(**details: Any) -> State:
    return make_state("PAUSED", run_input_keyset=KEYSET, **details)


def ask(run: FlowRun, schema: Any, description: str) -> FlowRun:
    stored = {"schema": schema, "description": description or None}
    for part, value in stored.items():
        if value is not None:
            FlowRunInput.objects.create(flow_run=run, key=KEYSET[part], value=json.dumps(value))
    return run


def shown(browser: Client, run: FlowRun) -> dict[str, str]:
    """The fields in the page of the run as a browser would send them."""
    form = browser.get(f"/runs/{run.pk}").context["answer"]
    return {"pause": str(form.pause), **sent_by(form.fields)}


def answer_of(run: FlowRun) -> Any:
    stored = FlowRunInput.objects.filter(flow_run=run, key=KEYSET["response"]).values_list("value").first()
    return json.loads(stored[0]) if stored else None


def test_the_answer_in_the_form_resumes_the_run(browser: Client, django_assert_max_num_queries):
    run = asking(description="Buy **them**?")
    with django_assert_max_num_queries(12):
        page = browser.get(f"/runs/{run.pk}").content.decode()
    sent = shown(browser, run)

    answer = browser.post(
        f"/runs/{run.pk}/resume", {**sent, "p/approved": "true", "p/pieces": "3", "p/ship/town": "Ulm"}, follow=True
    )

    assert "Buy <strong>them</strong>?" in page
    assert "How many to buy" in page
    form = page.partition(f'action="/runs/{run.pk}/resume"')[2].partition("</form>")[0]
    assert 'name="csrfmiddlewaretoken"' in form
    assert 'href="#answer"' in page
    assert sent["p/pieces"] == "1"
    assert state_of(run) == "RUNNING"
    assert answer_of(run) == {"approved": True, "pieces": 3, "ship": {"town": "Ulm"}}
    assert "The run goes on." in answer.content.decode()
    assert 'id="answer"' not in answer.content.decode()


def test_an_answer_that_does_not_fit_comes_back_with_errors_at_its_fields(browser: Client):
    run = asking()

    answer = browser.post(
        f"/runs/{run.pk}/resume", {**shown(browser, run), "p/pieces": "0", "p/until": "soon", "p/ship/town": ""}
    )

    fields = {one.label: one for one in answer.context["form"].fields}
    assert 'name="csrfmiddlewaretoken"' in answer.content.decode().partition('id="answer"')[2]
    assert answer.status_code == 422
    assert fields["approved"].errors == ["This field is required."]
    assert "minimum" in fields["pieces"].errors[0]
    assert (fields["pieces"].text, fields["until"].text) == ("0", "soon")
    assert "is not a date" in fields["until"].errors[0]
    assert (state_of(run), answer_of(run)) == ("PAUSED", None)


LINES = {"type": "object", "properties": {"value": {"type": "array", "items": {"type": "string"}}}}
ELSEWHERE = {"$ref": "#/definitions/Approval", "definitions": {"Approval": SCHEMA}}


@pytest.mark.parametrize(
    ("schema", "sent", "stored"),
    [
        ({"type": "object", "properties": {}}, {}, {}),
        (ELSEWHERE, {"raw": '{"approved": false}'}, {"approved": False}),
        (LINES, {"p/value": "a\nb"}, {"value": ["a", "b"]}),
    ],
)
def test_every_kind_of_schema_can_be_answered(browser: Client, schema: Any, sent: dict[str, str], stored: Any):
    run = asking(schema)

    browser.post(f"/runs/{run.pk}/resume", {**shown(browser, run), **sent})

    assert (state_of(run), answer_of(run)) == ("RUNNING", stored)


@pytest.mark.parametrize(("schema", "words"), [(None, "has not said yet"), ([], "is not a JSON object")])
def test_a_question_that_cannot_be_read_says_so(browser: Client, schema: Any, words: str):
    run = asking(schema)

    page = browser.get(f"/runs/{run.pk}").content.decode()
    refused = browser.post(f"/runs/{run.pk}/resume", {})

    assert words in page
    assert refused.status_code == 422
    assert state_of(run) == "PAUSED"


def test_a_pause_without_input_has_a_button(browser: Client):
    run = make_flow_run("PAUSED")
    one = make_deployment()
    suspended = make_flow_run(
        make_state("PAUSED", "Suspended", pause_reschedule=True), flow=one.flow, deployment_id=one.pk
    )

    page = browser.get(f"/runs/{run.pk}").content.decode()
    browser.post(f"/runs/{run.pk}/resume", shown(browser, run))
    answer = browser.post(f"/runs/{suspended.pk}/resume", follow=True).content.decode()

    assert ">Resume</button>" in page
    assert 'id="answer"' not in page
    assert (state_of(run), state_of(suspended)) == ("RUNNING", "SCHEDULED")
    assert "The run waits for an agent to go on." in answer


def test_an_answer_to_an_earlier_pause_is_not_taken(browser: Client):
    run = asking()
    sent = {**shown(browser, run), "p/approved": "true"}
    address = f"/runs/{run.pk}/resume"

    first = browser.post(address, sent, follow=True).content.decode()
    twice = browser.post(address, sent, follow=True).content.decode()
    looked = browser.get(address, follow=True).content.decode()
    other = asking()
    late = browser.post(f"/runs/{other.pk}/resume", sent, follow=True).content.decode()
    from_palette = browser.post(f"/runs/{other.pk}/resume?pause={sent['pause']}", follow=True).content.decode()
    raced = resume_flow_run(run_id=other.pk, run_input={"approved": True}, now=later(), pause=run.pk)

    assert "The run goes on." in first
    assert "The run is no longer paused: it is running. Nothing more was sent." in twice
    assert "The run is not paused: it is running." in looked
    assert "has paused again since" in late
    assert "has paused again since" in from_palette
    assert "paused again" in raced.refusal
    assert (state_of(other), answer_of(other)) == ("PAUSED", None)


def test_a_reader_sees_no_form_and_resumes_nothing(browser: Client, monkeypatch: pytest.MonkeyPatch):
    run, plain = asking(), make_flow_run("PAUSED")
    reader = Actor("reader", LOCAL_OWNER.actions - {Action.CHANGE_RUNS})
    monkeypatch.setattr("orion_site.accounts.permissions.recognised", lambda request: reader)

    pages = [browser.get(f"/runs/{one.pk}").content.decode() for one in (run, plain)]
    answers = [browser.post(f"/runs/{run.pk}/resume", {"p/approved": "true"}), browser.get(f"/runs/{run.pk}/resume")]

    assert all("/resume" not in page for page in pages)
    assert [answer.status_code for answer in answers] == [403, 403]
    assert state_of(run) == "PAUSED"


def test_why_names_the_fields_and_a_command_that_gives_them(browser: Client):
    page = browser.get(f"/runs/{asking(pause_timeout=NOON).pk}").content.decode()
    without = browser.get(f"/runs/{make_flow_run('PAUSED').pk}").content.decode()

    assert "at the latest until 2026-01-05 12:00:00 UTC." in page
    assert "It waits for input: approved; pieces, until, ship may be given." in page
    assert "--input approved=VALUE" in page
    assert "--input" not in without
