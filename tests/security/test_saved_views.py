"""Saved views and default views of several users."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.utils import timezone

from orion_site.accounts.permissions import Action, Actor, answer_to
from orion_site.accounts.users import delete_user
from runs.models import DefaultView, SavedSearch
from runs.saved_searches.services import save_search
from tests.security.askers import Asker, key_of, user_with

pytestmark = pytest.mark.django_db


def member(name: str, role: str = "operator") -> Asker:
    return Asker(key_of(user_with(role, name)))


@pytest.fixture
def bob(ada: User) -> Asker:
    return member("bob")


@pytest.fixture
def eve(ada: User) -> Asker:
    return member("eve")


@pytest.fixture
def admin(ada: User) -> Asker:
    return Asker(key_of(ada))


def keep(asker: Asker, visibility: str, name: str = "Mine", query: str = "state=failed") -> SavedSearch:
    before = set(SavedSearch.objects.values_list("pk", flat=True))
    answer = asker.post("/views/runs", {"name": name, "query": query, "visibility": visibility})
    assert answer.status_code == 302
    return SavedSearch.objects.exclude(pk__in=before).get()


def page_of(asker: Asker, query: str = "state=failed") -> str:
    return str(asker.get(f"/runs?{query}", follow=True).content.decode())


def searches(asker: Asker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asker.call("POST", "/api/saved_searches/filter", {}).json()
    return found


def test_a_view_for_me_is_seen_by_nobody_else(bob: Asker, eve: Asker, admin: Asker):
    view = keep(bob, "me")

    assert "(only you)" in page_of(bob)
    assert [one["visibility"] for one in searches(bob)] == ["me"]
    for other in (eve, admin):
        assert ">Mine" not in page_of(other)
        assert searches(other) == []
        assert other.get(f"/api/saved_searches/{view.pk}").status_code == 404
        assert other.call("DELETE", f"/api/saved_searches/{view.pk}").status_code == 404
        assert other.post(f"/views/runs/{view.pk}/rename", {"name": "x"}).status_code == 404
        other.post("/views/runs/default", {"key": str(view.pk)})
        assert other.get("/runs").status_code == 200


def test_two_users_and_everyone_have_views_of_one_name(bob: Asker, eve: Asker):
    keep(bob, "me", query="state=late")
    keep(eve, "me")
    keep(eve, "team", query="state=running")

    assert {one["filters"][0]["value"] for one in searches(bob)} == {"state=late", "state=running"}
    assert {one["filters"][0]["value"] for one in searches(eve)} == {"state=failed", "state=running"}


@pytest.mark.parametrize(("name", "may"), [("bob", True), ("eve", False), ("admin", True)])
def test_a_view_for_everyone_is_changed_by_its_owner_and_admins(
    request: pytest.FixtureRequest, bob: Asker, name: str, may: bool
):
    view = keep(bob, "team")
    asker = request.getfixturevalue(name)

    page = page_of(asker)
    renamed = asker.post(f"/views/runs/{view.pk}/rename", {"name": "Ours"}, follow=True).content.decode()
    replaced = asker.call("PUT", "/api/saved_searches/", {"name": SavedSearch.objects.get().name, "filters": []})
    deleted = asker.call("DELETE", f"/api/saved_searches/{view.pk}")

    assert ("Change this view" in page) is may
    assert ("Saved by bob, who may change it" in page) is not may
    assert ("was saved by bob. Only they or an admin may change it" in renamed) is not may
    assert (replaced.status_code, deleted.status_code) == ((200, 204) if may else (403, 403))
    assert SavedSearch.objects.exists() is not may


def test_an_owner_decides_who_sees_a_view(bob: Asker, eve: Asker, admin: Asker):
    view = keep(bob, "team")
    address = f"/views/runs/{view.pk}/rename"

    bob.post(address, {"name": "Mine", "visibility": "me"})
    hidden = page_of(eve)
    bob.post(address, {"name": "Mine", "visibility": "team"})
    wrong = bob.post(address, {"name": "Mine", "visibility": "all"}, follow=True).content.decode()

    assert ">Mine" not in hidden
    assert ">Mine" in page_of(eve)
    assert "for everyone (team) or only for you (me)" in wrong
    assert 'name="visibility"' in page_of(bob)
    assert 'name="visibility"' not in page_of(admin)


def test_a_view_from_before_is_everyones_until_somebody_hides_it(bob: Asker, eve: Asker):
    view = keep(bob, "team")
    SavedSearch.objects.update(created_by=None)

    changed = page_of(eve)
    eve.post(f"/views/runs/{view.pk}/rename", {"name": "Eve's", "visibility": "me"})

    assert "Change this view" in changed
    assert "Eve&#x27;s" in page_of(eve)
    assert "Eve&#x27;s" not in page_of(bob)


def test_a_search_that_a_run_saved_is_not_everyones(bob: Asker, admin: Asker):
    run = Actor("run brave-otter", frozenset({Action.CHANGE_RUNS}), run_id=uuid4(), epoch=1)
    body = {"name": "Mine", "filters": []}
    answer_to(run)
    try:
        save_search(name="Mine", filters=[], now=timezone.now())
    finally:
        answer_to(None)

    (found,) = searches(bob)
    refused, replaced = bob.call("PUT", "/api/saved_searches/", body), admin.call("PUT", "/api/saved_searches/", body)

    assert found["created_by"] == {"id": None, "type": "RUN", "display_value": "run brave-otter"}
    assert (refused.status_code, replaced.status_code) == (403, 200)


def test_what_only_a_deleted_user_saw_is_deleted(bob: Asker, eve: Asker):
    views = [keep(bob, "me"), keep(bob, "team"), keep(eve, "me")]
    for asker in (bob, eve):
        asker.post("/views/runs/default", {"key": "Late"})

    delete_user(name="bob")

    assert {*SavedSearch.objects.values_list("pk", flat=True)} == {view.pk for view in views[1:]}
    assert DefaultView.objects.get().user == User.objects.get(username="eve").pk


def test_programs_save_searches_for_themselves(bob: Asker):
    body = {"name": "Mine", "filters": [], "visibility": "me"}

    made = bob.call("PUT", "/api/saved_searches/", body)
    again = bob.call("PUT", "/api/saved_searches/", body)
    wrong = bob.call("PUT", "/api/saved_searches/", {**body, "visibility": "all"})

    assert (made.status_code, again.status_code, wrong.status_code) == (201, 200, 422)
    assert (made.json()["visibility"], made.json()["created_by"]["display_value"]) == ("me", "bob")


def test_a_viewer_saves_nothing(ada: User):
    viewer = member("vic", "viewer")

    assert viewer.post("/views/runs", {"name": "Mine", "query": "state=failed"}).status_code == 403
    assert not SavedSearch.objects.exists()


def test_a_default_view_is_that_of_the_user_in_every_browser(bob: Asker, eve: Asker, asker: Callable[[str], Asker]):
    view = keep(bob, "me")
    made = bob.post("/views/runs/default", {"key": str(view.pk)}, follow=True).content.decode()
    bob.cookies.clear()

    opened = bob.get("/runs")
    others = eve.get("/runs")
    bob.post("/views/runs/default")
    ended = bob.get("/runs")
    bob.post("/views/runs/default", {"key": str(view.pk)})
    bob.call("DELETE", f"/api/saved_searches/{view.pk}")

    assert "begins with Mine for you, in every browser" in made
    assert opened["location"] == "/runs?state=failed"
    assert (others.status_code, ended.status_code) == (200, 200)
    assert not DefaultView.objects.exists()


def test_without_owners_each_search_has_a_name_of_its_own(bob: Asker, eve: Asker):
    keep(bob, "team")
    private = [keep(bob, "me"), keep(eve, "me")]
    keep(eve, "me", name="Another")

    import_module("runs.migrations.0033_views_of_users").make_names_unique(apps, None)

    names = sorted(SavedSearch.objects.values_list("name", flat=True))
    assert names == sorted(["Another", "Mine", *(f"Mine ({view.pk})" for view in private)])
