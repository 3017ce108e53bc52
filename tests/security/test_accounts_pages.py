"""The pages below `/settings/`: keys, users, groups, one's own password. All of them work without scripts."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from orion_site.accounts.models import ApiKey
from orion_site.accounts.users import create_user, roles_of
from tests.security.askers import PASSWORD, Asker, key_of, user_with

pytestmark = pytest.mark.django_db
KEY = re.compile(r"orn_[\w-]{43}")


def signed_in(name: str) -> Asker:
    client = Asker()
    assert client.post("/login", {"username": name, "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def admin(ada: User) -> Asker:
    return signed_in("ada")


@pytest.fixture
def bob(ada: User) -> Asker:
    create_user(name="bob", password=PASSWORD, roles=["operator"])
    return signed_in("bob")


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_key_is_shown_once_and_works(bob: Asker):
    made = bob.post("/settings/keys", {"name": "laptop", "role": "viewer", "life": "30"})
    (key,) = set(KEY.findall(text_of(made)))
    later = bob.get("/settings/keys")

    me = Asker(key).get("/api/me").json()

    assert me["name"] == "bob"
    assert "runs.change" not in me["actions"]
    assert KEY.findall(text_of(later)) == []
    assert "no-store" in made.headers["Cache-Control"]
    stored = ApiKey.objects.get()
    assert (stored.expires - stored.created).days == 30


def test_a_form_of_a_key_that_is_sent_twice_makes_one_and_makes_another_only_when_told(bob: Asker):
    field = re.search(r'name="new_id" value="([^"]+)"', text_of(bob.get("/settings/keys")))
    sent = {"name": "laptop", "role": "", "life": "30", "new_id": field[1] if field else ""}

    first, again = (bob.post("/settings/keys", sent) for _ in range(2))
    made = ApiKey.objects.count()
    other = re.search(r'name="new_id" value="([^"]+)"', text_of(again))
    third = bob.post("/settings/keys", {**sent, "new_id": other[1] if other else ""})

    keys = [KEY.findall(text_of(answer)) for answer in (first, again, third)]
    assert (again.status_code, made, keys[1]) == (422, 1, [])
    assert "This form has already made an API key." in text_of(again)
    assert keys[0][0][4:12] != keys[2][0][4:12]
    assert all(Asker(key).get("/api/me").json()["name"] == "bob" for key in (keys[0][0], keys[2][0]))


def test_a_key_can_be_no_stronger_than_its_maker(bob: Asker):
    page = text_of(bob.get("/settings/keys"))
    answer = bob.post("/settings/keys", {"name": "laptop", "role": "admin", "life": ""})

    assert 'value="operator"' in page
    assert 'value="deployer"' not in page
    assert answer.status_code == 422
    assert not ApiKey.objects.exists()


def test_users_see_and_revoke_only_their_own_keys(bob: Asker):
    key_of(User.objects.get(username="ada"), name="of the admin")
    mine = key_of(User.objects.get(username="bob"), name="of bob")
    others = ApiKey.objects.get(name="of the admin")

    page = text_of(bob.get("/settings/keys"))
    refused = bob.post(f"/settings/keys/{others.pk}/revoke")
    done = bob.post(f"/settings/keys/{ApiKey.objects.get(name='of bob').pk}/revoke")

    others.refresh_from_db()
    assert ("of bob" in page, "of the admin" in page) == (True, False)
    assert (refused.status_code, done.status_code, others.revoked) == (404, 302, None)
    assert Asker(mine).get("/api/me").status_code == 401


def test_a_user_who_manages_users_creates_keys_for_them(admin: Asker):
    user_with("agent", "machine")

    made = admin.post("/settings/keys", {"name": "agent", "user": "machine", "role": "", "life": ""})

    assert Asker(KEY.findall(text_of(made))[0]).get("/api/me").json()["name"] == "machine"
    assert "machine" in text_of(admin.get("/settings/keys"))


@pytest.mark.parametrize("path", ["/settings/users", "/settings/users/new", "/settings/groups", "/settings/groups/new"])
def test_pages_of_users_are_for_those_who_manage_users(bob: Asker, path: str):
    refused = bob.get(path)
    assert refused.status_code == 403
    assert "You are signed in as" in refused.content.decode()
    assert "bob" in refused.content.decode()
    assert path.removesuffix("/new") not in text_of(bob.get("/settings/keys"))


def test_a_user_is_created_and_signs_in(admin: Asker):
    answer = admin.post("/settings/users/new", {"name": "eve", "password": PASSWORD, "role": "viewer"})

    assert answer.headers["Location"] == "/settings/users"
    assert signed_in("eve").get("/runs").status_code == 200
    assert "eve" in text_of(admin.get("/settings/users"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "ada", "password": PASSWORD}, "There is a user with the name"),
        ({"name": "a b", "password": PASSWORD}, "cannot be a name"),
        ({"name": "eve", "password": "short"}, "too short"),
        ({"name": "eve", "role": "king"}, "king is not one of the available choices"),
        ({"name": "eve", "groups": "nobody"}, "not one of the available choices"),
    ],
)
def test_errors_are_shown_above_the_form(admin: Asker, fields: dict[str, str], expected: str):
    answer = admin.post("/settings/users/new", fields)

    assert answer.status_code == 422
    assert expected in text_of(answer)
    assert User.objects.count() == 1


def test_groups_and_passwords_of_a_user_are_changed(admin: Asker, bob: Asker):
    one = User.objects.get(username="bob")
    Group.objects.create(name="nothing")

    admin.post(f"/settings/users/{one.pk}", {"what": "groups", "groups": ["admins", "nothing"]})
    assert [str(role) for role in roles_of(one)] == ["admin"]
    assert bob.get("/runs").status_code == 302
    weak = admin.post(f"/settings/users/{one.pk}", {"what": "password", "password": "short"})
    admin.post(f"/settings/users/{one.pk}", {"what": "password", "password": "another otter, far away"})

    assert weak.status_code == 422
    one.refresh_from_db()
    assert one.check_password("another otter, far away")


def test_a_user_is_disabled_enabled_and_deleted(admin: Asker, bob: Asker):
    path = f"/settings/users/{User.objects.get(username='bob').pk}"

    admin.post(f"{path}/switch", {"active": "no"})
    assert bob.get("/runs").status_code == 302
    assert "Disabled" in text_of(admin.get(path))
    admin.post(f"{path}/switch", {"active": "yes"})
    assert signed_in("bob").get("/runs").status_code == 200
    admin.post(f"{path}/delete")

    assert not User.objects.filter(username="bob").exists()


def test_the_last_admin_is_kept_with_a_reason(admin: Asker):
    path = f"/settings/users/{User.objects.get(username='ada').pk}"

    answer = admin.post(f"{path}/delete", follow=True)

    assert "ada is the last admin who can sign in" in text_of(answer)
    assert User.objects.filter(username="ada").exists()


def test_groups_are_created_changed_and_deleted(admin: Asker):
    admin.post("/settings/groups/new", {"name": "night-shift", "roles": ["operator", "viewer"]})
    group = Group.objects.get(name="night-shift")
    admin.post(f"/settings/groups/{group.pk}", {"roles": ["viewer"]})

    assert [grant.role for grant in group.grants.all()] == ["viewer"]
    assert "night-shift" in text_of(admin.get("/settings/groups"))
    admin.post(f"/settings/groups/{group.pk}/delete")
    assert not Group.objects.filter(name="night-shift").exists()


def test_where_no_role_helps_none_is_suggested(browser: Client, bob: Asker):
    own = browser.get("/settings/password")
    others = bob.get("/settings/users")

    promise = "Whoever administers this server can give you a role for it."
    assert (own.status_code, others.status_code) == (403, 403)
    assert promise not in own.content.decode()
    assert promise in others.content.decode()


def test_a_user_who_changes_the_password_stays_signed_in_here_only(bob: Asker):
    elsewhere = signed_in("bob")
    new = "another otter, far away"

    wrong = bob.post("/settings/password", {"old_password": "x", "new_password1": new, "new_password2": new})
    done = bob.post("/settings/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})

    assert "password was entered incorrectly" in text_of(wrong)
    assert done.headers["Location"] == "/settings"
    assert (bob.get("/runs").status_code, elsewhere.get("/runs").status_code) == (200, 302)


def test_the_owner_of_this_machine_makes_the_first_user(browser: Client):
    empty = [text_of(browser.get(path)) for path in ("/settings/users", "/settings/groups", "/settings/keys")]
    browser.post("/settings/users/new", {"name": "ada", "password": PASSWORD, "role": "admin"})

    assert "orion user create NAME --role admin" in empty[0]
    assert "No groups yet" in empty[1]
    assert "Create the first one" in empty[2]
    assert signed_in("ada").get("/settings/users").status_code == 200
    assert browser.get("/settings/password").status_code == 403


def test_settings_show_the_user_and_a_way_to_sign_out(bob: Asker, browser: Client):
    page = text_of(bob.get("/settings"))

    assert "Signed in as bob" in page
    assert 'action="/logout"' in page
    assert "Signed in as" not in text_of(browser.get("/settings"))


@pytest.mark.parametrize("count", [2, 40])
def test_lists_cost_the_same_for_few_and_for_many(admin: Asker, django_assert_max_num_queries: Any, count: int):
    for number in range(count):
        key_of(user_with("viewer", f"user-{number}"))

    for path in ("/settings/users", "/settings/groups", "/settings/keys"):
        with django_assert_max_num_queries(12):
            admin.get(path)


def test_names_of_others_are_text(admin: Asker):
    key_of(User.objects.get(username="ada"), name="<script>alert(1)</script>")

    assert "<script>alert" not in text_of(admin.get("/settings/keys"))


def test_groups_that_somebody_else_gave_are_not_taken_unseen(admin: Asker, bob: Asker):
    user = User.objects.get(username="bob")
    Group.objects.create(name="auditors")
    path = f"/settings/users/{user.pk}"
    shown = re.compile(r'name="shown_values" value="([^"]*)"')
    tab = {"what": "groups", "shown_values": html.unescape(shown.findall(text_of(admin.get(path)))[0])}
    user.groups.add(Group.objects.get(name="auditors"))

    refused = admin.post(path, {**tab, "groups": ["operators"]})
    kept = set(user.groups.values_list("name", flat=True))
    again = admin.post(path, {**tab, "shown_values": html.unescape(shown.findall(text_of(refused))[0])})

    assert "Meanwhile somebody changed this to “auditors, operators”" in text_of(refused)
    assert (refused.status_code, kept) == (422, {"auditors", "operators"})
    assert again.status_code == 302
    assert not user.groups.exists()
