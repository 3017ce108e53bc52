"""Blocks in the pages: their secrets stay secret, and an edit loses nothing."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.blocks.services.blocks import (
    NewBlockDocument,
    create_block_document,
    create_block_schema,
    create_block_type,
    opened,
)
from deployments.blocks.services.builtin_types import install_builtin_block_types
from deployments.models import BlockDocument, BlockReference, BlockSchema, BlockType, Deployment
from tests.services.dispatching import make_deployment
from tests.web.conftest import HOSTILE

FIELDS = {
    "title": "Login",
    "type": "object",
    "properties": {
        "user": {"title": "User", "type": "string"},
        "password": {"title": "Password", "type": "string", "format": "password", "writeOnly": True},
        "port": {"title": "Port", "type": "integer", "default": 5432},
        "options": {"title": "Options", "type": "object"},
    },
    "required": ["user", "password"],
    "secret_fields": ["password"],
    "block_schema_references": {},
    "block_type_slug": "login",
}
NESTING = {
    "title": "Database",
    "type": "object",
    "properties": {"login": {"$ref": "#/definitions/Login"}, "schema": {"type": "string"}},
    "required": ["login"],
    "block_schema_references": {"login": {"block_type_slug": "login"}},
    "definitions": {"Login": FIELDS},
    "block_type_slug": "database",
}


def make_schema(slug: str = "login", fields: dict[str, Any] = FIELDS) -> BlockSchema:
    now = timezone.now()
    kind = create_block_type(columns={"name": slug.title(), "slug": slug}, now=now)
    schema, _ = create_block_schema(block_type_id=kind.pk, fields=fields, capabilities=[], version="1", now=now)
    return schema


@pytest.fixture
def login(db: None) -> BlockSchema:
    return make_schema()


def make_block(schema: BlockSchema, name: str = "shop", **content: Any) -> BlockDocument:
    whole = {"user": "ada", "password": "hunter2", "port": 5432, **content}
    new = NewBlockDocument(name=name, content=whole, block_type_id=schema.block_type_id, block_schema_id=schema.pk)
    return create_block_document(new=new, now=timezone.now())


def test_blocks_are_listed_by_type_and_found(browser: Client, login: BlockSchema):
    make_block(login)
    make_block(login, "warehouse")

    every = browser.get("/blocks").content.decode()
    some = browser.get("/blocks?q=ware&type=login").context["found"].rows

    assert all(text in every for text in ("shop", "warehouse", "Login"))
    assert [one.name for one in some] == ["warehouse"]


def test_secrets_are_never_on_a_page(browser: Client, login: BlockSchema):
    block = make_block(login)

    pages = [
        browser.get(path).content.decode() for path in ("/blocks", f"/blocks/{block.pk}", f"/blocks/{block.pk}/edit")
    ]

    assert all("hunter2" not in page for page in pages)
    assert "********" in pages[1]
    assert 'type="password"' in pages[2]


def test_a_block_is_made_in_a_form_of_its_schema(browser: Client, login: BlockSchema):
    sent = {"name": "shop", "p/user": "ada", "p/password": "hunter2", "p/port": "5433", "p/options": '{"ssl": true}'}

    made = browser.post("/blocks/new/login", sent)

    block = BlockDocument.objects.get()
    assert made["location"] == f"/blocks/{block.pk}"
    assert block.content["password"] == "********"
    assert opened(block) == {"user": "ada", "password": "hunter2", "port": 5433, "options": {"ssl": True}}


def test_an_edit_keeps_secrets_and_what_the_form_does_not_show(browser: Client, login: BlockSchema):
    block = make_block(login, extra={"a": 1})
    sent = {"p/user": "eve", "p/password": "********", "p/port": "1", "p/options": ""}

    browser.post(f"/blocks/{block.pk}/edit", sent)
    first = opened(BlockDocument.objects.get())
    browser.post(f"/blocks/{block.pk}/edit", {**sent, "p/password": "changed"})
    second = opened(BlockDocument.objects.get())

    assert (first["user"], first["password"], first["port"], first["extra"]) == ("eve", "hunter2", 1, {"a": 1})
    assert second["password"] == "changed"


def test_what_cannot_be_left_empty_is_marked_as_required(browser: Client, login: BlockSchema):
    empty = browser.get("/blocks/new/login")

    refused = browser.post("/blocks/new/login", {"name": "new", "p/user": "", "p/password": "", "p/port": ""})

    marked = set(re.findall(r'<label for="p/(\w+)">\w+<span class="muted"> \(required\)', empty.content.decode()))
    assert marked == {field.label for field in refused.context["form"].fields if field.errors}
    assert marked == {"user", "password", "port"}


def test_errors_are_shown_at_their_field(browser: Client, login: BlockSchema):
    make_block(login)
    good = {"name": "new", "p/user": "ada", "p/password": "x", "p/port": "1"}

    answers = {
        wrong: browser.post("/blocks/new/login", {**good, **changes})
        for wrong, changes in {
            "This field is required.": {"p/user": ""},
            "Small letters": {"name": "Not Good"},
            "not a whole number": {"p/port": "many"},
            "not JSON": {"p/options": "{"},
            "shop": {"name": "shop"},
        }.items()
    }

    for wrong, answer in answers.items():
        assert answer.status_code == 422
        assert wrong in answer.content.decode()
    assert BlockDocument.objects.count() == 1


PEM = "-----BEGIN KEY-----\nabc\n\n-----END KEY-----\n"


def test_a_secret_of_several_lines_keeps_its_line_breaks(browser: Client, login: BlockSchema):
    edit = f"/blocks/{make_block(login).pk}/edit"
    sent = {"p/user": "ada", "p/password": "********", "lines/password": PEM.replace("\n", "\r\n")}

    browser.post(edit, sent)
    browser.post("/blocks/new/login", {**sent, "name": "new", "p/password": ""})
    page = browser.get(edit).content.decode()
    both = browser.post(edit, {**sent, "p/password": "short"})

    assert [opened(one)["password"] for one in BlockDocument.objects.all()] == [PEM, PEM]
    assert "BEGIN" not in page
    assert re.search(r'<textarea name="lines/password"[^>]*masked"[^>]* autocomplete="off"[^>]*>\s*<', page)
    assert (both.status_code, "not in both" in both.content.decode()) == (422, True)


def test_secrets_within_objects_have_inputs_that_show_no_text(browser: Client):
    inner = {"type": "object", "properties": {"key": {"type": "string"}, "user": {"type": "string"}}}
    whole = {"signing": inner, "tls": inner, "plain": inner}
    make_schema(fields={**FIELDS, "properties": whole, "required": [], "secret_fields": ["signing.key", "tls.*"]})

    page = browser.get("/blocks/new/login").content.decode()

    names = re.findall(r'<input[^>]* name="p/([^"]+)"[^>]* type="password"', page)
    assert sorted(names) == ["signing/key", "tls/key", "tls/user"]


def test_a_block_within_a_block_is_chosen_and_kept(browser: Client, login: BlockSchema):
    inner = make_block(login)
    make_schema("database", NESTING)
    form = browser.get("/blocks/new/database").content.decode()
    missing = browser.post("/blocks/new/database", {"name": "db", "p/schema": "public"})
    browser.post("/blocks/new/database", {"name": "db", "p/schema": "public", "block/login": str(inner.pk)})
    block = BlockDocument.objects.get(name="db")
    browser.post(f"/blocks/{block.pk}/edit", {"p/schema": "private", "block/login": str(inner.pk)})

    block.refresh_from_db()
    assert str(inner.pk) in form
    assert "Choose a block for login." in missing.content.decode()
    assert block.content == {"schema": "private"}
    assert BlockReference.objects.get().document_id == inner.pk
    assert f"/blocks/{inner.pk}" in browser.get(f"/blocks/{block.pk}").content.decode()
    assert f"/blocks/{block.pk}" in browser.get(f"/blocks/{inner.pk}").content.decode()


def test_a_block_is_deleted(browser: Client, login: BlockSchema):
    block = make_block(login)

    browser.post(f"/blocks/{block.pk}/delete")

    assert not BlockDocument.objects.exists()


def test_every_type_that_the_server_brings_has_a_form(browser: Client):
    install_builtin_block_types(now=timezone.now())

    assert browser.get("/blocks/new").status_code == 200
    for slug in BlockType.objects.filter(schemas__isnull=False).values_list("slug", flat=True):
        assert browser.get(f"/blocks/new/{slug}").status_code == 200


def test_the_next_page_goes_on_after_the_last_block(browser: Client, login: BlockSchema):
    for place in range(120):
        make_block(login, f"b{place:03}")

    first = browser.get("/blocks")
    second = browser.get("/blocks" + first.context["next"])
    names = [one.name for answer in (first, second) for one in answer.context["found"].rows]

    assert names == [f"b{place:03}" for place in range(120)]


def test_the_page_without_blocks_explains_what_they_are(browser: Client):
    assert "No blocks yet" in browser.get("/blocks").content.decode()
    assert browser.get(f"/blocks/{uuid4()}").status_code == 404
    assert browser.get("/blocks/new/nothing").status_code == 404


def test_pages_cost_few_queries_and_contents_are_text(
    browser: Client, login: BlockSchema, django_assert_max_num_queries
):
    for place in range(20):
        block = make_block(login, f"b{place}", user=HOSTILE)

    with django_assert_max_num_queries(3):
        browser.get("/blocks")
    with django_assert_max_num_queries(3):
        shown = browser.get(f"/blocks/{block.pk}").content.decode()
    with django_assert_max_num_queries(4):
        edited = browser.get(f"/blocks/{block.pk}/edit").content.decode()

    assert HOSTILE not in shown + edited


def test_a_location_of_results_names_who_stores_there_and_how_it_is_tried(
    browser: Client, django_assert_max_num_queries
):
    install_builtin_block_types(now=timezone.now())
    schema = BlockSchema.objects.get(block_type__slug="result-location")
    block = make_block(schema, "lake", url="s3://bucket/results", options={"key": "hush"})
    empty = make_block(schema, "pond", url="/data")
    deployment = make_deployment()
    Deployment.objects.filter(pk=deployment.pk).update(result_storage="lake")

    with django_assert_max_num_queries(12):
        page = browser.get(f"/blocks/{block.pk}").content.decode()

    assert f'href="/deployments/{deployment.pk}"' in page
    assert "orion result location check lake" in page
    assert "hush" not in page
    assert "No deployment names it" in browser.get(f"/blocks/{empty.pk}").content.decode()


@pytest.mark.parametrize("odd", [{"properties": True}, {"properties": ["login"]}, {"required": True}, {"required": 5}])
def test_the_form_of_an_odd_schema_opens(browser: Client, odd: dict[str, Any]):
    make_schema()
    make_schema("database", {**NESTING, **odd})

    assert browser.get("/blocks/new/database").status_code == 200
