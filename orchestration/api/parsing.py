"""Parsers for request bodies: JSON only, of limited size, without values that one of the databases would refuse.

A parser returns bytes, because pydantic parses and validates them in one step, in Rust. Parsing them twice would cost
more than the rules do.
"""

from __future__ import annotations

import json
import re
from typing import IO, Any, Literal

from django.conf import settings
from pydantic_core import from_json, to_json
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser

from orionflow.contract.wire import bounds

# The contract checks the size of fields; the limits are settings of this server.
bounds.of_fields = lambda: int(settings.ORION_API_MAX_FIELD_BYTES)
bounds.of_artifacts = lambda: int(settings.ORION_API_MAX_ARTIFACT_BYTES)

# An escaped NUL. A backslash before it must not itself be escaped: `\\u0000` with two of them is the plain text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# Matches every escape, so that none is mistaken for the second half of another. A surrogate pair is one character.
_ESCAPED = re.compile(
    rb"(?P<fine>\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class BodyTooLarge(APIException):
    status_code = 413
    default_detail = "The body is longer than {limit} bytes; send it in parts."


class TooManyValues(APIException):
    status_code = 413
    default_detail = "The body is made of more than {most} values; send it in parts."


class EncodedBody(APIException):
    status_code = 415
    default_detail = "The API reads bodies as they are: send yours without Content-Encoding: {encoding}."


class UnreadableBody(Exception):
    """The body is not JSON, or JSON that cannot be stored."""

    def __init__(self, body: bytes, kind: str, reason: str) -> None:
        self.body = body
        self.kind = kind
        super().__init__(reason)


class StrictJSONParser(BaseParser):
    """Returns the checked bytes of a JSON body."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        body = in_utf8(read_within_limit(stream, parser_context))
        refuse_unstorable(body)
        refuse_too_many_values(body)
        return body


class CleaningJSONParser(StrictJSONParser):
    """A parser for text that is only shown to users: characters that cannot be stored are replaced.

    One NUL in one of a thousand log lines must not prevent the others from being stored.
    """

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        body = without_unstorable(in_utf8(read_within_limit(stream, parser_context), errors="replace"))
        refuse_unstorable(body)
        refuse_too_many_values(body)
        return body


def read_within_limit(stream: IO[bytes], context: Any) -> bytes:
    encoding = context["request"].META.get("HTTP_CONTENT_ENCODING", "").strip()
    if encoding.lower() not in {"", "identity"}:
        raise EncodedBody(EncodedBody.default_detail.format(encoding=encoding))
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(BodyTooLarge.default_detail.format(limit=limit))
    return body


def in_utf8(body: bytes, errors: Literal["strict", "replace"] = "strict") -> bytes:
    """Return JSON in UTF-8 that may be in UTF-16 or begin with a byte order mark, as Windows programs write it."""
    if not body or (body[0] < 0x80 and b"\0" not in body[:4]):
        return body
    try:
        return body.decode(json.detect_encoding(body), errors).encode()
    except UnicodeError:
        # The JSON parser says where it cannot be read.
        return body


def refuse_too_many_values(body: bytes) -> None:
    """Refuse a body with too many values before it is parsed.

    In `[],[],…` every three bytes become an object, and all other threads wait while they are made.
    """
    most = settings.ORION_API_MAX_JSON_NODES
    # The first count includes commas inside text. Only if that exceeds the limit, count again without text.
    if _marks(body) > most and _marks(_TEXT.sub(b"", body)) > most:
        raise TooManyValues(TooManyValues.default_detail.format(most=most))


def _marks(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def without_unstorable(body: bytes) -> bytes:
    """Return the JSON with replacement characters for escaped NULs, lone surrogates and bytes that are not UTF-8."""
    if b"\\u" in body:
        body = _ESCAPED.sub(_storable_escape, body)
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


def _storable_escape(found: re.Match[bytes]) -> bytes:
    return found[0] if found["fine"] else b"\\ufffd"


class TextParser(StrictJSONParser):
    """Returns a plain text as a JSON string."""

    media_type = "text/plain"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        raw = read_within_limit(stream, parser_context)
        try:
            body = to_json(raw.decode())
        except UnicodeDecodeError as error:
            raise UnreadableBody(raw, "unicode_error", f"The text is not UTF-8: {error.reason}") from None
        refuse_unstorable(body)
        return body


def refuse_unstorable(body: bytes) -> None:
    """Refuse values that pydantic's parser accepts. It refuses lone surrogates and broken UTF-8 itself.

    Searching bytes is nearly free; the exact check runs only if the search finds something.
    """
    if b"\\u0000" in body and _NUL.search(body):
        raise UnreadableBody(body, "nul_character", "Text must not contain the character NUL (\\u0000)")
    if b"NaN" in body or b"Infinity" in body:
        _refuse_constants(body)


def _refuse_constants(body: bytes) -> None:
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableBody(body, "json_invalid", f"Invalid JSON: {error}") from None
