"""Sets the preferences that a browser sends with its requests, with the zone for the times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from orion_site.preferences.reader import COOKIE, Preferences, read_preferences


class PreferencesMiddleware:
    """Sets `request.preferences` if the browser sent some, and activates their zone. `preferences_of` has defaults."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if COOKIE not in request.COOKIES:
            # Programs have no preferences; times are in UTC, as the settings say.
            return self._get_response(request)
        preferences = read_preferences(request)
        request.preferences = preferences  # type: ignore[attr-defined]
        with timezone.override(preferences.tzinfo):
            return self._get_response(request)


def preferences_of(request: HttpRequest) -> Preferences:
    found: Preferences = getattr(request, "preferences", Preferences())
    return found


def preferences(request: HttpRequest) -> dict[str, Any]:
    """Return `preferences` for templates."""
    return {"preferences": preferences_of(request)}
