"""The words of the house: `make words` keeps the struck ones (`words.toml`) out of code, messages, tests and docs.

Some words are good English in a sentence and a riddle as a name; these are struck in names only.
"""

from __future__ import annotations

import ast
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
IDENTIFIERS = {re.compile(rf"\b(?:{pattern})\b"): say for pattern, say in STRUCK["identifiers"].items()}
INTRODUCED = {
    ".html": re.compile(r"\{% for ([\w, ]+) in |(?<=\s)(\w+)=(?=[^%]*%\})"),
    ".js": re.compile(r"\b(?:const|let|function) (\w+)"),
}
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


def names_in(text: str, suffix: str) -> Iterator[str]:
    """Yield the names that a module, a template or a script introduces, except those of tests, which are sentences."""
    if suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    if not name.startswith("test_"):
                        yield name
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield name
    elif suffix in INTRODUCED:
        for found in INTRODUCED[suffix].finditer(text):
            yield from re.findall(r"\w+", " ".join(filter(None, found.groups())))


def struck_names(text: str, suffix: str) -> Iterator[str]:
    """Each struck name of a text, as often as it is introduced, by the pattern that struck it."""
    for name in names_in(text, suffix):
        if name not in STRUCK["kept"]:
            yield from (name_of(pattern) for pattern in IDENTIFIERS if pattern.search(in_words(name)))


def name_of(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.removeprefix(r"\b(?:").removesuffix(r")\b").removesuffix(r"\b")


def findings() -> Iterator[str]:
    """A line for each struck word of each file."""
    advice = {name_of(pattern): say for pattern, say in (WORDS | IDENTIFIERS | DOCSTRINGS).items()}
    for path in files():
        text = path.read_text()
        struck = Counter([*struck_in(text, is_code=path.suffix == ".py"), *struck_names(text, path.suffix)])
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
