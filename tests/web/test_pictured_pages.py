"""Every page is looked at: `make screenshots` takes a picture of it, or this file says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.test import Client
from django.urls import URLPattern, get_resolver, resolve, reverse

from tests.browser.houses import FRAMEWORKS, addresses
from tests.browser.screenshots import FULL, LINKED, PAGES, RUNS
from tests.web.furnished import furnished

EXCUSED = {
    "metrics": "text for Prometheus",
    "change-password": "there for whoever signed in; a form as others",
    "enter": "a link that leads on",
    "sign-on": "leads to whoever provides identities",
    "sign-on-return": "leads on from there",
    "runs:compare-with-last-good": "leads to the comparison",
    "runs:next-failed": "leads to a run",
    "api-root": "pictured below its other address, /api/",
}
# Words in addresses that no row of the house stands for.
WORDS = {"code": "nothing", "name": "nothing", "key_id": 0}


def paths(house: dict[str, Any]) -> dict[str, str]:
    """The address of every page and action outside of the API and the admin."""
    found = addresses(house)
    for one in get_resolver().url_patterns:
        if isinstance(one, URLPattern) and one.name and not str(one.pattern).startswith("api/"):
            words = {name: {**WORDS, **house}[name] for name in one.pattern.converters}
            found.setdefault(one.name, reverse(one.name, kwargs=words))
    return found


def is_page(browser: Client, path: str) -> bool:
    """Whether there is something to look at; a page that is not there counts, so that nobody takes it for looked at."""
    answer = browser.get(path, headers={"accept": "text/html"})
    return answer.status_code not in {301, 302, 405} and "Content-Disposition" not in answer.headers


def test_every_page_is_pictured(browser: Client, settings: Any, tmp_path: Path):
    settings.ORION_ARCHIVE_PATH = str(tmp_path)
    house = furnished("nightly load")
    of_each = addresses(house)
    ids = dict.fromkeys([*RUNS, *LINKED, "deployment", "chain"], "00000000-0000-0000-0000-000000000000")
    elsewhere = [path.partition("?")[0].format(**ids) for path in (PAGES | FULL).values()]
    others = {resolve(path).view_name for path in [*elsewhere, *FRAMEWORKS]}

    gone = [name for name, path in of_each.items() if name not in EXCUSED and browser.get(path).status_code == 404]
    unseen = [
        f"{name}: {path}"
        for name, path in paths(house).items()
        if name not in of_each and name not in others and name not in EXCUSED and is_page(browser, path)
    ]

    assert gone == []
    assert unseen == [], "\n".join(unseen)
