"""The words of the house: `make words` keeps the struck ones (`words.toml`) out of code, messages, tests and docs.

What is there already is allowed, word by word and folder by folder (`words_allowed.json`); it may only become less.
`python -m tests.words --lower` writes down what has become less, `--show WORD` lists the lines that have a word.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRUCK = tomllib.loads((ROOT / "tests" / "words.toml").read_text())
ALLOWED = ROOT / "tests" / "words_allowed.json"
READ = {".py", ".md", ".html", ".js", ".css", ".toml", ".yml", ".yaml", ""}
NOT_READ = {"tests/words.py", "tests/words.toml", "tests/words_allowed.json", "tests/docs/test_words.py"}
# `stored_state`, `StoredState` and "stored state" are the same words.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[.,;:!?\"]")
WORDS = {re.compile(rf"\b(?:{pattern})\b"): say for pattern, say in STRUCK["words"].items()}
DOCSTRINGS = {re.compile(rf'"""{start}\b'): say for start, say in STRUCK["docstrings"].items()}

Counts = dict[str, dict[str, int]]


def files() -> Iterator[Path]:
    """All that git knows or would take in, without what other programs make."""
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


def count() -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for path in files():
        parts = path.relative_to(ROOT).parts
        folder = parts[0] if len(parts) > 1 else "."
        found.update((word, folder) for word in struck_in(path.read_text(), is_code=path.suffix == ".py"))
    return found


def allowed() -> Counter[tuple[str, str]]:
    kept: Counts = json.loads(ALLOWED.read_text())
    return Counter({(word, folder): number for word, folders in kept.items() for folder, number in folders.items()})


def write(counts: Counter[tuple[str, str]]) -> None:
    kept: Counts = {}
    for (word, folder), number in sorted(counts.items()):
        kept.setdefault(word, {})[folder] = number
    ALLOWED.write_text(json.dumps(kept, indent=1) + "\n")


def show(wanted: str) -> None:
    for path in files():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            struck = struck_in(line, is_code=path.suffix == ".py")
            if any(wanted in word or re.fullmatch(word, wanted) for word in struck):
                print(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.words", description=__doc__.split("\n")[0])
    parser.add_argument("--lower", action="store_true", help="allow no more than there is")
    parser.add_argument("--show", metavar="WORD", help="where a struck word stands")
    asked = parser.parse_args()
    if asked.show is not None:
        show(asked.show)
        return 0
    found, before = count(), allowed()
    advice = {name_of(pattern): say for pattern, say in (WORDS | DOCSTRINGS).items()}
    for word, folder in sorted((found - before).keys()):
        more = f"{found[word, folder]} in {folder}/, {before[word, folder]} allowed"
        print(f"struck: {word} ({more}). {advice[word]} `python -m tests.words --show '{word}'`", file=sys.stderr)
    if asked.lower:
        write(found & before)
    return int(bool(found - before))


if __name__ == "__main__":
    raise SystemExit(main())
