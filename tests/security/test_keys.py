"""The life of an API key: made, used, found out, expired, revoked. A wrong one is refused wherever it comes from."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.errors import UnreadableName
from orion_site.accounts import recognised
from orion_site.accounts.errors import KeyNotFound, KeyTooStrong, UserNotFound
from orion_site.accounts.keys import EXPIRED, REVOKED, UNKNOWN, create_key, revoke_key
from orion_site.accounts.models import ApiKey, Grant, RightsChanged
from orion_site.accounts.permissions import LOCAL_OWNER, who_asks
from orion_site.accounts.recognised import Recognised
from orion_site.accounts.throttling import good_keys
from orion_site.accounts.users import delete_group, delete_user, set_active, set_groups, set_roles
from tests.security.askers import Asker, key_of, user_with

pytestmark = pytest.mark.django_db
ADDRESSES = pytest.mark.parametrize("address", ["192.0.2.7", "127.0.0.1", ""])


def refusal_of(key: str, address: str = "192.0.2.7") -> str:
    answer = Asker(key, address=address).get("/api/me")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="orion"'
    return str(answer.json()["detail"])


@ADDRESSES
def test_a_key_speaks_for_its_user(ada: User, address: str):
    me = Asker(key_of(user_with("viewer")), address=address).get("/api/me").json()

    assert (me["name"], me["by"]) == ("viewer-account", "key")
    assert "runs.read" in me["actions"]
    assert "runs.change" not in me["actions"]


def test_nothing_of_a_key_is_stored_but_its_first_characters(ada: User):
    key = key_of(ada)

    stored = str(ApiKey.objects.values().get())

    assert key not in stored
    assert key[12:] not in stored
    assert key[:12] in stored


@pytest.mark.parametrize("name", ["lap\u202etop", "lap\ntop", " laptop"])
def test_the_name_of_a_key_is_readable(ada: User, name: str):
    with pytest.raises(UnreadableName):
        key_of(ada, name=name)

    assert not ApiKey.objects.exists()


@ADDRESSES
@pytest.mark.parametrize(
    "wrong", ["orn_", "orn_" + "A" * 43, "orn_" + "A" * 43 + "x", "s3cret", "", "orn_" + "ü" * 43, "A" * 5000]
)
def test_a_wrong_key_is_refused_with_a_sentence(ada: User, address: str, wrong: str):
    answer = Asker(address=address, authorization=f"Bearer {wrong}").get("/api/flows/name/x")

    assert (answer.status_code, answer.json()["detail"]) == (401, UNKNOWN)


def test_texts_that_only_begin_like_a_key_are_refused(ada: User):
    key = key_of(ada)

    assert refusal_of(key[:-1] + ("A" if key[-1] != "A" else "B")) == UNKNOWN


@ADDRESSES
def test_a_revoked_key_is_refused_at_once(ada: User, address: str):
    key = key_of(ada)
    assert Asker(key, address=address).get("/api/me").status_code == 200

    revoke_key(key_id=ApiKey.objects.get().pk, now=timezone.now())

    assert refusal_of(key, address) == REVOKED


@ADDRESSES
def test_an_expired_key_is_refused(ada: User, address: str):
    now = timezone.now()
    key = key_of(ada, expires=now - timedelta(seconds=1), now=now - timedelta(days=1))

    assert refusal_of(key, address) == EXPIRED


@ADDRESSES
def test_keys_of_a_disabled_user_are_refused_until_enabled(ada: User, address: str):
    user = user_with("viewer")
    key = key_of(user)

    set_active(name=user.username, is_active=False)
    assert "disabled" in refusal_of(key, address)
    set_active(name=user.username, is_active=True)

    assert Asker(key, address=address).get("/api/me").status_code == 200


def test_a_key_loses_what_its_user_loses(ada: User):
    user = user_with("operator")
    client = Asker(key_of(user))
    before = client.get("/api/me").json()["actions"]

    set_groups(name=user.username, groups=[])

    assert "runs.change" in before
    assert client.get("/api/me").json()["actions"] == ["probe"]


def test_a_key_with_a_role_may_no_more_than_that(ada: User):
    actions = Asker(key_of(ada, role="viewer")).get("/api/me").json()["actions"]

    assert "runs.read" in actions
    assert not {"runs.change", "users.manage", "keys.keep", "operate"} & set(actions)


@pytest.mark.parametrize("role", ["deployer", "agent", "admin"])
def test_a_key_cannot_be_made_stronger_than_its_user(ada: User, role: str):
    with pytest.raises(KeyTooStrong, match=role):
        key_of(user_with("operator"), role=role)


@pytest.mark.parametrize("id", [None, uuid4()])
def test_a_user_who_was_deleted_meanwhile_gets_no_key(ada: User, id: UUID | None):
    user = user_with("viewer")
    User.objects.filter(pk=user.pk).delete()

    with pytest.raises(UserNotFound, match="viewer-account"):
        create_key(user=user, name="late", role="", expires=None, now=timezone.now(), id=id)


def test_only_ones_own_keys_can_be_revoked_by_oneself(ada: User):
    key, _ = create_key(user=ada, name="hers", role="", expires=None, now=timezone.now())

    with pytest.raises(KeyNotFound):
        revoke_key(key_id=key.pk, now=timezone.now(), user=user_with("viewer"))


def test_a_key_may_be_the_password_of_an_address(ada: User):
    pair = b64encode(f"anybody:{key_of(ada)}".encode()).decode()

    assert Asker(authorization=f"Basic {pair}").get("/api/me").json()["name"] == "ada"


@pytest.mark.parametrize("pair", ["YTpi", "!!!", "", "/w=="])
def test_other_passwords_are_not_ours_to_judge(ada: User, pair: str):
    here = Asker(address="127.0.0.1", authorization=f"Basic {pair}").get("/api/me")
    elsewhere = Asker(authorization=f"Basic {pair}").get("/api/me")

    assert (here.status_code, here.json()["name"]) == (200, "local owner")
    assert elsewhere.status_code == 401


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number in the database has just been looked at, and is not for a minute."""
    recognised.keys.find("")
    monkeypatch.setattr(recognised, "LOOK_SECONDS", 60.0)


