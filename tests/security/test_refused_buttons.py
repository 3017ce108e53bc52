"""Buttons of pages: those that a role would refuse are there, and do nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from orion_site.accounts.permissions import LOCAL_OWNER, Actor
from orion_site.accounts.refused import without_refused
from orion_site.accounts.roles import ACTIONS
from tests.security.askers import Asker
from tests.web.deployments import make_deployment
from tests.web.rows import make_run

pytestmark = pytest.mark.django_db


def button(page: str, words: str) -> str:
    """The tag of the button or link with these words."""
    found = re.search(rf"<(?:button|a)\b[^>]*>(?=\s*{re.escape(words)})", page)
    assert found, words
    return found[0]


def is_off(tag: str) -> bool:
    assert ("disabled" in tag) == ("Your role does not allow this." in tag)
    return "disabled" in tag


@pytest.mark.parametrize(
    ("role", "off"),
    [
        ("viewer", {"Run now", "Run with…", "Pause", "Change", "Duplicate", "Delete this deployment"}),
        ("operator", {"Pause", "Change", "Duplicate", "Delete this deployment"}),
        ("deployer", set()),
    ],
)
def test_a_page_of_a_deployment_offers_what_the_role_allows(asker: Callable[..., Asker], role: str, off: set[str]):
    page = asker(role).get(f"/deployments/{make_deployment().pk}").content.decode()

    words = ["Run now", "Run with…", "Pause", "Change", "Duplicate", "Delete this deployment"]
    assert {one for one in words if is_off(button(page, one))} == off


@pytest.mark.parametrize(("role", "off"), [("viewer", True), ("operator", False), ("admin", False)])
def test_a_page_of_a_run_offers_what_the_role_allows(asker: Callable[..., Asker], role: str, off: bool):
    run = make_run(state="RUNNING")

    page = asker(role).get(f"/runs/{run.pk}").content.decode()

    assert is_off(button(page, "Cancel")) is off


def test_pages_for_those_who_may_everything_are_as_they_are():
    page = b'<form method="post" action="/runs/0199f1a2-0000-7000-8000-000000000001/cancel"><button>x</button></form>'

    assert without_refused(page, "/", LOCAL_OWNER) == page
    assert b"disabled" in without_refused(page, "/", Actor("v", ACTIONS["viewer"]))


def test_other_pages_are_left_alone():
    viewer = Actor("v", ACTIONS["viewer"])
    page = (
        b'<a class="button" href="https://example.org/x/y">x</a><a class="button" href="?tab=runs">y</a><form>z</form>'
    )

    assert without_refused(page, "/runs", viewer) == page
