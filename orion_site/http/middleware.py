"""Middleware of the full server: headers of pages, what no page can read, and an answer while the database is away.

Of pages nothing is loaded from elsewhere, framed or kept stale. The guard adds what all answers carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import cast

from django.conf import settings
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
    # What one reader may see is kept for nobody else on the way.
    "Cache-Control": "private, no-cache",
}


class SecurityHeadersMiddleware:
    """Adds each header that the view has not set: a page that needs another policy says so itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # `orion doctor` compares clocks by it.
        response.headers.setdefault("Date", http_date())
        if request.is_secure():
            self._keep_to_tls(response)
        return response

    def _keep_to_tls(self, response: HttpResponse) -> None:
        if settings.ORION_EXTERNAL_URL.startswith("https://"):
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        for cookie in response.cookies.values():
            cookie["secure"] = True


class NulMiddleware:
    """Refuses addresses of pages with the character NUL: no text of PostgreSQL has it. Forms and the API do so too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        has_nul = "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info
        if has_nul and not request.path_info.startswith("/api/"):
            raise BadRequest("The address contains the character NUL.")
        return self._get_response(request)


class CompressionMiddleware(GZipMiddleware):
    """Compresses pages. Answers of the API to programs are small, and cost less as they are.

    A page repeats what its address says beside the token of its forms. Django masks the token differently in each page,
    and adds a random length to each that is compressed, so that sizes betray nothing (BREACH).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if kind != "text/html" or response.streaming or response.status_code != HTTPStatus.OK:
            return response
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed


class MaskingMiddleware:
    """Masks secrets that the server knows in answers to whoever may not read them: what was stored before it knew."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if not known or may(who_asks(), Action.READ_SECRETS):
            return response
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        mask = known.masked_answer if kind == "application/json" else known.masked_bytes
        if isinstance(response, StreamingHttpResponse):
            if not response.is_async:
                # Whoever makes it piece by piece makes whole lines.
                response.streaming_content = map(mask, cast("Iterable[bytes]", response.streaming_content))
        elif kind == "application/json" or kind.startswith(("text/", "image/svg")):
            shown = mask(response.content)
            if shown != response.content:
                response.content = shown
                response.headers["Content-Length"] = str(len(shown))
        return response


class DatabaseAwayMiddleware:
    """Answers 503 for a view that could not reach the database. The API does so by itself."""

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
        # Said once for all requests, and not again for each by Django.
        answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer
