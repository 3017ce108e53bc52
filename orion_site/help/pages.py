"""`/help` and the pages below it, with a search that works without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import get_script_prefix

from orion_site.accounts.permissions import Action, requires
from orion_site.help.contents import every_page, pages_in, sections, words_of_readers
from orion_site.help.rendering import Rendered, passages, rendered
from orion_site.help.searching import Entry, hits, indexed

LONGEST = 200


@requires(Action.PROBE)
def help_index(request: HttpRequest) -> HttpResponse:
    """Show the table of all pages, or, with `?q=`, the passages that contain the words."""
    text = request.GET.get("q", "").strip()[:LONGEST]
    if not text:
        return _shown(request, "")
    context = {"section": "help", "sections": sections(_root()), "text": text, "hits": hits(text, _searched())}
    return TemplateResponse(request, "help/search.html", context)


@requires(Action.PROBE)
def help_page(request: HttpRequest, name: str) -> HttpResponse:
    return _shown(request, name)


def _shown(request: HttpRequest, name: str) -> HttpResponse:
    # Read once for each request: a folder's pages, with their titles, may change while the server runs.
    found = sections(_root())
    shown = next((page for page in pages_in(found) if page.name == name.strip("/")), None)
    if shown is None:
        raise Http404
    page = _rendered(shown.path, get_script_prefix(), _changed(shown.path))
    context = {"section": "help", "sections": found, "page": page, "shown": shown}
    return TemplateResponse(request, "help/page.html", context)


def _root() -> Path:
    return Path(settings.BASE_DIR) / "docs"


def _changed(path: str) -> int:
    """Return when the file was changed, so that authors of the documentation see changes without a restart."""
    return (_root() / path).stat().st_mtime_ns


# Links contain the prefix under which the server is reached.
@lru_cache(maxsize=256)
def _rendered(path: str, prefix: str, changed: int) -> Rendered:
    return rendered(_root(), path)


@lru_cache(maxsize=1)
def _searched() -> Sequence[Entry]:
    return indexed([(page, passages(_root(), page.path)) for page in every_page(_root())], words_of_readers(_root()))
