"""An id for each request, in its answer and in all log lines of the request, when logs are JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from django.http import HttpRequest

from orionflow import json_lines

HEADER = "X-Request-ID"
# An id from a proxy or client that matches this is kept; any other is replaced.
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_present: ContextVar[dict[str, str]] = ContextVar("orion_request_id", default={})  # noqa: B039 (never changed)


class RequestIdMiddleware:
    """Sets the id; it comes first, so that all log lines of a request have it."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if _present.get not in json_lines.present:
            json_lines.present.append(_present.get)

    def __call__(self, request: HttpRequest) -> Any:
        received = request.headers.get(HEADER, "")
        request_id = received if _PLAIN.fullmatch(received) else uuid4().hex
        token = _present.set({"request_id": request_id})
        try:
            response = self._get_response(request)
        finally:
            _present.reset(token)
        response.headers[HEADER] = request_id
        return response
