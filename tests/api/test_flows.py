"""POST /flows/ and what can be done with a flow afterwards."""

from __future__ import annotations

from uuid import uuid4

import pytest

from runs.models import Flow
from tests.factories import make_flow, make_flow_run

pytestmark = pytest.mark.django_db


def test_a_new_flow_is_created(api):
    answer = api.send("/flows/", {"name": "census", "tags": ["nightly"]})

    assert answer.status_code == 201
    assert answer.json().keys() == {"id", "created", "updated", "name", "tags"}
    assert (answer.json()["name"], answer.json()["tags"]) == ("census", ["nightly"])


def test_a_known_name_gives_the_stored_flow_unchanged(api):
    flow = make_flow("census", tags=["nightly"])

    answer = api.send("/flows/", {"name": "census", "tags": ["other"]})

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["tags"]) == (str(flow.id), ["nightly"])


@pytest.mark.parametrize("name", ["a/b", "50%", "a&b", "a>b", "a<b", "", "x" * 256, "tab\there", None, 7])
def test_a_name_that_would_break_an_address_is_refused(api, name):
    answer = api.send("/flows/", {"name": name})

    assert answer.status_code == 422
    assert [complaint["loc"] for complaint in answer.json()["exception_detail"]] == [["body", "name"]]
    assert answer.json()["exception_message"] == "Invalid request received."
    assert answer.json()["request_body"] == {"name": name}
    assert not Flow.objects.exists()


def test_an_unknown_field_is_refused_by_its_name(api):
    answer = api.send("/flows/", {"name": "census", "colour": "red"})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "colour"]


def test_a_flow_is_read_by_id_and_by_name(api, counted):
    flow = make_flow("my flow")

    with counted("read flow"):
        by_id = api.read(f"/flows/{flow.id}")
    by_name = api.read("/flows/name/my%20flow")

    assert by_id.json() == by_name.json()
    assert by_id.json()["name"] == "my flow"


def test_a_missing_flow_is_not_found(api):
    answer = api.read(f"/flows/{uuid4()}")

    assert answer.status_code == 404
    assert answer.json() == {"detail": "Flow not found"}
    assert api.read("/flows/name/nothing").status_code == 404
    assert api.call("PATCH", f"/flows/{uuid4()}", {"tags": []}).status_code == 404
    assert api.call("DELETE", f"/flows/{uuid4()}").status_code == 404


def test_an_invalid_id_is_refused(api):
    answer = api.read("/flows/census")

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["path", "id"]


def test_tags_are_replaced(api):
    flow = make_flow(tags=["old"])

    answer = api.call("PATCH", f"/flows/{flow.id}", {"tags": ["new"]})

    assert (answer.status_code, answer.content) == (204, b"")
    assert api.read(f"/flows/{flow.id}").json()["tags"] == ["new"]


def test_a_deleted_flow_takes_its_runs_with_it(api):
    run = make_flow_run()

    answer = api.call("DELETE", f"/flows/{run.flow_id}")

    assert answer.status_code == 204
    assert api.read(f"/flow_runs/{run.id}").status_code == 404
