"""Global limits and their slots under /v2/concurrency_limits/."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from deployments.models import GlobalLimit

pytestmark = pytest.mark.django_db
ROOT = "/v2/concurrency_limits"


def make(api, name="db", limit=1, **fields):
    return api.send(f"{ROOT}/", {"name": name, "limit": limit, **fields})


def take(api, *names, slots=1, mode="concurrency"):
    return api.send(f"{ROOT}/increment", {"names": list(names), "slots": slots, "mode": mode})


def put_back(api, *names, slots=1, **fields):
    return api.send(f"{ROOT}/decrement", {"names": list(names), "slots": slots, **fields})


def in_use(api, name="db"):
    return api.read(f"{ROOT}/{name}").json()["active_slots"]


def test_a_limit_is_created_and_read_by_name_and_id(api):
    made = make(api, limit=3, slot_decay_per_second=0.5)

    limit = made.json()
    by_name = api.read(f"{ROOT}/db").json()
    assert made.status_code == 201
    assert (limit["denied_slots"], limit["avg_slot_occupancy_seconds"], limit["active"]) == (0, 2.0, True)
    assert by_name == api.read(f"{ROOT}/{limit['id']}").json() == api.send(f"{ROOT}/filter").json()[0]
    assert (by_name["limit"], by_name["active_slots"], by_name["slot_decay_per_second"]) == (3, 0, 0.5)


def test_slots_are_taken_until_none_is_left(api, counted):
    limit = make(api).json()

    with counted("take slots"):
        first = take(api, "db")
    second = take(api, "db")

    assert (first.status_code, first.json()) == (200, [{"id": limit["id"], "name": "db", "limit": 1}])
    assert (second.status_code, second.json()) == (423, {"detail": "Locked"})
    assert float(second["Retry-After"]) == 2.0
    assert in_use(api) == 1


def test_an_unsaid_mode_is_not_that_of_rates(api):
    make(api)

    assert [take(api, "db", mode=None).status_code for _ in range(2)] == [200, 423]


def test_those_who_were_refused_before_are_waited_for(api):
    make(api)
    take(api, "db")

    waits = [float(take(api, "db")["Retry-After"]) for _ in range(3)]

    assert waits == pytest.approx([2, 4, 6], abs=0.5)


def test_slots_are_returned_and_taken_again(api):
    make(api)
    take(api, "db")

    answer = put_back(api, "db", "never-heard-of", occupancy_seconds=0.5)

    assert (answer.status_code, [limit["name"] for limit in answer.json()]) == (200, ["db"])
    assert in_use(api) == 0
    assert take(api, "db").status_code == 200


def test_slots_are_taken_from_all_limits_or_from_none(api):
    make(api, "a", 5)
    make(api, "b", 1)
    take(api, "b")

    answer = take(api, "a", "b", "a")

    assert answer.status_code == 423
    assert (in_use(api, "a"), in_use(api, "b")) == (0, 1)


def test_a_name_without_a_limit_gets_an_inactive_one(api):
    answer = take(api, "new", slots=7)

    limit = api.read(f"{ROOT}/new").json()
    assert (answer.status_code, answer.json()[0]["limit"]) == (200, 1)
    assert (limit["active"], limit["active_slots"]) == (False, 0)
    assert put_back(api, "new", slots=7).status_code == 200


def test_more_slots_than_there_can_be_are_refused(api):
    make(api, limit=2)

    answer = take(api, "db", slots=3)

    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_slots")


def test_a_rate_needs_a_decay(api):
    make(api)

    answer = take(api, "db", mode="rate_limit")

    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_rate")


def test_a_rate_frees_its_slots_by_itself(api):
    make(api, slot_decay_per_second=0.1)
    take(api, "db", mode="rate_limit")
    refused = take(api, "db", mode="rate_limit")
    _let_pass(seconds=10)

    taken = take(api, "db", mode="rate_limit")

    assert float(refused["Retry-After"]) == pytest.approx(10, abs=0.5)
    assert taken.status_code == 200


def test_a_limit_is_changed(api):
    limit = make(api).json()
    take(api, "db")

    answer = api.call("PATCH", f"{ROOT}/db", {"limit": 4, "name": "warehouse"})
    api.call("PATCH", f"{ROOT}/{limit['id']}", {"active_slots": 3})

    changed = api.read(f"{ROOT}/warehouse").json()
    assert answer.status_code == 204
    assert (changed["id"], changed["limit"], changed["active_slots"]) == (limit["id"], 4, 3)


def test_a_name_is_given_once(api):
    make(api, "a")
    make(api, "b")

    assert make(api, "a").json()["code"] == "global_limit_exists"
    assert api.call("PATCH", f"{ROOT}/b", {"name": "a"}).status_code == 409


def test_a_limit_is_deleted(api):
    make(api, "a b")
    limit = make(api, "c").json()

    answers = [api.call("DELETE", f"{ROOT}/{which}").status_code for which in ("a b", limit["id"], "c")]

    assert answers == [204, 204, 404]
    assert api.send(f"{ROOT}/filter", {"limit": None}).json() == []


def test_missing_objects_are_not_found(api):
    assert api.read(f"{ROOT}/none").status_code == 404
    assert api.read(f"{ROOT}/{uuid4()}").status_code == 404
    assert api.call("PATCH", f"{ROOT}/none", {"limit": 1}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("increment", {"names": ["a"], "slots": 0}),
        ("increment", {"names": ["a"]}),
        ("increment", {"slots": 1}),
        ("increment", {"names": [], "slots": 1}),
        ("decrement", {"names": [], "slots": 1}),
        ("increment", {"names": ["a"], "slots": 1, "mode": "both"}),
        ("increment", {"names": ["a/b"], "slots": 1}),
        ("decrement", {"names": ["a"], "slots": 1, "occupancy_seconds": 0}),
        ("", {"name": "a", "limit": -1}),
        ("", {"name": "a/b", "limit": 1}),
        ("", {"name": "a", "limit": 1, "colour": "red"}),
    ],
)
def test_a_request_that_does_not_fit_is_refused(api, path, body):
    assert api.send(f"{ROOT}/{path}", body).status_code == 422


def _let_pass(seconds):
    """Move what was counted into the past; the API asks the clock itself."""
    for limit in GlobalLimit.objects.all():
        GlobalLimit.objects.update(counted_at=limit.counted_at - timedelta(seconds=seconds))
