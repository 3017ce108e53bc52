"""Bodies of requests: JSON only, of bounded size, and nothing in them that one of the databases would refuse.

The parser hands on bytes. pydantic parses and validates them in one go, in Rust; doing it twice would cost more than
the rules do.
"""

from __future__ import annotations

import re
from typing import IO, Any

from django.conf import settings
from pydantic_core import from_json, to_json
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser

from orionflow.contract.wire import bounds

# The contract checks how large fields are; how large they may be is this server's setting.
bounds.of_fields = lambda: int(settings.ORION_API_MAX_FIELD_BYTES)
bounds.of_artifacts = lambda: int(settings.ORION_API_MAX_ARTIFACT_BYTES)

# An escaped NUL, but not the text of one: the backslash itself must not be escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# Every escape, so that none is taken for the second half of another: a pair of surrogates is one character.
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


class UnreadableBody(Exception):
    """The body is not JSON, or JSON that cannot be stored."""

    def __init__(self, body: bytes, kind: str, reason: str) -> None:
        self.body = body
        self.kind = kind
        super().__init__(reason)


class StrictJSONParser(BaseParser):
    """Gives the checked bytes of a JSON body."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        body = read_within_limit(stream)
        refuse_unstorable(body)
        refuse_too_many_values(body)
        return body


class CleaningJSONParser(StrictJSONParser):
    """A parser for texts that programs only show: characters that cannot be stored are replaced.

    One NUL in one of a thousand log lines shall not keep the others from being stored.
    """

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        body = without_unstorable(read_within_limit(stream))
        refuse_unstorable(body)
        refuse_too_many_values(body)
        return body


def read_within_limit(stream: IO[bytes]) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(BodyTooLarge.default_detail.format(limit=limit))
    return body


def refuse_too_many_values(body: bytes) -> None:
    """Before it is parsed: of `[],[],…` each three bytes become an object, and all other threads wait meanwhile."""
    most = settings.ORION_API_MAX_JSON_NODES
    # Commas within texts count at first; only where these could make the difference are texts left out.
    if _marks(body) > most and _marks(_TEXT.sub(b"", body)) > most:
        raise TooManyValues(TooManyValues.default_detail.format(most=most))


def _marks(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def without_unstorable(body: bytes) -> bytes:
    """The JSON with a replacement character for each escaped NUL, each lone surrogate and each byte that is no text."""
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
    """Gives a plain text as the JSON that it would be."""

    media_type = "text/plain"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> bytes:
        raw = read_within_limit(stream)
        try:
            body = to_json(raw.decode())
        except UnicodeDecodeError as error:
            raise UnreadableBody(raw, "unicode_error", f"The text is not UTF-8: {error.reason}") from None
        refuse_unstorable(body)
        return body


def refuse_unstorable(body: bytes) -> None:
    """Refuse the values that pydantic's parser lets pass. It refuses lone surrogates and broken UTF-8 itself.

    Searching bytes is nearly free; the careful look is taken only where something was found.
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
