"""The fenced blocks of the documents, with the page, the line and the words above them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# "Save this as `shop.py`:"
_SAVED = re.compile(r"[Ss]ave (?:this|it|the following) (?:as|to|in) `([^`]+)`[^`\n]*$")


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    # The file that the reader is asked to save it as.
    saved_as: str = ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def blocks_of(page: Path) -> list[Block]:
    return list(_blocks(page, page.read_text(encoding="utf-8")))


def _blocks(page: Path, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n\n")[2].replace("\n", " ")
        saved = _SAVED.search(before)
        body = textwrap.dedent(found[3])
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[2], body, saved[1] if saved else "")


def every_block(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


@dataclass(frozen=True, slots=True)
class Command:
    """A line behind a dollar, with the lines that it prints."""

    typed: str
    output: str
    line: int


def commands_of(block: Block) -> list[Command]:
    """The commands of a console or shell block; a line that ends with a backslash or an open quote goes on."""
    if block.language in ("sh", "bash"):
        return [Command(block.text, "", block.line + 1)]
    found: list[Command] = []
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if line.startswith("$ "):
            typed = line[2:]
            while at < len(lines) and (typed.endswith("\\") or _is_open(typed)):
                typed += "\n" + lines[at].removeprefix("> ")
                at += 1
            found.append(Command(typed, "", block.line + 1 + start))
        elif found:
            last = found[-1]
            found[-1] = Command(last.typed, f"{last.output}{line}\n", last.line)
    return found


def without_comment(line: str) -> str:
    """The line up to a `#` that stands outside of quotes."""
    for found in re.finditer(r"(?:^|\s)#\s", line):
        before = line[: found.start()]
        if before.count("'") % 2 == 0 and before.count('"') % 2 == 0:
            return before
    return line


def _is_open(typed: str) -> bool:
    typed = without_comment(typed)
    return typed.count("'") % 2 == 1 or typed.count('"') % 2 == 1
