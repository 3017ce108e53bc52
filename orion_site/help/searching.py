"""Search in the documentation: passages that contain every word, ranked by how much they are about them.

A reader who types a word or two usually wants to do something. So words in titles count most, and how-to pages come
before reference and explanations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orion_site.help.contents import Page
from orion_site.help.rendering import Passage, address_of

# Characters shown on each side of the first match, and the most passages in the result.
AROUND, MOST = 90, 40
# What a word counts in the title of a page, in its description in the index, in a heading, and at most in the text.
TITLE, ABOUT, HEADING, TEXT = 8.0, 5.0, 4.0, 2.0
# Factors by the first folder of a page.
WEIGHTS = {"howto": 1.25, "reference": 1.0, "explanation": 0.8, "maintainers": 0.4, "decisions": 0.3}
OF_OTHERS = 1.1
# Words that do not narrow a search.
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "how",
        "i",
        "in",
        "is",
        "it",
        "my",
        "of",
        "on",
        "or",
        "that",
        "the",
        "to",
        "was",
        "what",
        "when",
        "with",
    ]
)
_WORD = re.compile(r"[a-z0-9]+")
_SUFFIXES = (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", ""))
# Shorter words have no suffix removed: `is`, `aws`, `timed`.
SHORTEST_STEM = 4


@dataclass(frozen=True, slots=True)
class Hit:
    page: str
    heading: str
    address: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage with its words counted, so that a search reads no text."""

    page: Page
    passage: Passage
    title: frozenset[str]
    about: frozenset[str]
    heading: frozenset[str]
    body: Counter[str]
    everything: str


def indexed(pages: Sequence[tuple[Page, Sequence[Passage]]], words: Mapping[str, str]) -> Sequence[Entry]:
    """Return all passages as entries; `words` has further terms for some pages, by their paths."""
    return [_entry(page, passage, words.get(page.path, "")) for page, passages in pages for passage in passages]


def hits(text: str, entries: Sequence[Entry]) -> Sequence[Hit]:
    words = re.findall(r"\S+", text.lower())
    if not words:
        return []
    wanted = [word for word in words if word not in STOP_WORDS] or words
    ranked = sorted(_ranked(wanted, entries), key=lambda one: -one[0])
    return [_hit(entry, wanted) for _, entry in ranked[:MOST]]


def _entry(page: Page, passage: Passage, words: str) -> Entry:
    heading, is_first = passage.heading.text, passage.heading.level == 1
    return Entry(
        page,
        passage,
        title=frozenset(_stems(page.title)),
        about=frozenset(_stems(f"{page.title} {page.about} {words}")) if is_first else frozenset(),
        heading=frozenset(_stems(heading)),
        body=Counter(_stems(passage.text)),
        everything=f"{page.title} {page.about} {heading} {words if is_first else ''} {passage.text}".lower(),
    )


def _ranked(wanted: Sequence[str], entries: Sequence[Entry]) -> Iterator[tuple[float, Entry]]:
    asked = [(word, list(_stems(word))) for word in wanted]
    for entry in entries:
        scores = [_score(word, stems, entry) for word, stems in asked]
        if all(scores):
            yield sum(scores) * WEIGHTS.get(entry.page.path.partition("/")[0], OF_OTHERS), entry


def _score(word: str, stems: Sequence[str], entry: Entry) -> float:
    """Return how much a passage is about a word.

    Parts of words, and signs such as `@last`, match too, but count least.
    """
    found = 0.01 if word in entry.everything else 0.0
    for stem in stems:
        found += TITLE * (stem in entry.title) + ABOUT * (stem in entry.about) + HEADING * (stem in entry.heading)
        # The weight saturates: the tenth mention says little more than the third.
        found += TEXT * entry.body[stem] / (entry.body[stem] + 2)
    return found


def _stems(text: str) -> Iterator[str]:
    """Yield the words of a text without their suffixes: `retries` and `retry` are one word."""
    for word in _WORD.findall(text.lower()):
        yield _stem(word)


def _stem(word: str) -> str:
    for end, instead in _SUFFIXES:
        stem = word.removesuffix(end) + instead
        if word.endswith(end) and len(stem) >= SHORTEST_STEM:
            # `logging` comes from `log`, but `calling` from `call`.
            return stem[:-1] if end in ("ing", "ed") and stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
    return word


def _hit(entry: Entry, wanted: Sequence[str]) -> Hit:
    heading = entry.passage.heading
    # The first heading is the title of the page.
    address = address_of(entry.page.name) + (f"#{heading.anchor}" if heading.level > 1 else "")
    return Hit(entry.page.title, heading.text, address, _excerpt(entry.passage.text, wanted))


def _excerpt(text: str, wanted: Sequence[str]) -> str:
    flat = " ".join(text.split())
    at = min((found for word in wanted if (found := flat.lower().find(word)) >= 0), default=0)
    start = max(at - AROUND, 0)
    cut = flat[start : at + 2 * AROUND]
    return f"{'… ' if start else ''}{cut}{' …' if at + 2 * AROUND < len(flat) else ''}"
