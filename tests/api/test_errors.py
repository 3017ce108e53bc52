"""Error bodies have one shape for each kind of error, and contain nothing internal."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, InternalError, OperationalError
from django.test import RequestFactory
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

import orion_site
from orchestration.api.errors import AWAY, BUSY, DISK_FULL, INTEGRITY, _sentence, answer_error
from orchestration.api.operations import Endpoint, Operation
from orion_site.accounts.permissions import Action
from orion_site.http.peers import OWN_USER
from tests.factories import make_flow

pytestmark = pytest.mark.django_db


def test_an_unknown_path_is_not_found(api):
    for path in ("/nothing/here", "/nothing%0Ahere", "/flows/filter/more"):
        answer = api.read(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_a_wrong_method_is_answered_with_the_right_ones(api):
    answer = api.call("PUT", f"/flows/{uuid4()}", {})

    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer["Allow"] == "GET, PATCH, DELETE"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("/flows", "/api/flows/"),
        ("/flows/filter/", "/api/flows/filter"),
        ("/work_pools/my%20pool/", "/api/work_pools/my%20pool"),
    ],
)
def test_another_spelling_of_a_path_keeps_method_and_body(api, wrong, right):
    answer = api.send(f"{wrong}?x=1", {"name": "census"})

    assert (answer.status_code, answer["Location"]) == (307, f"{right}?x=1")


@pytest.mark.parametrize("body", [b"{", b"", b"{'a': 1}", b"\xff\xfe", b'{"name": "x"} trailing', b"name=x"])
def test_a_body_that_is_not_json_is_a_complaint_about_the_body(api, body):
    answer = api.send("/flows/", body)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/variables/", {"name": "A b", "value": "x"}, "lower-case letters, digits and underscores"),
        ("/artifacts/", {"key": "A b"}, "lower-case letters, digits and dashes"),
        ("/flows/", {"name": "a/b"}, "The characters / % & > <"),
        ("/work_pools/", {"name": "a/b"}, "The characters / % & > <"),
    ],
)
def test_an_error_lists_the_characters_that_a_name_may_have(api, path, body, expected):
    answer = api.send(path, body)

    assert answer.status_code == 422
    assert expected in answer.json()["detail"]


def test_a_complaint_names_fields_and_no_types(api):
    trigger = {"type": "event", "posture": "Reactive", "match": {"a": None}}

    answer = api.send("/automations/", {"name": "n", "trigger": trigger, "actions": [{"type": "do-nothing"}]})

    assert answer.json()["detail"] == (
        "trigger.event.match.a: Input should be a valid string; trigger.event.match.a: Input should be a valid array"
    )


def test_a_complaint_about_a_union_of_checked_types_names_fields_and_no_types():
    either = Annotated[int, AfterValidator(abs)] | list[Annotated[str, BeforeValidator(str)]]
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(dict[str, either]).validate_python({"a": None})

    complaints = [_sentence({"loc": one["loc"], "msg": one["msg"]}) for one in refused.value.errors()]

    assert complaints == ["a: Input should be a valid integer", "a: Input should be a valid list"]


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    answer = api.send("/flows/", {"name": "x" * 2000})

    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"]


def test_a_long_body_is_not_sent_back(api):
    answer = api.send("/flows/", {"name": "x" * 100_000})

    assert answer.json()["request_body"] == "(100012 bytes)"


@pytest.mark.parametrize("version", ["0.7.9", "0.0.0", "0.8", "zero", "1.2.3.4", "0.8.4-beta", "9" * 5000])
def test_old_and_malformed_client_versions_are_refused(api, version):
    answer = api.read("/health", x_prefect_api_version=version)

    assert answer.status_code == 400
    assert "detail" in answer.json()


@pytest.mark.parametrize("version", ["0.8.0", "0.8.4", "1.0.0", None])
def test_clients_of_this_version_or_later_pass(api, version):
    headers = {"x-prefect-api-version": version} if version else {}

    assert api.read("/health", **headers).json() is True


def test_the_csrf_request_of_older_clients_answers_that_no_token_is_needed(api):
    answer = api.read("/csrf-token?client=abc")

    assert (answer.status_code, answer.json()) == (422, {"detail": "CSRF protection is disabled."})


def caused_by(code: str, kind: type[DatabaseError] = OperationalError) -> DatabaseError:
    """Return the error as Django raises it, with the driver's error as its cause."""
    cause = RuntimeError(code)
    cause.sqlite_errorname = cause.sqlstate = code  # type: ignore[attr-defined]
    error = kind("no room")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            IntegrityError("x"),
            409,
            {"detail": INTEGRITY},
        ),
        (OperationalError("database is locked"), 503, {"exception_message": BUSY}),
        (caused_by("57P01"), 503, {"exception_message": AWAY}),
        (InterfaceError("connection already closed"), 503, {"exception_message": AWAY}),
        (caused_by("55P03"), 503, {"exception_message": BUSY}),
        (caused_by("SQLITE_FULL"), 503, {"exception_message": DISK_FULL}),
        (caused_by("53100"), 503, {"exception_message": DISK_FULL}),
        (caused_by("25P03", InternalError), 503, {"exception_message": BUSY}),
        (RuntimeError("secret"), 500, {"exception_message": "Internal Server Error"}),
    ],
)
def test_internal_errors_are_answered_without_details(error, status, body, caplog):
    answer = answer_error(error, {})

    assert (answer.status_code, answer.data) == (status, body)


