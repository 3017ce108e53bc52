"""Blocks as values: the schema's checksum, masking, and references."""

from __future__ import annotations

import pytest

from deployments.blocks.core.blocks import checksum_of, masked, secret_paths, split_references, with_secrets_kept

SECRET = {
    "title": "Secret",
    "type": "object",
    "properties": {"value": {"title": "Value", "type": "string", "writeOnly": True, "format": "password"}},
    "required": ["value"],
    "block_type_slug": "secret",
    "block_schema_references": {},
}


def test_a_checksum_names_the_fields_and_not_which_are_secret():
    plain = checksum_of(SECRET)

    assert plain.startswith("sha256:")
    assert checksum_of({**SECRET, "secret_fields": ["value"]}) == plain
    assert checksum_of({**SECRET, "title": "Other"}) != plain


def test_a_checksum_leaves_nested_blocks_to_their_own():
    holder = {"properties": {"inner": {"$ref": "#/definitions/Inner"}, "plain": {"$ref": "#/definitions/Plain"}}}
    inner = {"title": "Inner", "block_type_slug": "inner"}
    plain = {"title": "Plain", "properties": {"deep": {"$ref": "#/definitions/Deep"}}}
    deep = {"title": "Deep"}

    both = checksum_of({**holder, "definitions": {"Inner": inner, "Plain": plain, "Deep": deep, "Unused": {}}})

    assert both == checksum_of({**holder, "definitions": {"Plain": plain, "Deep": deep}})
    assert both != checksum_of({**holder, "definitions": {"Plain": plain, "Deep": {}}})


@pytest.mark.parametrize(
    ("path", "content", "shown"),
    [
        ("value", {"value": "s3", "a": 1}, {"value": "********", "a": 1}),
        ("value", {"value": {"deep": "s3"}}, {"value": "********"}),
        ("value", {"value": None}, {"value": None}),
        ("value", {"other": "x"}, {"other": "x"}),
        ("a.b", {"a": {"b": "s3", "c": 1}}, {"a": {"b": "********", "c": 1}}),
        ("a.*", {"a": {"b": "s3", "c": {"d": "s4"}}}, {"a": {"b": "********", "c": "********"}}),
        ("a.*.token", {"a": {"x": {"token": "s3", "n": 1}}}, {"a": {"x": {"token": "********", "n": 1}}}),
        ("a.b", {"a": [{"b": "s3"}]}, {"a": "********"}),
    ],
)
def test_secrets_are_masked_at_every_depth(path, content, shown):
    assert masked(content, secret_paths({"secret_fields": [path]})) == shown


def test_a_secret_sent_back_masked_stays_what_it_was():
    whole = {"value": "s3", "a": {"b": "s4", "c": 1}}
    shown = {"value": "********", "a": {"b": "********", "c": 1}}

    kept = with_secrets_kept({"value": "********", "a": {"b": "new", "c": "********"}}, shown, whole)

    assert kept == {"value": "s3", "a": {"b": "new", "c": "********"}}


def test_references_are_distinguished_from_content():
    content, references = split_references({"n": 1, "inner": {"$ref": {"block_document_id": "x"}}})

    assert (content, references) == ({"n": 1}, {"inner": "x"})


@pytest.mark.parametrize("target", [{}, None, "x", {"block_document_id": 3}])
def test_a_reference_must_name_a_document(target):
    with pytest.raises(ValueError, match="names no block_document_id"):
        split_references({"inner": {"$ref": target}})
