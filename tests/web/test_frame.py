"""The frame of all pages: headers, error pages, the look of states, and the text of periods."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import Client
from django.utils.safestring import mark_safe

from orchestration.core.states import StateType
from orion_site.preferences.reader import COOKIE
from runs.templatetags.states import look, state_badge
from runs.templatetags.times import period
from tests.web.rows import make_run

STYLE = (Path(settings.BASE_DIR) / "static/css/orion.css").read_text()
SPRITE = (Path(settings.BASE_DIR) / "static/img/icons.svg").read_text()
TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", ["/runs", "/flows", "/status", "/nope", "/admin/"])
def test_every_page_keeps_strangers_out_of_it(browser: Client, path: str):
    headers = browser.get(path).headers

    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_an_error_of_ours_is_a_page_without_details(browser: Client, monkeypatch: pytest.MonkeyPatch):
    def broken(**fields: Any) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("runs.pages.lists.flows_page", broken)
    browser.raise_request_exception = False
    browser.cookies[COOKIE] = "theme=dark"

    answer = browser.get("/flows")

    assert answer.status_code == 500
    assert "Something went wrong here" in answer.content.decode()
    assert 'data-theme="dark"' in answer.content.decode()
    assert "hunter2" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_address_of_the_api_leads_to_its_documentation(browser: Client, path: str):
    program = browser.get(path)
    person = browser.get(path, headers={"accept": "text/html,*/*"})

    assert program.json()["openapi"] == "/api/openapi.json"
    assert browser.get(program.json()["health"]).status_code == 200
    assert (person.status_code, person["location"]) == (302, "/docs")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_are_short_and_carry_neither_scripts_nor_styles_of_their_own(template: Path):
    text = template.read_text()

    assert len(text.splitlines()) <= 150
    assert not re.search(
        r"<script(?! src=\"{% static '[\w./-]+' %}\")|\sstyle=|\son\w+=[\"']|https?://(?!www\.w3\.org)", text
    )


@pytest.mark.parametrize("kind", list(StateType))
def test_each_state_has_a_shape_a_word_and_a_colour(kind: StateType):
    shown = Template("{% load states %}{% state_badge kind %}").render(Context({"kind": kind.value}))

    assert f'id="{kind.value.lower()}"' in SPRITE
    assert f"--{kind.value.lower()}: light-dark(#" in STYLE
    assert kind.value.capitalize() in shown


@pytest.mark.parametrize(
    ("name", "shape", "word"),
    [("Late", "late", "Late"), ("AwaitingRetry", "retry", "Awaiting retry"), ("My own", "scheduled", "My own")],
)
def test_a_state_name_may_have_a_symbol_and_a_word_of_its_own(name: str, shape: str, word: str):
    assert look("SCHEDULED", name) == (shape, word)
    assert f'id="{shape}"' in SPRITE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (timedelta(), "0 s"),
        (0.0004, "< 1 ms"),
        (0.31, "310 ms"),
        (4.24, "4.2 s"),
        (59, "59 s"),
        (252, "4m 12s"),
        (3600, "1h"),
        (3900, "1h 5m"),
        (timedelta(days=2, hours=3, seconds=9), "2d 3h"),
    ],
)
def test_periods_are_shown_in_at_most_two_units(value: Any, expected: str):
    assert period(value) == expected


def palettes() -> list[dict[str, str]]:
    """The light colours, and the dark ones."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{3,6}), (#[0-9a-f]{3,6})\);", STYLE)
    return [{name: pair[place] for name, *pair in pairs} for place in (0, 1)]


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_text_and_state_colours_stand_out_from_their_ground(palette: dict[str, str]):
    for ground in (palette["page"], palette["surface"]):
        for text in ("ink", "muted", "link"):
            assert contrast(palette[text], ground) >= 4.5, (text, ground)
        for kind in StateType:
            assert contrast(palette[kind.value.lower()], ground) >= 3, (kind, ground)
        assert contrast(palette["control"], palette["page"]) >= 3


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_no_two_states_look_alike(palette: dict[str, str]):
    kinds = [kind.value.lower() for kind in StateType if kind is not StateType.CANCELLING]

    for one, other in combinations(kinds, 2):
        assert distance(palette[one], palette[other]) >= 10, (one, other)


def test_a_first_visit_is_light(browser: Client):
    make_run()
    import gzip

    paths = ["/runs", "/static/css/orion.css", "/static/img/icons.svg", "/static/img/orion.svg"]
    size = sum(len(gzip.compress(b"".join(browser.get(path)))) for path in paths)

    assert size <= 35_000


def channels(colour: str) -> list[float]:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    values = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        red, green, blue = channels(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def distance(one: str, other: str) -> float:
    """In OKLab, times a hundred."""
    return 100 * sum((a - b) ** 2 for a, b in zip(oklab(one), oklab(other), strict=True)) ** 0.5


def oklab(colour: str) -> list[float]:
    red, green, blue = channels(colour)
    cone = [
        (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3),
        (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3),
        (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3),
    ]
    rows = [
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    ]
    return [sum(weight * part for weight, part in zip(row, cone, strict=True)) for row in rows]


def test_the_name_of_a_state_is_escaped_even_after_equal_text_that_is_safe():
    assert "<b>" in state_badge("FAILED", mark_safe("<b>Odd</b>"))
    assert "&lt;b&gt;Odd" in state_badge("FAILED", "<b>Odd</b>")
    assert state_badge("FAILED", None) == state_badge("FAILED", "")