class Broken(Operation):
    """Breaks."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: str}

    def perform(self) -> str:
        raise RuntimeError("secret")


def test_an_operation_that_breaks_answers_and_is_logged(caplog):
    answer = Endpoint(Broken)(RequestFactory(headers={"host": "localhost"}, **{OWN_USER: True}).get("/")).render()

    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert "secret" in caplog.text


def test_any_accept_header_gets_json(api):
    for accept in ("application/xml", "*/*", "nonsense", ""):
        assert api.read("/health", accept=accept)["Content-Type"] == "application/json"


def test_a_browser_gets_a_page_around_the_answer(api):
    flow = make_flow("census")

    page = api.read(f"/flows/{flow.id}", accept="text/html,application/xhtml+xml,*/*;q=0.8")

    assert page["Content-Type"].startswith("text/html")
    assert "census" in page.content.decode()
    assert "Read flow" in page.content.decode()


@pytest.mark.parametrize("accept", ["text/html", "text/html, image/gif, */*; q=.2"])
@pytest.mark.parametrize("path", ["/flows/", "/flows/nowhere", "/flows/filter"])
def test_programs_that_accept_html_get_json_when_they_send(api, accept, path):
    bodies = [{"name": "a/b"}, b"{", {}]

    answers = [api.send(path, body, accept=accept) for body in bodies]

    assert {answer["Content-Type"] for answer in answers} == {"application/json"}


def test_the_form_of_a_page_is_answered_by_a_page(api):
    answer = api.send("/flows/", {"name": "a/b"}, accept="text/html; q=1.0, */*", origin="http://localhost:4200")

    assert answer.status_code == 422
    assert answer["Content-Type"].startswith("text/html")


def test_a_client_that_accepts_json_gets_it(api):
    for accept in ("application/json, text/html;q=0.5", "text/html, application/json"):
        assert api.read("/health", accept=accept)["Content-Type"] == "application/json"


def test_a_browser_gets_a_page_with_a_form_where_a_body_is_wanted(api):
    page = api.read("/flows/filter", accept="text/html")

    assert page.status_code == 405
    assert "<form" in page.content.decode()


def test_the_server_describes_itself(api):
    assert api.read("/hello").json() == "👋"
    assert api.read("/ready").json() == {"message": "OK"}
    assert api.read("/version").json() == "0.8.4"
    assert api.read("/admin/version").json() == orion_site.__version__
    assert "PASSWORD" not in api.read("/admin/settings").content.decode().upper()