def test_the_use_of_a_key_is_noted_once_a_minute(ada: User, seldom: None):
    client, key = Asker(key_of(ada)), ApiKey.objects.get()
    Asker("orn_").get("/api/me")
    with CaptureQueriesContext(connection) as first:
        client.get("/api/me")
    with CaptureQueriesContext(connection) as second:
        client.get("/api/me")

    key.refresh_from_db()
    assert key.last_used is not None
    assert len(second) == 0
    assert any(one["sql"].startswith("UPDATE") for one in first)

    ApiKey.objects.update(last_used=timezone.now() - timedelta(seconds=61))
    recognised.keys.forget()
    client.get("/api/me")
    key.refresh_from_db()
    assert timezone.now() - key.last_used < timedelta(seconds=30)


def test_many_groups_and_keys_are_one_query(ada: User, seldom: None):
    user = user_with("viewer")
    for role in ("operator", "agent"):
        user.groups.add(user_with(role).groups.get())
    keys = [key_of(user) for _ in range(20)]
    Asker(keys[7]).get("/api/me")
    recognised.keys.forget()

    with CaptureQueriesContext(connection) as queries:
        actions = Asker(keys[7]).get("/api/me").json()["actions"]

    assert len(queries) == 1
    assert {"runs.change", "queues.serve"} <= set(actions)


def test_a_key_that_was_recognised_asks_nothing(ada: User, seldom: None, django_assert_num_queries: Any):
    client = Asker(key_of(ada))
    client.get("/api/me")

    with django_assert_num_queries(0):
        assert client.get("/api/version").status_code == 200


