"""The words of the house: `make words` keeps the struck ones (`words.toml`) out of code, messages, tests and docs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRUCK = tomllib.loads((ROOT / "tests" / "words.toml").read_text())
READ = {".py", ".md", ".html", ".js", ".css", ".toml", ".yml", ".yaml", ""}
NOT_READ = {"tests/words.py", "tests/words.toml", "tests/docs/test_words.py"}
# `stored_state`, `StoredState` and "stored state" are the same words.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[.,;:!?\"]")
WORDS = {re.compile(rf"\b(?:{pattern})\b"): say for pattern, say in STRUCK["words"].items()}
DOCSTRINGS = {re.compile(rf'"""{start}\b'): say for start, say in STRUCK["docstrings"].items()}


def files() -> Iterator[Path]:
    """All text files that git tracks or would add, except those that other programs generate."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n"):
        path = ROOT / name
        is_made = "/migrations/" in name or "/vendor/" in name or name.startswith(("requirements/", "."))
        if name and name not in NOT_READ and not is_made and path.suffix in READ and path.is_file():
            yield path


def in_words(text: str) -> str:
    return " ".join(WORD.findall(text)).lower()


def struck_in(text: str, *, is_code: bool) -> Iterator[str]:
    """Each struck word of a text, as often as it stands there, by the pattern that struck it."""
    words = in_words(text)
    for pattern in WORDS:
        yield from (name_of(pattern) for _ in pattern.findall(words))
    if is_code:
        for pattern in DOCSTRINGS:
            yield from (name_of(pattern) for _ in pattern.findall(text))


def name_of(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.removeprefix(r"\b(?:").removesuffix(r")\b").removesuffix(r"\b")


def findings() -> Iterator[str]:
    """A line for each struck word of each file."""
    advice = {name_of(pattern): say for pattern, say in (WORDS | DOCSTRINGS).items()}
    for path in files():
        struck = Counter(struck_in(path.read_text(), is_code=path.suffix == ".py"))
        for word, number in sorted(struck.items()):
            yield f"{path.relative_to(ROOT)}: struck: {word} ({number}). {advice[word]}"


def printed(found: Iterator[str]) -> int:
    """Print findings on stderr, and return the exit code."""
    lines = list(found)
    for line in lines:
        print(line, file=sys.stderr)
    return int(bool(lines))


def main() -> int:
    return printed(findings())


if __name__ == "__main__":
    raise SystemExit(main())
