"""Answers: JSON for programs, DRF's browsable pages for people who open the API in a browser."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from pydantic_core import to_json
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request


class JSONRenderer(BaseRenderer):
    """Moments as ISO 8601 in UTC, periods as seconds."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is None and renderer_context and renderer_context["response"].status_code == 204:
            return b""
        return to_json(data, timedelta_mode="float", inf_nan_mode="null")


class BrowsableRenderer(BrowsableAPIRenderer):
    """DRF's page around the same JSON, with a form for the body. Its styles and scripts are served by ourselves."""

    def get_default_renderer(self, view: Any) -> BaseRenderer:
        return JSONRenderer()

    def get_content(self, renderer: Any, data: Any, *args: Any) -> str:
        return to_json(data, timedelta_mode="float", inf_nan_mode="null", indent=2).decode()

    def get_filter_form(self, *args: Any) -> None:
        return None


class BrowserNegotiation(DefaultContentNegotiation):
    """JSON, unless a browser asks for a page; nobody is refused for an unusual Accept header."""

    def select_renderer(
        self, request: Request, renderers: list[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        asks_for_page = "text/html" in request.META.get("HTTP_ACCEPT", "")
        for renderer in renderers:
            if (renderer.media_type == "text/html") == asks_for_page:
                return renderer, renderer.media_type
        return renderers[0], renderers[0].media_type


def renderers() -> list[type[BaseRenderer]]:
    """Pages need templates; inside a user's process there are none."""
    return [JSONRenderer, BrowsableRenderer] if settings.TEMPLATES else [JSONRenderer]
