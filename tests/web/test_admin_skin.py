"""The admin has the dashboard's colours, in both themes, and the API's pages are pages of the dashboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

CSS = Path(settings.BASE_DIR) / "static" / "css"
STATES = ["scheduled", "pending", "running", "paused", "completed", "failed", "crashed", "cancelling", "cancelled"]
# Names of the admin, and those of the dashboard.
SAME = {
    **{"body-bg": "page", "body-fg": "ink", "body-quiet-color": "muted", "link-fg": "link", "darkened-bg": "surface"},
    **{"border-color": "control", "hairline-color": "hairline"},
}


def colours(file: str) -> dict[str, str]:
    """The colours of a style sheet, each for the light theme and the dark one."""
    return dict(re.findall(r"--([a-z-]+): (light-dark\([^)]*\));", (CSS / file).read_text()))


def test_the_admin_has_the_colours_of_the_dashboard():
    ours, theirs = colours("orion.css"), colours("admin.css")

    assert {name: theirs[name] for name in STATES} == {name: ours[name] for name in STATES}
    assert {name: theirs[name] for name in SAME} == {name: ours[other] for name, other in SAME.items()}


@pytest.mark.parametrize("path", ["/admin/", "/admin/runs/flowrun/", "/api/health"])
def test_a_theme_that_the_reader_chose_holds_there_too(browser: Client, path: str):
    browser.post("/settings/browser", {"theme": "dark", "density": "normal", "zone": "Europe/Berlin"})

    page = browser.get(path, headers={"accept": "text/html"}).content.decode()

    assert re.search(r'<body class="[^"]*theme-dark|data-theme="dark"', page)
    assert "Times are in Europe/Berlin." in page or path == "/api/health"


def test_the_pages_of_the_api_are_pages_of_the_dashboard(browser: Client):
    page = browser.get("/api/health", headers={"accept": "text/html"}).content.decode()

    assert "/css/orion.css" in page
    assert 'aria-label="Main"' in page
    assert "<style" not in page
    assert "rest_framework/" not in page
