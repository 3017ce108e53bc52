"""The limits on tags under /concurrency_limits/."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.factories import make_limit, make_task_run

pytestmark = pytest.mark.django_db


def test_a_tag_is_limited_and_its_limit_changed(api):
    first = api.send("/concurrency_limits/", {"tag": "gpu", "concurrency_limit": 2})
    second = api.send("/concurrency_limits/", {"tag": "gpu", "concurrency_limit": 3})

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json()["id"] == first.json()["id"]
    assert (second.json()["concurrency_limit"], second.json()["active_slots"]) == (3, [])


def test_a_limit_names_who_holds_its_slots(api, counted):
    run = make_task_run("RUNNING")
    limit = make_limit("gpu/big", 1, taken_by=[run])

    with counted("read limit"):
        by_tag = api.read("/concurrency_limits/tag/gpu/big").json()

    assert by_tag["active_slots"] == [str(run.id)]
    assert api.read(f"/concurrency_limits/{limit.id}").json() == by_tag
    assert api.send("/concurrency_limits/filter", {}).json() == [by_tag]


def test_slots_are_freed_by_hand(api):
    make_limit("gpu", 2, taken_by=[make_task_run("RUNNING")])
    keeper = make_task_run("RUNNING")

    answer = api.send("/concurrency_limits/tag/gpu/reset", {"slot_override": [str(keeper.id)]})
    kept = api.read("/concurrency_limits/tag/gpu").json()["active_slots"]
    api.send("/concurrency_limits/tag/gpu/reset")

    assert (answer.status_code, answer.json(), kept) == (200, None, [str(keeper.id)])
    assert api.read("/concurrency_limits/tag/gpu").json()["active_slots"] == []


def test_a_limit_is_deleted_by_tag_and_by_id(api):
    make_limit("a", 1)
    limit = make_limit("b", 1)

    by_tag = api.call("DELETE", "/concurrency_limits/tag/a")
    by_id = api.call("DELETE", f"/concurrency_limits/{limit.id}")

    assert (by_tag.status_code, by_id.status_code) == (200, 200)
    assert api.send("/concurrency_limits/filter").json() == []


def test_missing_objects_are_not_found(api):
    assert api.read("/concurrency_limits/tag/none").json() == {"detail": "Concurrency limit not found"}
    assert api.read(f"/concurrency_limits/{uuid4()}").status_code == 404
    assert api.call("DELETE", "/concurrency_limits/tag/none").status_code == 404
    assert api.send("/concurrency_limits/tag/none/reset", {}).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"), [("concurrency_limit", -1), ("concurrency_limit", 2**31), ("tag", "x" * 256)]
)
def test_a_limit_that_does_not_fit_is_refused(api, field, value):
    answer = api.send("/concurrency_limits/", {"tag": "gpu", "concurrency_limit": 1, field: value})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", field]
