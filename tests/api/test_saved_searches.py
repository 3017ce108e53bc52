"""The dashboard's saved searches."""

from __future__ import annotations

from uuid import uuid4

import pytest

pytestmark = pytest.mark.django_db

FILTER = {"object": "flow_run", "property": "tags", "type": "string", "operation": "any", "value": ["a", 1, None]}


def save(api, name, filters):
    return api.call("PUT", "/saved_searches/", {"name": name, "filters": filters})


def test_a_search_is_saved_under_its_name_and_replaced(api):
    first, second = save(api, "mine", [FILTER]), save(api, "mine", [])

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["filters"] == [FILTER]
    assert (second.json()["id"], second.json()["filters"]) == (first.json()["id"], [])


def test_searches_are_read_listed_and_deleted(api):
    b, a = save(api, "b", []).json(), save(api, "a", [FILTER]).json()

    listed = api.send("/saved_searches/filter").json()
    deleted = api.call("DELETE", f"/saved_searches/{a['id']}")

    assert listed == [a, b]
    assert deleted.status_code == 204
    assert api.read(f"/saved_searches/{b['id']}").json() == b
    assert api.read(f"/saved_searches/{a['id']}").json() == {"detail": "Saved search not found"}
    assert api.call("DELETE", f"/saved_searches/{uuid4()}").status_code == 404


def test_a_filter_without_its_parts_is_refused(api):
    answer = save(api, "mine", [{"object": "flow_run"}])

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"][:3] == ["body", "filters", 0]
