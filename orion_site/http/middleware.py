"""Middleware of the full server: headers, invalid addresses, compression, messages, masking, outages of the database.

Pages load nothing from other sites, cannot be framed, and are not cached. The guard adds the headers of all answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import cast

from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.http import http_date

from orchestration.outages import is_outage, outage
from orion_site.accounts.permissions import Action, may, who_asks
from orionflow.contract.masking import known

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    # Shared caches must not keep what only one user may see.
    "Cache-Control": "private, no-cache",
}


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return http_date(second)


class SecurityHeadersMiddleware:
    """Adds each header that the view has not set; a page that needs another policy sets it itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # `orion doctor` uses it to compare clocks.
        response.headers.setdefault("Date", _date(int(time())))
        if request.is_secure():
            self._keep_to_tls(response)
        return response

    def _keep_to_tls(self, response: HttpResponse) -> None:
        if settings.ORION_EXTERNAL_URL.startswith("https://"):
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        for cookie in response.cookies.values():
            cookie["secure"] = True


class NulMiddleware:
    """Refuses addresses of pages with the character NUL, which no text of PostgreSQL may contain.

    Forms and the API check it, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        has_nul = "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info
        if has_nul and not request.path_info.startswith("/api/"):
            raise BadRequest("The address contains the character NUL.")
        return self._get_response(request)


class CompressionMiddleware(GZipMiddleware):
    """Compresses pages. Answers of the API to programs are small, and compressing them would cost more.

    A page contains parts of its address next to the CSRF token. Django masks the token differently in each page, and
    adds a random length to each compressed page, so that sizes reveal nothing (BREACH).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if kind != "text/html" or response.streaming or response.status_code != HTTPStatus.OK:
            return response
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed


class PageMessageMiddleware(MessageMiddleware):
    """Keeps messages for the next page. The API has none, and preparing them takes as long as checking its caller."""

    def process_request(self, request: HttpRequest) -> None:
        if not request.path_info.startswith("/api/"):
            super().process_request(request)


class MaskingMiddleware:
    """Masks known secrets in answers to users who may not read them, for texts stored before a secret was known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if not known or may(who_asks(), Action.READ_SECRETS) or hasattr(response, "shows_only_what_was_sent"):
            return response
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        mask = known.masked_answer if kind == "application/json" else known.masked_bytes
        if isinstance(response, StreamingHttpResponse):
            if not response.is_async:
                # Streams consist of whole lines, so secrets are not split.
                response.streaming_content = map(mask, cast("Iterable[bytes]", response.streaming_content))
        elif kind == "application/json" or kind.startswith(("text/", "image/svg")):
            shown = mask(response.content)
            if shown != response.content:
                response.content = shown
                response.headers["Content-Length"] = str(len(shown))
        return response


class DatabaseAwayMiddleware:
    """Answers 503 if a view cannot reach the database. The API does so itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not is_outage(error):
            return None
        outage.met(error)
        answer = HttpResponse(
            "The database of Orion does not answer. Try again in a moment.",
            status=503,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": "5"},
        )
        # Outages are logged once; Django must not log each request.
        answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer
