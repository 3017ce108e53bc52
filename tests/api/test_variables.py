"""Variables under /variables/."""

from __future__ import annotations

from uuid import uuid4

import pytest

pytestmark = pytest.mark.django_db


def make(api, name="colour", value="red", **fields):
    return api.send("/variables/", {"name": name, "value": value, **fields})


def test_a_variable_is_stored_and_read_by_name_and_id(api, counted):
    stored = make(api, tags=["a"])

    with counted("read variable"):
        by_name = api.read("/variables/name/colour")

    assert stored.status_code == 201
    assert by_name.json() == stored.json()
    assert api.read(f"/variables/{stored.json()['id']}").json() == stored.json()
    assert (stored.json()["value"], stored.json()["tags"]) == ("red", ["a"])


def test_a_name_is_given_once(api):
    make(api, "a")
    other = make(api, "b").json()

    again = make(api, "a")
    renamed = api.call("PATCH", f"/variables/{other['id']}", {"name": "a"})

    assert (again.status_code, renamed.status_code) == (409, 409)
    assert again.json()["code"] == "variable_exists"
    assert api.read("/variables/name/b").json() == other


@pytest.mark.parametrize("path", ["name/colour", "{id}"])
def test_a_variable_is_changed(api, path):
    stored = make(api, tags=["a"]).json()

    answer = api.call("PATCH", f"/variables/{path.format(**stored)}", {"value": "blue"})

    changed = api.read("/variables/name/colour").json()
    assert (answer.status_code, answer.content) == (204, b"")
    assert (changed["value"], changed["tags"]) == ("blue", ["a"])
    assert changed["updated"] > stored["updated"]


def test_a_variable_is_renamed(api):
    stored = make(api).json()

    api.call("PATCH", "/variables/name/colour", {"name": "shade"})

    assert api.read("/variables/name/shade").json()["id"] == stored["id"]
    assert api.read("/variables/name/colour").json()["detail"] == "Variable not found."


@pytest.mark.parametrize("path", ["name/colour", "{id}"])
def test_a_variable_is_deleted(api, path):
    stored = make(api).json()

    answers = [api.call("DELETE", f"/variables/{path.format(**stored)}").status_code for _ in range(2)]

    assert answers == [204, 404]


def test_missing_objects_are_not_found(api):
    assert api.read(f"/variables/{uuid4()}").status_code == 404
    assert api.call("PATCH", "/variables/name/none", {"value": "x"}).status_code == 404
    assert api.read("/variables/none").status_code == 404


@pytest.mark.undivided
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["a_one", "a_two", "b"]),
        ({"variables": {"name": {"like_": "A_"}}}, ["a_one", "a_two"]),
        ({"variables": {"value": {"any_": ["2"]}}}, ["a_two"]),
        ({"variables": {"tags": {"all_": ["x"]}}}, ["a_two", "b"]),
        ({"variables": {"tags": {"is_null_": True}}}, ["a_one"]),
        ({"variables": {"operator": "or_", "name": {"any_": ["b"]}, "value": {"like_": "1"}}}, ["a_one", "b"]),
        ({"sort": "NAME_DESC", "limit": 2}, ["b", "a_two"]),
        ({"sort": None, "limit": None, "offset": None}, ["a_one", "a_two", "b"]),
    ],
)
def test_variables_are_listed_and_counted(api, asked, found):
    for name, value, tags in [("a_one", "1", []), ("b", "3", ["x"]), ("a_two", "2", ["x", "y"])]:
        make(api, name, value, tags=tags)

    listed = api.send("/variables/filter", asked).json()

    assert [variable["name"] for variable in listed] == found
    if "limit" not in asked:
        assert api.send("/variables/count", asked).json() == len(found)


@pytest.mark.parametrize(
    "fields", [{"name": "Bad Name"}, {"name": "a-b"}, {"name": ""}, {"value": "x" * 5001}, {"value": 3}, {"colour": 1}]
)
def test_a_variable_that_does_not_fit_is_refused(api, fields):
    answer = make(api, **fields)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", next(iter(fields))]
