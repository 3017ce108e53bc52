"""Plain English: `make prose` finds words of `prose.toml` and overlong sentences in docs, help, messages and pages.

Help of commands, messages of errors and descriptions of the API are read where they are printed: in the reference.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.words import printed

ROOT = Path(__file__).resolve().parent.parent
LISTED = tomllib.loads((ROOT / "tests" / "prose.toml").read_text(encoding="utf-8"))
TERMS = {
    re.compile(rf"(?<![\w-]){pattern}(?![\w-])", re.IGNORECASE): advice
    for part in ("terms", "plain", "tone")
    for pattern, advice in LISTED[part].items()
}
LONGEST = 45
# They are for those who work on Orion, and many of them were written before these rules.
NOT_READ = {"docs/decisions", "docs/maintainers"}
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_TAG = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}|<(script|style|pre|code)\b.*?</\1>|<[^>]*>", re.DOTALL)


def pages() -> Iterator[Path]:
    for path in sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]):
        if not any(path.is_relative_to(ROOT / one) for one in NOT_READ):
            yield path


def templates() -> Iterator[Path]:
    yield from sorted((ROOT / "templates").rglob("*.html"))


def blanked(text: str, *patterns: re.Pattern[str]) -> str:
    """The text without what is no prose; lines keep their numbers."""
    for pattern in patterns:
        text = pattern.sub(lambda found: "X" + "\n" * found[0].count("\n"), text)
    return text


def terms_in(text: str) -> Iterator[tuple[int, str]]:
    for pattern, advice in TERMS.items():
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, f"“{found[0]}”: write {advice}"


def long_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Sentences of paragraphs and of items of lists; cells of tables may be as long as they have to."""
    for found in re.finditer(
        r"(?:^(?!\s*[-|#>]|\s*\d+\. ).+\n?)+|^\s*(?:-|\d+\.) .*\n(?:^ +(?![-\d]).+\n?)*", text, re.M
    ):
        for sentence in re.split(r"(?<=[.!?:;])[)*]*\s+", " ".join(found[0].split())):
            if len(sentence.split()) > LONGEST:
                line = text.count("\n", 0, found.start()) + 1
                yield line, f"{len(sentence.split())} words in one sentence: “{sentence[:60]}…”"


def findings() -> Iterator[str]:
    for path in pages():
        text = blanked(path.read_text(encoding="utf-8"), _BLOCK, _CODE)
        for line, what in sorted([*terms_in(text), *long_sentences(text)]):
            yield f"{path.relative_to(ROOT)}:{line}: {what}"
    for path in templates():
        for line, what in sorted(terms_in(blanked(path.read_text(encoding="utf-8"), _TAG))):
            yield f"{path.relative_to(ROOT)}:{line}: {what}"


if __name__ == "__main__":
    raise SystemExit(printed(findings()))
