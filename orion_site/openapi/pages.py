"""The documentation of the API in the browser, with assets from the server, so that it works without a network."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import get_script_prefix, reverse
from django.utils.html import format_html

import orion_site
from orion_site.accounts.permissions import Action, requires

_ASSETS = "drf_spectacular_sidecar"
# Both viewers add styles to their page, and ReDoc searches in a worker that it creates.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
{head}
</head>
<body>
<nav aria-label="Orion" style="font: 14px system-ui, sans-serif; margin: 10px 16px">
<a href="{home}">Dashboard</a> · <a href="{words}">API in words</a> · <a href="{document}">openapi.json</a>
<noscript><p>This viewer needs scripts; the pages that these links lead to do not.</p></noscript>
</nav>
{body}
</body>
</html>
"""


@requires(Action.PROBE)
def api_root(request: HttpRequest) -> HttpResponse:
    """Answer at the root of the API: redirect browsers to the documentation, and return links to programs."""
    root = get_script_prefix()
    if "text/html" in request.headers.get("Accept", ""):
        return redirect("docs")
    return JsonResponse(
        {
            "version": orion_site.__version__,
            "openapi": f"{root}api/openapi.json",
            "reference": f"{root}docs",
            "health": f"{root}api/health",
        }
    )


@requires(Action.PROBE)
def swagger(request: HttpRequest) -> HttpResponse:
    """Show the API with Swagger UI, to read and to try."""
    folder = f"{_ASSETS}/swagger-ui-dist"
    head = format_html('<link rel="stylesheet" href="{}">', static(f"{folder}/swagger-ui.css"))
    body = format_html(
        '<div id="swagger"></div><script src="{}"></script><script src="{}" data-document="{}"></script>',
        static(f"{folder}/swagger-ui-bundle.js"),
        static("js/swagger.js"),
        _document(),
    )
    return _page("Orion API", head, body)


@requires(Action.PROBE)
def redoc(request: HttpRequest) -> HttpResponse:
    """Show the API with ReDoc, to read."""
    script = static(f"{_ASSETS}/redoc/bundles/redoc.standalone.js")
    body = format_html('<redoc spec-url="{}"></redoc><script src="{}"></script>', _document(), script)
    return _page("Orion API reference", "", body)


def _document() -> str:
    return f"{get_script_prefix()}api/openapi.json"


def _page(title: str, head: str, body: str) -> HttpResponse:
    links = {"home": reverse("home"), "words": reverse("help-page", args=["reference/api"]), "document": _document()}
    page = HttpResponse(format_html(_PAGE, title=title, icon=static("img/orion.svg"), head=head, body=body, **links))
    page.headers["Content-Security-Policy"] = _POLICY
    return page
