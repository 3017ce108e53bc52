"""The one exception handler of the API: it turns each error into a status and a body, alike on both databases."""

from __future__ import annotations

import logging
import re
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.response import Response
from rest_framework.views import set_rollback

from orchestration.api.parsing import UnreadableBody
from orchestration.errors import Conflict, DomainError, NotFound, Protected, RunLost
from orchestration.outages import DISK_FULL, log_outage
from orchestration.transactions import is_cut_off, is_disk_full
from orionflow.contract.wire import NAME_PATTERN

logger = logging.getLogger("orion.api")

# Bytes. An error about a longer body does not repeat the body.
LONGEST_ECHO = 64 * 1024

STATUS_OF = {NotFound: 404, Conflict: 409, RunLost: 409, Protected: 403}
# Messages that Prefect's clients show to their users.
INTEGRITY = "Data integrity conflict. This usually means a unique or foreign key constraint was violated."
INVALID = "Invalid request received."
AWAY = "Service Unavailable: the database does not answer."
BUSY = "Service Unavailable: the database is busy."

_OF_A_NAME = "The characters / % & > < and control characters are not allowed"
_MADE_OF = {
    NAME_PATTERN: _OF_A_NAME,
    NAME_PATTERN.replace("+", "*"): _OF_A_NAME,
    "^[a-z0-9_]+$": "Only lower-case letters, digits and underscores are allowed",
    "^[a-z0-9-]+$": "Only lower-case letters, digits and dashes are allowed",
}

# Parts of places that are no fields: by them pydantic says which kind of a union the complaint is about.
_OF_A_UNION = re.compile(r"constrained-\w+|(function-(after|before|plain|wrap)|literal|list|dict|nullable|union)\[.*\]")

T = TypeVar("T")


class InvalidRequest(Exception):
    """A part of the request does not fit its model; each complaint names the place in the request."""

    def __init__(self, complaints: list[dict[str, Any]], body: bytes = b"") -> None:
        self.complaints = complaints
        self.body = body
        super().__init__(complaints)


def complaint(loc: list[Any], message: str, kind: str) -> dict[str, Any]:
    return {"loc": loc, "msg": message, "type": kind}


def complaints_of(error: ValidationError, *place: str) -> list[dict[str, Any]]:
    errors = error.errors(include_url=False, include_input=False)
    return [complaint([*place, *one["loc"]], _in_words(one), one["type"]) for one in errors]


def _in_words(error: ErrorDetails) -> str:
    """Return what is wrong with a value. If it does not match a known pattern, say which characters are allowed."""
    return _MADE_OF.get(error.get("ctx", {}).get("pattern", ""), error["msg"])


class Refused(Exception):
    """An explicit check failed. `detail` says what is wrong and what to send instead."""

    def __init__(self, detail: str, status: int = 422) -> None:
        self.detail = detail
        self.status = status
        super().__init__(detail)


class Missing(Refused):
    """The row that the path names does not exist."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} not found", 404)


def existing(row: T | None, thing: str) -> T:
    """Return the row. Raises Missing if it is None."""
    if row is None:
        raise Missing(thing)
    return row


def answer_error(error: Exception, context: dict[str, Any]) -> Response:
    """Turn an error into a response, as DRF's exception handler."""
    set_rollback()
    match error:
        case InvalidRequest():
            return _invalid(error.complaints, error.body)
        case UnreadableBody():
            return _invalid([complaint(["body"], str(error), error.kind)], error.body)
        case Refused():
            return _refused({"detail": error.detail}, error.status, complaint(["body"], error.detail, "value_error"))
        case DomainError():
            return _domain_error(error, context.get("view"))
        case Http404():
            return Response({"detail": "Not Found"}, status=404)
        case PermissionDenied():
            return Response({"detail": str(error) or "You are not allowed to do this."}, status=403)
        case APIException():
            return _drf_error(error)
        case DatabaseError() | InterfaceError():
            return _database_error(error, context)
        case _:
            return _unexpected(error, context)


def _invalid(complaints: list[dict[str, Any]], body: bytes) -> Response:
    content = {
        "detail": "; ".join(map(_sentence, complaints[:5])),
        "exception_message": INVALID,
        "exception_detail": complaints,
        "request_body": _echo(body),
    }
    return Response(content, status=422)


def _sentence(one: dict[str, Any]) -> str:
    place = ".".join(part for part in map(str, one["loc"]) if part != "body" and not _OF_A_UNION.fullmatch(part))
    return f"{place}: {one['msg']}" if place else str(one["msg"])


def _refused(content: dict[str, Any], status: int, found: dict[str, Any]) -> Response:
    """Answer a 422 in the same shape, whether a request model or the domain refused the request."""
    if status == 422:
        content |= {"exception_message": INVALID, "exception_detail": [found], "request_body": None}
    return Response(content, status=status)


def _echo(body: bytes) -> Any:
    if not body:
        return None
    if len(body) > LONGEST_ECHO:
        return f"({len(body)} bytes)"
    try:
        return from_json(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _domain_error(error: DomainError, view: Any) -> Response:
    if isinstance(error, NotFound) and getattr(view, "missing", 404) == 409:
        return Response({"detail": f"{INTEGRITY} {error}", "code": error.code}, status=409)
    status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 422)
    # The endpoints of the rules have always used another key than the rest of the API.
    key = "exception_message" if getattr(view, "orchestrates", False) and status == 404 else "detail"
    found = complaint(["body", *error.place], str(error), error.code)
    # As in errors of pydantic, only the text of a 422 begins with the field.
    return _refused({key: _sentence(found) if status == 422 else str(error), "code": error.code}, status, found)


def _drf_error(error: APIException) -> Response:
    detail = "Method Not Allowed" if isinstance(error, MethodNotAllowed) else str(error.detail)
    headers = {}
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    return Response({"detail": detail}, status=error.status_code, headers=headers)


def _database_error(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, IntegrityError):
        return Response({"detail": INTEGRITY}, status=409)
    if isinstance(error, OperationalError | InterfaceError) or is_cut_off(error):
        if log_outage(error):
            message = DISK_FULL if is_disk_full(error) else AWAY
        else:
            logger.warning("The database could not answer: %s", error)
            message = BUSY
        return Response({"exception_message": message}, status=503, headers={"Retry-After": "1"})
    return _unexpected(error, context)


def _unexpected(error: Exception, context: dict[str, Any]) -> Response:
    logger.error("An operation of the API broke", exc_info=error)
    got_request_exception.send(sender=None, request=context.get("request"))
    return Response({"exception_message": "Internal Server Error"}, status=500)
