"""Blocks for tests: a type with a secret, and documents of it."""

from __future__ import annotations

FIELDS = {
    "title": "Login",
    "type": "object",
    "properties": {"user": {"type": "string"}, "password": {"type": "string", "format": "password"}},
    "secret_fields": ["password"],
    "block_type_slug": "login",
    "block_schema_references": {},
}


def make_type(api, slug="login", **fields):
    return api.send("/block_types/", {"name": slug.title(), "slug": slug, **fields})


def make_schema(api, block_type, fields=FIELDS, **more):
    return api.send("/block_schemas/", {"block_type_id": block_type["id"], "fields": fields, **more})


def make_document(api, schema, name="mine", **fields):
    given = {"name": name, "block_type_id": schema["block_type_id"], "block_schema_id": schema["id"], **fields}
    return api.send("/block_documents/", given)


def login_schema(api):
    return make_schema(api, make_type(api).json()).json()


def read_secrets(api, document):
    return api.read(f"/block_documents/{document['id']}?include_secrets=true").json()["data"]
