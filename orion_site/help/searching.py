"""Search in the documentation: passages that have all the words, those with them in their heading first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orion_site.help.contents import Page
from orion_site.help.rendering import Passage, address_of

# So much of a passage is shown around the first word that was found, and so many passages.
AROUND, MOST = 90, 40


@dataclass(frozen=True, slots=True)
class Hit:
    page: str
    heading: str
    address: str
    excerpt: str


def hits(text: str, pages: Sequence[tuple[Page, Sequence[Passage]]]) -> Sequence[Hit]:
    wanted = [word.lower() for word in re.findall(r"\S+", text)]
    if not wanted:
        return []
    ranked = sorted(_ranked(wanted, pages), key=lambda one: one[0])
    return [hit for _, hit in ranked[:MOST]]


def _ranked(wanted: Sequence[str], pages: Sequence[tuple[Page, Sequence[Passage]]]) -> Iterator[tuple[int, Hit]]:
    for page, passages in pages:
        for passage in passages:
            title, body = f"{page.title} {passage.heading.text}".lower(), passage.text.lower()
            if all(word in title or word in body for word in wanted):
                missed = sum(word not in title for word in wanted)
                address = f"{address_of(page.name)}#{passage.heading.anchor}"
                yield missed, Hit(page.title, passage.heading.text, address, _excerpt(passage.text, wanted))


def _excerpt(text: str, wanted: Sequence[str]) -> str:
    flat = " ".join(text.split())
    at = min((found for word in wanted if (found := flat.lower().find(word)) >= 0), default=0)
    start = max(at - AROUND, 0)
    cut = flat[start : at + 2 * AROUND]
    return f"{'… ' if start else ''}{cut}{' …' if at + 2 * AROUND < len(flat) else ''}"
