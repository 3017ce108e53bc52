"""A page of the documentation as HTML within the dashboard, like on GitHub and on the site of `make docs`.

The pages are Orion's own, but follow the same rules as Markdown from users (decision 0031): no raw HTML.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.templatetags.static import static
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from orion_site.help.colouring import coloured
from orion_site.help.contents import every_page
from orion_site.help.python_names import filled_in

_ALERT = re.compile(r"^\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\n?")


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """The text under one heading, for the search."""

    heading: Heading
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    html: SafeString
    headings: Sequence[Heading]


def rendered(root: Path, path: str) -> Rendered:
    parser, environment = _parser(), _environment(root, path)
    tokens = parser.parse(filled_in((root / path).read_text(encoding="utf-8")), environment)
    html = parser.renderer.render(tokens, parser.options, environment)
    # Elements that scroll sideways must be reachable by keyboard. Angle brackets of the text are escaped, so these are
    # tags.
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")
    # Created by the parser, which escapes HTML.
    return Rendered(mark_safe(html), [one.heading for one in _passages(tokens)])  # noqa: S308


def passages(root: Path, path: str) -> Sequence[Passage]:
    """Return the text of a page by headings, without rendering HTML."""
    text = filled_in((root / path).read_text(encoding="utf-8"))
    return _passages(_parser().parse(text, _environment(root, path)))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": coloured}).enable(["table", "strikethrough"])
    parser.core.ruler.push("alerts", _mark_alerts)
    parser.core.ruler.push("headings", _anchor_headings)
    parser.core.ruler.push("links", _lead_links)
    return parser


def _environment(root: Path, path: str) -> dict[str, Any]:
    pages = {page.path: page.name for page in every_page(root)}
    return {"root": root, "path": path, "pages": pages, "anchors": set[str]()}


def slug(text: str) -> str:
    """Return the anchor of a heading as Python-Markdown creates it, so that links work on both sites."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _anchor_headings(state: StateCore) -> None:
    taken: set[str] = state.env["anchors"]
    for opened, inline in zip(state.tokens, state.tokens[1:], strict=False):
        if opened.type == "heading_open":
            base = anchor = slug(_words(inline))
            number = 0
            while anchor in taken:
                number += 1
                anchor = f"{base}_{number}"
            taken.add(anchor)
            opened.attrSet("id", anchor)


def _mark_alerts(state: StateCore) -> None:
    """Convert block quotes that start with `[!NOTE]` or another such mark to alerts."""
    for quote, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if quote.type == "blockquote_open" and inline.type == "inline" and (found := _ALERT.match(inline.content)):
            kind = found[1].lower()
            quote.attrSet("class", f"alert alert-{kind}")
            title = [
                Token("strong_open", "strong", 1),
                Token("text", "", 0, content=kind.capitalize()),
                Token("strong_close", "strong", -1),
            ]
            # The mark may consist of several text tokens, up to the line break.
            rest = inline.children or []
            end = next((at + 1 for at, one in enumerate(rest) if one.type == "softbreak"), len(rest))
            inline.children = [*title, Token("hardbreak", "br", 0), *rest[end:]]


def _lead_links(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and token.children:
            children = [shown for one in token.children for shown in _for_both_schemes(one, state.env)]
            token.children = [one for one in children if _led(one, state.env)]


def _for_both_schemes(token: Token, env: MutableMapping[str, Any]) -> Sequence[Token]:
    """Return an image twice if the folder has a dark version, one for each colour scheme."""
    if token.type != "image":
        return [token]
    light = str(token.attrGet("src"))
    dark = light.replace(".png", "-dark.png")
    if dark == light or not (env["root"] / posixpath.dirname(env["path"]) / dark).exists():
        return [token]
    other = copy(token)
    other.attrs = dict(token.attrs) | {"src": dark, "class": "only-dark"}
    token.attrSet("class", "only-light")
    return [token, other]


def _led(token: Token, env: MutableMapping[str, Any]) -> bool:
    """Point links to pages here and images to static files; drop links to files that only the repository has."""
    folder, pages = posixpath.dirname(env["path"]), env["pages"]
    if token.type == "image":
        source = posixpath.normpath(posixpath.join(folder, str(token.attrGet("src"))))
        token.attrSet("src", static(f"help/{posixpath.relpath(source, 'images')}"))
        token.attrSet("loading", "lazy")
    if token.type == "link_close":
        return not env.pop("is_dropped", False)
    if token.type != "link_open":
        return True
    address = str(token.attrGet("href"))
    if address.startswith("#"):
        return True
    if re.match(r"[a-z]+:", address):
        token.attrSet("rel", "noopener noreferrer")
        return True
    target, mark, anchor = address.partition("#")
    target = posixpath.normpath(posixpath.join(folder, target))
    if target not in pages:
        env["is_dropped"] = True
        return False
    token.attrSet("href", address_of(pages[target]) + mark + anchor)
    return True


def address_of(name: str) -> str:
    return reverse("help-page", args=[name]) if name else reverse("help")


def _words(inline: Token) -> str:
    return "".join(one.content if one.type != "softbreak" else " " for one in inline.children or [])


def _passages(tokens: Sequence[Token]) -> Sequence[Passage]:
    found: list[tuple[Heading, list[str]]] = []
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            found.append((Heading(int(token.tag[1]), str(token.attrGet("id")), _words(tokens[at + 1])), []))
        elif found and token.type == "inline" and tokens[at - 1].type != "heading_open":
            found[-1][1].append(_words(token))
        elif found and token.type in ("fence", "code_block"):
            found[-1][1].append(token.content)
    return [Passage(heading, " ".join(words)) for heading, words in found]