def test_a_key_that_was_recognised_is_looked_for_in_no_list_of_guesses(ada: User, seldom: None):
    """With several workers these lists are locked for each look."""
    key = key_of(ada)
    Asker(key).get("/api/me")
    good_keys.forget()

    assert Asker(key).get("/api/me").status_code == 200
    assert key not in good_keys

    ApiKey.objects.update(last_used=timezone.now() - timedelta(seconds=61))
    recognised.keys.forget()
    assert Asker(key).get("/api/me").status_code == 200
    assert key in good_keys


def of_another_server(**columns: Any) -> None:
    """Make a change that this process learns of only by the number in the database."""
    ApiKey.objects.update(**columns)
    RightsChanged.objects.update(number=F("number") + 1)


def test_keys_that_another_server_revokes_are_refused_at_the_next_check(ada: User, monkeypatch: pytest.MonkeyPatch):
    key = key_of(ada)
    assert Asker(key).get("/api/me").status_code == 200
    monkeypatch.setattr(recognised, "LOOK_SECONDS", 0.0)

    of_another_server(revoked=timezone.now())

    assert refusal_of(key) == REVOKED


def test_rows_read_before_a_change_are_not_cached(ada: User, seldom: None):
    """One thread reads the row, another revokes the key before the first one keeps what it read."""
    key = key_of(ada)
    found, mark = recognised.keys.find("digest")
    assert found is None

    revoke_key(key_id=ApiKey.objects.get().pk, now=timezone.now())
    recognised.keys.keep("digest", Recognised(LOCAL_OWNER, None, None), mark)

    assert recognised.keys.find("digest")[0] is None
    assert refusal_of(key) == REVOKED


def test_a_key_that_was_recognised_expires(ada: User, seldom: None):
    soon = timezone.now() + timedelta(hours=1)
    key = key_of(ada, expires=soon)
    assert Asker(key).get("/api/me").status_code == 200

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orion_site.accounts.keys.timezone.now", lambda: soon)
        assert refusal_of(key) == EXPIRED


@pytest.mark.parametrize(
    "change",
    [
        lambda user: set_active(name=user.username, is_active=False),
        lambda user: set_groups(name=user.username, groups=[]),
        lambda user: set_roles(name="operators", roles=["viewer"]),
        lambda user: set_roles(name="operators", roles=["operator", "viewer"]),
        lambda user: delete_group(name="operators"),
        lambda user: delete_user(name=user.username),
        lambda user: user.groups.clear(),
        lambda user: Grant.objects.all().delete(),
        lambda user: ApiKey.objects.filter(user=user).delete(),
        lambda user: User.objects.filter(pk=user.pk).delete(),
    ],
)
def test_a_change_of_rights_applies_to_the_next_request(ada: User, seldom: None, change: Callable[[User], Any]):
    user = user_with("operator")
    client, number = Asker(key_of(user)), number_of_changes()
    client.get("/api/me")

    change(user)

    assert number_of_changes() > number
    assert recognised.keys._known == {}


def test_signing_in_makes_nothing_be_forgotten(ada: User, seldom: None):
    before = number_of_changes()

    ada.last_login = timezone.now()
    ada.save(update_fields=["last_login"])

    assert number_of_changes() == before


def number_of_changes() -> int:
    return RightsChanged.objects.values_list("number", flat=True).first() or 0


def test_a_refused_key_is_one_query_or_none(ada: User, seldom: None):
    with CaptureQueriesContext(connection) as queries:
        Asker("orn_" + "A" * 43, address="127.0.0.1").get("/api/me")
        Asker("nonsense", address="127.0.0.1").get("/api/me")

    assert len(queries) == 1


def test_users_are_not_remembered_by_threads(ada: User):
    Asker(key_of(ada)).get("/api/me")
    Asker().get("/api/me")

    assert who_asks() is None


def test_a_page_takes_a_key_too(ada: User):
    assert Asker(key_of(user_with("viewer"))).get("/runs").status_code == 200
    assert Asker("orn_" + "A" * 43).get("/runs").status_code == 401
