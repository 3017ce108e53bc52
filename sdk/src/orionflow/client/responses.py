"""The meaning of HTTP answers: the error for each, with a message, and the seconds to wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orionflow.errors import (
    ApiError,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Overloaded,
    ServerFailed,
)

# Seconds.
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers with lower-case names, and body of an answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


_ERRORS: dict[int, type[ApiError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    423: Overloaded,
    429: Overloaded,
    503: Overloaded,
}


def error_from_reply(reply: Reply, *, method: str, url: str) -> ApiError:
    """Return the SDK's error for this answer; its message contains the request and the API's explanation."""
    detail = _detail(reply.content)
    kind: type[ApiError] = _ERRORS.get(reply.status) or (ServerFailed if reply.status >= 500 else InvalidRequest)
    message = f"{method} {url} was answered with {reply.status}: {_sentence(detail)}"
    error = kind(message, status=reply.status, detail=detail)
    error.retry_after = seconds_to_wait(reply.headers)
    return error


def _detail(content: bytes) -> Any:
    try:
        body = json.loads(content)
    except ValueError:
        return content[:500].decode("utf-8", "replace")
    if not isinstance(body, dict):
        return body
    for key in ("detail", "exception_detail", "exception_message", "message"):
        if body.get(key):
            return body[key]
    return body


def _sentence(detail: Any) -> str:
    """Return validation errors as `field: what is wrong`, and other details unchanged."""
    if isinstance(detail, list) and detail and all(isinstance(one, dict) for one in detail):
        return "; ".join(f"{_place(one.get('loc'))}{one.get('msg', one)}" for one in detail[:5])
    text = str(detail).strip()
    if text[:14].lower().startswith(("<!doctype html", "<html")):
        return "A web page, not an answer of the API; the API's address usually ends in /api."
    return text or "no explanation given"


def _place(loc: Any) -> str:
    parts = [str(part) for part in loc if part != "body"] if isinstance(loc, list | tuple) else []
    return ".".join(parts) + ": " if parts else ""


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that `Retry-After` asks for, given as a number or a date; between zero and a minute."""
    asked = headers.get("retry-after")
    if not asked:
        return 0.0
    try:
        seconds = float(asked)
    except ValueError:
        seconds = _seconds_until(asked)
    # `float` also reads "nan", which is unequal to itself.
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0


def _seconds_until(date: str) -> float:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return (moment - datetime.now(UTC)).total_seconds() if moment.tzinfo else 0.0
