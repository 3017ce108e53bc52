"""Block documents under /block_documents/: secrets, nesting, changes and searches."""

from __future__ import annotations

import stat
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from deployments.models import BlockDocument
from orion_site.accounts.permissions import Action, Actor
from tests.api.blocks import login_schema, make_document, make_schema, make_type, read_secrets

pytestmark = pytest.mark.django_db
HIDDEN = "********"
LOGIN = {"user": "ada", "password": "pa$$w0rd"}


@pytest.fixture(autouse=True)
def key_file(settings, tmp_path) -> Path:
    settings.ORION_ENCRYPTION_KEYS = []
    settings.ORION_ENCRYPTION_KEY_FILE = tmp_path / "home" / "encryption-key"
    return settings.ORION_ENCRYPTION_KEY_FILE


def holder_schema(api):
    fields = {"title": "Holder", "secret_fields": ["login.password"], "block_type_slug": "holder"}
    return make_schema(api, make_type(api, "holder").json(), fields).json()


def reference(document):
    return {"$ref": {"block_document_id": document["id"]}}


def test_a_secret_is_masked_unless_it_is_requested(api, counted):
    made = make_document(api, login_schema(api), data=LOGIN)

    document = made.json()
    with counted("read block document"):
        read = api.read(f"/block_documents/{document['id']}").json()
    assert made.status_code == 201
    assert read == document == api.read("/block_types/slug/login/block_documents/name/mine").json()
    assert document["data"] == {"user": "ada", "password": HIDDEN}
    assert (document["block_type"]["slug"], document["block_type_name"]) == ("login", "Login")
    assert document["block_schema"]["fields"]["secret_fields"] == ["password"]
    assert read_secrets(api, document) == LOGIN


def test_a_secret_is_stored_sealed_under_a_key_that_only_its_owner_reads(api, key_file):
    make_document(api, login_schema(api), data=LOGIN)

    stored = BlockDocument.objects.get()
    assert "pa$$w0rd" not in f"{stored.content}{stored.sealed}"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert list(key_file.parent.iterdir()) == [key_file]


def test_a_block_without_secrets_needs_no_key(api, key_file):
    document = make_document(api, login_schema(api), data={"user": "ada", "password": None}).json()

    assert read_secrets(api, document) == {"user": "ada", "password": None}
    assert not key_file.exists()


def test_a_lost_key_is_reported_and_hides_nothing_else(api, key_file):
    document = make_document(api, login_schema(api), data=LOGIN).json()
    key_file.unlink()

    shown = api.read(f"/block_documents/{document['id']}")
    opened = api.read(f"/block_documents/{document['id']}?include_secrets=true")

    assert shown.json() == document
    assert (opened.status_code, opened.json()["code"]) == (409, "block_secrets_unreadable")
    assert str(key_file) in opened.json()["detail"]


def test_keys_are_changed_while_old_seals_stay_readable(api, settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ORION_ENCRYPTION_KEYS = [old]
    document = make_document(api, login_schema(api), data=LOGIN).json()
    settings.ORION_ENCRYPTION_KEYS = [new, old]

    before = read_secrets(api, document)
    api.call("PATCH", f"/block_documents/{document['id']}", {"data": {"user": "bob"}})
    settings.ORION_ENCRYPTION_KEYS = [new]

    assert before == LOGIN
    assert read_secrets(api, document) == {**LOGIN, "user": "bob"}


def test_secrets_need_a_right_of_their_own(api, act_as):
    document = make_document(api, login_schema(api), data=LOGIN).json()
    act_as(Actor("reader", frozenset({Action.READ_BLOCKS})))

    statuses = [
        api.read(f"/block_documents/{document['id']}").status_code,
        api.read(f"/block_documents/{document['id']}?include_secrets=true").status_code,
        api.read("/block_types/slug/login/block_documents?include_secrets=true").status_code,
        api.send("/block_documents/filter", {"include_secrets": True}).status_code,
    ]

    assert statuses == [200, 403, 403, 403]


def test_some_fields_are_changed_and_the_rest_stays(api):
    document = make_document(api, login_schema(api), data=LOGIN).json()

    answer = api.call("PATCH", f"/block_documents/{document['id']}", {"data": {"user": "bob", "password": HIDDEN}})

    assert (answer.status_code, answer.content) == (204, b"")
    assert read_secrets(api, document) == {**LOGIN, "user": "bob"}


def test_the_fields_of_a_block_are_replaced(api):
    document = make_document(api, login_schema(api), data=LOGIN).json()
    changes = {"data": {"password": "new"}, "merge_existing_data": False}

    api.call("PATCH", f"/block_documents/{document['id']}", changes)

    assert read_secrets(api, document) == {"password": "new"}


def test_fields_that_a_newer_schema_calls_secret_are_hidden_from_then_on(api):
    schema = login_schema(api)
    document = make_document(api, schema, data=LOGIN).json()
    stricter = {"title": "Login 2", "secret_fields": ["password", "user"]}
    newer = make_schema(api, {"id": schema["block_type_id"]}, stricter).json()

    api.call("PATCH", f"/block_documents/{document['id']}", {"block_schema_id": newer["id"]})

    shown = api.read(f"/block_documents/{document['id']}").json()
    assert (shown["data"], shown["block_schema_id"]) == ({"user": HIDDEN, "password": HIDDEN}, newer["id"])
    assert read_secrets(api, document) == LOGIN


LENIENT = [
    {"title": "Login 2"},
    {"title": "Login 2", "secret_fields": []},
    {"title": "Login 2", "secret_fields": ["user"]},
]


@pytest.mark.parametrize("fields", LENIENT)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": {}},
        {"data": {"password": HIDDEN}},
        {"data": {"user": "bob", "password": HIDDEN}, "merge_existing_data": False},
        {"data": {"password": "an0ther"}},
        {"data": {"password": "an0ther"}, "merge_existing_data": False},
    ],
)
def test_a_secret_stays_hidden_under_a_schema_that_no_longer_lists_it(api, fields, changes):
    schema = login_schema(api)
    document = make_document(api, schema, data=LOGIN).json()
    lenient = make_schema(api, {"id": schema["block_type_id"]}, fields).json()

    answer = api.call("PATCH", f"/block_documents/{document['id']}", {"block_schema_id": lenient["id"], **changes})

    shown = api.read(f"/block_documents/{document['id']}").json()
    stored = BlockDocument.objects.get()
    expected = changes.get("data", {}).get("password", HIDDEN).replace(HIDDEN, LOGIN["password"])
    assert (answer.status_code, shown["data"]["password"]) == (204, HIDDEN)
    assert expected not in f"{stored.content}{stored.sealed}"
    assert read_secrets(api, document)["password"] == expected


