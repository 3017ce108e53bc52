"""Markdown from users as HTML for a page.

Raw HTML is not parsed, so tags in the text remain text. Links lead to the web or to a mail program only. Images become
links, because loading one would tell its server who views the page. The output consists only of tags that the parser
creates.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

SCHEMES = frozenset({"http", "https", "mailto"})
# Characters of a text, and levels of nested lists, beyond which nothing is rendered.
LONGEST, DEEPEST = 20_000, 20


def rendered(text: str) -> SafeString:
    """Return the text as HTML, with headings, lists, tables, code and links."""
    html: SafeString = mark_safe(_parser().render(_cut(text)))  # noqa: S308  (built by the parser, which passes no HTML on)
    return html


def rendered_line(text: str) -> SafeString:
    """Return one line of text as HTML with links and emphasis, for a cell of a table."""
    html: SafeString = mark_safe(_parser().renderInline(_cut(text)))  # noqa: S308  (the same)
    return html


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n\n… {len(text) - LONGEST} characters more; the API has the whole text."


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802  (the parser's own name)
        return _leads_outside(url)


def _demote_headings(state: StateCore) -> None:
    """Move headings below those of the page: `# Report` becomes one of the third level."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "linkify": False, "maxNesting": DEEPEST})
    parser.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])
    parser.core.ruler.push("demote_headings", _demote_headings)
    parser.add_render_rule("link_open", _link_open)
    return parser


def _leads_outside(address: str) -> bool:
    """Whether the link is allowed. Control characters and spaces are not: they can hide the scheme from readers."""
    if any(ord(letter) < 0x21 for letter in address):
        return False
    try:
        found = urlsplit(address)
    except ValueError:
        return False
    return found.scheme.lower() in SCHEMES and bool(found.netloc or found.scheme.lower() == "mailto")


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    tokens[idx].attrSet("rel", "noopener noreferrer nofollow")
    return self.renderToken(tokens, idx, options, env)
