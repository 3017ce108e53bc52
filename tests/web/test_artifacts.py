"""Artifacts are rendered for people, and nothing that somebody wrote in one runs in a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runs.pages.markdown import LONGEST, rendered, rendered_line
from runs.templatetags.shown import as_table

TAGS = {
    *("p", "a", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"href", "rel", "title", "start", "class", "style"}


class Looked(HTMLParser):
    """Every tag and attribute of a text, as a browser reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    looked = Looked()
    looked.feed(html)
    looked.close()
    return looked.tags


def is_harmless(html: str) -> bool:
    for tag, attributes in tags_of(html):
        if tag not in TAGS or not attributes.keys() <= ATTRIBUTES:
            return False
        if tag == "a" and urlsplit(attributes.get("href") or "").scheme not in ("http", "https", "mailto"):
            return False
        style = attributes.get("style")
        if style is not None and not style.startswith("text-align:"):
            return False
    return True


EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](//evil.example)",
    "[x](/admin/delete)",
    "![x](https://evil.example/pixel.png)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](https://a "onmouseover=alert(1)")',
    '[x](https://a" onmouseover="alert(1))',
    "<a href='javascript:alert(1)'>x</a>",
    "<svg/onload=alert(1)>",
    "<!-- <script> -->",
    "&lt;script&gt;",
    "| a |\n|:-:|\n| <b onclick=x>b</b> |",
    "```<script>\nx\n```",
    "<style>*{display:none}</style>",
    "<iframe src=https://evil.example></iframe>",
    "</div></article><form action=/x>",
]


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_runs_or_leads_astray_gets_through(text):
    assert is_harmless(rendered(text))
    assert is_harmless(rendered_line(text))


PARTS = st.sampled_from([*EVIL, "\n\n", "> ", "- ", "`", "*", "|", "\\", "x", '"', "<", "["])


@example("[a](http://[)")
@given(st.lists(PARTS, max_size=8).map("".join))
def test_no_script_gets_through_in_any_combination_of_markup(text):
    assert is_harmless(rendered(text))


def test_markdown_is_shown_with_headings_lists_tables_and_links():
    html = rendered("# Report\n\n- **one**\n\n| a | b |\n|---|---|\n| 1 | [x](https://example.org/?a=1&b=2) |\n")

    assert [tag for tag, _ in tags_of(html)][:4] == ["h3", "ul", "li", "strong"]
    (link,) = (attributes for tag, attributes in tags_of(html) if tag == "a")
    assert link == {"href": "https://example.org/?a=1&b=2", "rel": "noopener noreferrer nofollow"}
    assert "<td>1</td>" in html


def test_long_and_deep_texts_are_bounded():
    assert "characters more" in rendered("x" * (LONGEST + 10))
    assert is_harmless(rendered("> " * 9_000 + "x"))
    assert is_harmless(rendered("[" * 10_000))


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        ([{"a": 1, "b": 2}, {"b": 3, "c": 4}], ["a", "b", "c"], [[1, 2, ""], ["", 3, 4]]),
        ([["x", "y"], ["z"]], [], [["x", "y"], ["z", ""]]),
        ({"a": [1, 2], "b": [3]}, ["a", "b"], [[1, 3], [2, ""]]),
        ([{"n": None}], ["n"], [[None]]),
    ],
)
def test_tables_of_all_shapes_are_read_also_from_json_text(data, columns, rows):
    for value in (data, json.dumps(data)):
        table = as_table(value)
        assert table is not None
        assert (table.columns, table.rows) == (columns, rows)


@pytest.mark.parametrize("value", [None, "", "no json", "[1, 2]", [], {}, 5, [1, [2]], "[" * 100_000])
def test_what_is_no_table_is_none(value):
    assert as_table(value) is None
