"""Renderers of answers: JSON for programs, and DRF's browsable pages for users who open the API in a browser."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request

# Fields of free JSON, which may be large. They come from JSON columns and contain no datetimes to convert.
_FREE = frozenset({"parameters", "context", "data", "job_variables", "payload", "fields", "base_job_template"})


def encoded(answer: Any, *, indent: int | None = None) -> bytes:
    """Return the answer as JSON: datetimes as ISO 8601 with offset, timedeltas as seconds. Changes the answer."""
    if isinstance(answer, dict | list | tuple | datetime):
        answer = _with_text_times(answer)
    return to_json(answer, timedelta_mode="float", inf_nan_mode="null", indent=indent)


def _with_text_times(value: Any) -> Any:
    """Return `value` with text in place of datetimes. pydantic writes `Z`, which Python before 3.11 cannot parse."""
    kind = type(value)
    if kind is datetime:
        return value.isoformat()
    if kind is dict:
        _replace_times(value, value.items())
        return value
    if kind is list or isinstance(value, tuple):
        parts = value if kind is list else list(value)
        _replace_times(parts, enumerate(parts))
        return parts
    return value


def _replace_times(parts: Any, items: Iterable[tuple[Any, Any]]) -> None:
    # Every value of every answer passes through here, so most need one comparison only, and nothing is copied.
    for key, value in items:
        kind = type(value)
        if kind is str or value is None:
            continue
        if kind is datetime:
            parts[key] = value.isoformat()
        elif kind in _CONTAINERS and key not in _FREE:
            parts[key] = _with_text_times(value)


_CONTAINERS = frozenset({dict, list, tuple})


class JSONRenderer(BaseRenderer):
    """JSON for programs."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is None and renderer_context and renderer_context["response"].status_code == 204:
            return b""
        return encoded(data)


class BrowsableRenderer(BrowsableAPIRenderer):
    """DRF's page around the same JSON, with a form for the body. This server serves its styles and scripts."""

    def get_default_renderer(self, view: Any) -> BaseRenderer:
        return JSONRenderer()

    def get_content(self, renderer: Any, data: Any, *args: Any) -> str:
        return encoded(data, indent=2).decode()

    def get_filter_form(self, *args: Any) -> None:
        return None


class BrowserNegotiation(DefaultContentNegotiation):
    """Chooses JSON, unless a browser asks for a page. Accepts unusual Accept headers and missing Content-Types."""

    def select_parser(self, request: Request, parsers: list[Any]) -> Any:
        kind = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if not kind or (kind.startswith("application/") and kind.endswith("+json")):
            return parsers[0]
        return super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: list[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        asks_for_page = _asks_for_page(request)
        for renderer in renderers:
            if (renderer.media_type == "text/html") == asks_for_page:
                return renderer, renderer.media_type
        return renderers[0], renderers[0].media_type


def _asks_for_page(request: Request) -> bool:
    """Whether a user reads the answer in a browser. Some programs accept HTML as well, and parse what they get."""
    accepted = request.META.get("HTTP_ACCEPT", "").lower()
    if "text/html" not in accepted or "application/json" in accepted:
        return False
    # Browsers send an Origin with the forms of these pages; programs send none.
    return request.method in {"GET", "HEAD"} or "HTTP_ORIGIN" in request.META
