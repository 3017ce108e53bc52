"""Pages while the database is away: a sentence and when to come again, in place of an error of ours."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from orchestration.outages import is_outage, outage


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