def test_a_secret_stays_hidden_below_other_fields(api):
    schema = login_schema(api)
    nested = make_schema(api, {"id": schema["block_type_id"]}, {"title": "Nested", "secret_fields": ["a.*"]}).json()
    document = make_document(api, nested, data={"a": {"b": "hush", "c": {"d": "hush"}}, "e": 1}).json()

    api.call("PATCH", f"/block_documents/{document['id']}", {"block_schema_id": schema["id"], "data": {"e": 2}})

    shown = api.read(f"/block_documents/{document['id']}").json()
    assert shown["data"] == {"a": {"b": HIDDEN, "c": HIDDEN}, "e": 2}


def test_a_schema_that_was_known_without_its_secrets_learns_them(api):
    block_type = make_type(api, "late").json()
    fields = {"title": "Late", "properties": {"user": {}, "token": {}}}
    first = make_schema(api, block_type, fields).json()
    document = make_document(api, first, data={"user": "ada", "token": "hush"}).json()

    second = make_schema(api, block_type, {**fields, "secret_fields": ["token"]}).json()
    third = make_schema(api, block_type, fields).json()

    shown = api.read(f"/block_documents/{document['id']}").json()
    assert first["id"] == second["id"] == third["id"]
    assert second["fields"]["secret_fields"] == third["fields"]["secret_fields"] == ["token"]
    assert shown["data"] == {"user": "ada", "token": HIDDEN}
    assert "hush" not in f"{BlockDocument.objects.get().content}"
    assert read_secrets(api, document) == {"user": "ada", "token": "hush"}


@pytest.mark.parametrize("hint", [{"format": "password"}, {"writeOnly": True}])
def test_a_field_to_be_written_only_is_secret_without_being_listed(api, hint):
    fields = {"title": "Typed", "properties": {"user": {"type": "string"}, "token": {"type": "string", **hint}}}
    schema = make_schema(api, make_type(api, "typed").json(), fields).json()

    document = make_document(api, schema, data={"user": "ada", "token": "hush"}).json()

    assert document["data"] == {"user": "ada", "token": HIDDEN}


def test_a_block_holds_another_one(api, counted):
    inner = make_document(api, login_schema(api), data=LOGIN).json()
    outer = make_document(api, holder_schema(api), "outer", data={"n": 1, "login": reference(inner)}).json()

    with counted("read nested block document"):
        read = api.read(f"/block_documents/{outer['id']}").json()

    held = read["block_document_references"]["login"]["block_document"]
    assert read["data"] == {"n": 1, "login": {"user": "ada", "password": HIDDEN}}
    assert (held["id"], held["name"], held["is_anonymous"]) == (inner["id"], "mine", False)
    assert held["block_document_references"] == {}
    assert read_secrets(api, outer) == {"n": 1, "login": LOGIN}


def test_a_held_block_shows_its_changes_and_leaves_when_deleted(api):
    inner = make_document(api, login_schema(api), data=LOGIN).json()
    outer = make_document(api, holder_schema(api), "outer", data={"login": reference(inner)}).json()

    api.call("PATCH", f"/block_documents/{inner['id']}", {"data": {"user": "bob"}})
    changed = api.read(f"/block_documents/{outer['id']}").json()["data"]
    api.call("DELETE", f"/block_documents/{inner['id']}")

    assert changed == {"login": {"user": "bob", "password": HIDDEN}}
    assert api.read(f"/block_documents/{outer['id']}").json()["data"] == {}


def test_a_held_block_is_replaced_by_another_or_by_plain_content(api):
    schema = login_schema(api)
    first, second = (make_document(api, schema, name, data={"user": name}).json() for name in ("a", "b"))
    outer = make_document(api, holder_schema(api), "outer", data={"n": 1, "login": reference(first)}).json()

    api.call("PATCH", f"/block_documents/{outer['id']}", {"data": {"login": reference(second)}})
    replaced = read_secrets(api, outer)
    api.call("PATCH", f"/block_documents/{outer['id']}", {"data": {"n": 2}})
    kept = read_secrets(api, outer)
    api.call("PATCH", f"/block_documents/{outer['id']}", {"data": {"login": {"user": "c"}}})

    assert replaced == {"n": 1, "login": {"user": "b"}}
    assert kept == {"n": 2, "login": {"user": "b"}}
    assert read_secrets(api, outer) == {"n": 2, "login": {"user": "c"}}


def test_a_block_never_holds_itself(api):
    schema = holder_schema(api)
    inner = make_document(api, schema, "inner").json()
    outer = make_document(api, schema, "outer", data={"login": reference(inner)}).json()

    answer = api.call("PATCH", f"/block_documents/{inner['id']}", {"data": {"login": reference(outer)}})

    assert (answer.status_code, answer.json()["code"]) == (409, "block_holds_itself")
    assert api.read(f"/block_documents/{outer['id']}").json()["data"] == {"login": {}}


def test_an_anonymous_block_has_a_name_of_its_own_and_is_listed_only_when_asked_for(api):
    schema = login_schema(api)
    make_document(api, schema)

    anonymous = make_document(api, schema, None, is_anonymous=True).json()

    asked = {"block_documents": {"is_anonymous": {"eq_": True}}}
    assert anonymous["name"].startswith("anonymous-")
    assert [one["name"] for one in api.send("/block_documents/filter").json()] == ["mine"]
    assert [one["id"] for one in api.send("/block_documents/filter", asked).json()] == [anonymous["id"]]
    assert api.send("/block_documents/count", {"block_documents": {"is_anonymous": None}}).json() == 2


@pytest.mark.undivided
@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"sort": "NAME_DESC"}, ["c", "b", "a"]),
        ({"sort": "BLOCK_TYPE_AND_NAME_ASC"}, ["b", "a", "c"]),
        ({"block_documents": {"name": {"like_": "A"}}}, ["a"]),
        ({"block_types": {"slug": {"any_": ["login"]}}}, ["a", "c"]),
        ({"block_schemas": {"version": {"any_": ["none"]}}}, []),
        ({"limit": 1, "offset": 1, "sort": None}, ["b"]),
    ],
)
def test_blocks_are_listed(api, asked, names):
    login, holder = login_schema(api), holder_schema(api)
    for schema, name in [(login, "c"), (holder, "b"), (login, "a")]:
        make_document(api, schema, name, data=LOGIN)

    listed = api.send("/block_documents/filter", asked).json()

    assert [document["name"] for document in listed] == names
    assert "pa$$w0rd" not in str([one["data"] for one in listed if one["block_type_name"] == "Login"])


def test_the_blocks_of_a_type_are_listed(api):
    login = login_schema(api)
    make_document(api, login, "b", data=LOGIN)
    make_document(api, login, "a", data=LOGIN)

    listed = api.read("/block_types/slug/login/block_documents?include_secrets=true").json()

    assert [(one["name"], one["data"]) for one in listed] == [("a", LOGIN), ("b", LOGIN)]


def test_a_name_is_given_once_for_each_type(api):
    login, holder = login_schema(api), holder_schema(api)
    make_document(api, login)

    answers = [make_document(api, schema) for schema in (login, holder)]

    assert [answer.status_code for answer in answers] == [409, 201]
    assert answers[0].json()["code"] == "block_document_exists"


def test_missing_objects_are_not_found(api):
    schema = login_schema(api)

    assert api.read(f"/block_documents/{uuid4()}").json() == {"detail": "Block document not found"}
    assert api.read("/block_types/slug/login/block_documents/name/none").status_code == 404
    assert api.call("PATCH", f"/block_documents/{uuid4()}", {"data": {}}).status_code == 404
    assert api.call("DELETE", f"/block_documents/{uuid4()}").status_code == 404
    assert make_document(api, {**schema, "id": str(uuid4())}).status_code == 409
    assert make_document(api, schema, data={"x": reference({"id": str(uuid4())})}).status_code == 409


def test_a_schema_of_another_type_is_refused(api):
    login, holder = login_schema(api), holder_schema(api)

    answer = make_document(api, {**login, "id": holder["id"]})

    assert (answer.status_code, answer.json()["code"]) == (409, "block_schema_of_another_type")


@pytest.mark.parametrize(
    "fields", [{"name": None}, {"name": "Bad Name"}, {"data": 3}, {"data": {"x": {"$ref": {}}}}, {"colour": "red"}]
)
def test_a_block_that_does_not_fit_is_refused(api, fields):
    schema = login_schema(api)

    answer = make_document(api, schema, **fields)

    assert answer.status_code == 422
