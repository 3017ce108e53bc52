"""POST /artifacts/, the newest artifact of each key, and the lists of both."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.factories import later, make_artifact, make_flow_run

pytestmark = pytest.mark.django_db


def test_an_artifact_is_stored_and_becomes_the_newest_of_its_key(api, counted):
    body = {"key": "report", "type": "markdown", "data": "# Hi", "metadata_": {"rows": 3}, "description": "d"}

    with counted("create artifact"):
        first = api.send("/artifacts/", body)
    second = api.send("/artifacts/", {**body, "data": {"any": ["json", None]}}).json()

    latest = api.read("/artifacts/report/latest").json()
    assert (first.status_code, first.json()["metadata_"]) == (201, {"rows": "3"})
    assert (latest["id"], latest["data"]) == (second["id"], {"any": ["json", None]})
    assert api.read(f"/artifacts/{first.json()['id']}").json() == first.json()


@pytest.mark.parametrize("value", [None, [1], {"a": "b"}])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_metadata_are_texts_numbers_and_flags(api, method, value):
    path = "/artifacts/" if method == "POST" else f"/artifacts/{make_artifact().id}"
    flat = {"text": "a", "number": 1.5, "flag": True}

    refused = api.call(method, path, {"metadata_": {**flat, "wrong": value}})
    accepted = api.call(method, path, {"metadata_": flat})

    assert refused.status_code == 422
    assert refused.json()["exception_detail"][0]["loc"] == ["body", "metadata_", "wrong"]
    assert accepted.status_code in {201, 204}
    stored = api.send("/artifacts/filter", {"sort": "UPDATED_DESC"}).json()[0]
    assert stored["metadata_"] == {"text": "a", "number": "1.5", "flag": "True"}


@pytest.mark.parametrize("key", ["Report", "my report", "ä", "", "x" * 256])
def test_a_key_of_other_letters_is_refused(api, key):
    answer = api.send("/artifacts/", {"key": key})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "key"]


def test_only_what_is_sent_is_changed(api):
    artifact = make_artifact(description="kept")

    answer = api.call("PATCH", f"/artifacts/{artifact.id}", {"data": [1]})

    body = api.read(f"/artifacts/{artifact.id}").json()
    assert answer.status_code == 204
    assert (body["data"], body["description"]) == ([1], "kept")


def test_a_deleted_artifact_leaves_its_key_to_the_one_before(api):
    older, newer = make_artifact(data="old"), make_artifact(data="new", now=later())

    api.call("DELETE", f"/artifacts/{newer.id}")

    assert api.read("/artifacts/report/latest").json()["id"] == str(older.id)
    assert api.call("DELETE", f"/artifacts/{older.id}").status_code == 204
    assert api.read("/artifacts/report/latest").json() == {"detail": "Artifact not found"}


def test_missing_objects_are_not_found(api):
    assert api.read(f"/artifacts/{uuid4()}").json() == {"detail": "Artifact not found"}
    assert api.call("PATCH", f"/artifacts/{uuid4()}", {"data": 1}).status_code == 404
    assert api.call("DELETE", f"/artifacts/{uuid4()}").status_code == 404


def test_artifacts_are_found_by_key_run_and_type(api):
    run = make_flow_run()
    make_artifact("report-one", flow_run_id=run.id)
    make_artifact("report-two", type="table")
    make_artifact(None, type="result")

    def count(**asked):
        return api.send("/artifacts/count", asked).json()

    assert count() == 3
    assert count(artifacts={"key": {"like_": "REPORT%one"}}) == 1
    assert count(artifacts={"key": {"exists_": True}}) == 2
    assert count(artifacts={"key": {"exists_": False}}) == 1
    assert count(artifacts={"type": {"not_any_": ["result", "table"]}}) == 1
    assert count(artifacts={"flow_run_id": {"any_": [str(run.id)]}}) == 1
    assert count(flow_runs={"id": {"any_": [str(run.id)]}}) == 1
    assert count(flows={}) == 1
    assert count(task_runs={}) == 0
    assert [one["key"] for one in api.send("/artifacts/filter", {"sort": "KEY_ASC", "limit": 2}).json()] == [
        "report-one",
        "report-two",
    ]


def test_the_newest_of_each_key_are_listed(api, counted):
    make_artifact("a", data=1)
    newest = make_artifact("a", data=2, now=later())
    make_artifact("b", type="table")

    with counted("filter latest artifacts"):
        found = api.send("/artifacts/latest/filter", {"sort": "KEY_ASC"}).json()

    assert [(one["key"], one["latest_id"], one["data"]) for one in found][:1] == [("a", str(newest.id), 2)]
    assert api.send("/artifacts/latest/count", {}).json() == 2
    assert api.send("/artifacts/latest/count", {"artifacts": {"type": {"any_": ["table"]}}}).json() == 1
    assert api.send("/artifacts/latest/count", {"artifacts": {"latest_id": {"any_": [str(newest.id)]}}}).json() == 1


def test_an_artifact_that_is_sent_again_is_stored_once(api):
    body = {"id": str(uuid4()), "key": "once", "data": 1}

    first, again = api.send("/artifacts/", body), api.send("/artifacts/", body)

    assert (again.status_code, again.json()) == (201, first.json())
    assert api.send("/artifacts/count", {"artifacts": {"key": {"any_": ["once"]}}}).json() == 1
