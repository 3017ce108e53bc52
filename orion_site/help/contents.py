"""The order of the pages: every navigation is read from the tables in docs/README.md.

`mkdocs_hooks.py` also reads it, in an environment without Orion: so this module needs only the standard library.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

INDEX = "README.md"
# The most common tasks, with the terms that other products use.
FIND = "howto/find.md"
_SECTION = re.compile(r"^## (.+)$")
_PAGE = re.compile(r"^\| \[([^\]]+)\]\(([^)#:]+\.md)\) \| (.*) \|$")
_LINK = re.compile(r"\]\(([^)#]+\.md)")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the navigation; `path` is that of its file below docs/."""

    title: str
    path: str
    about: str = ""
    children: Sequence[Page] = ()

    @property
    def name(self) -> str:
        """Its address below `/help`: the path without its extension; empty for the index."""
        return self.path.removesuffix(".md").removesuffix("README").strip("/")


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    pages: Sequence[Page]


def sections(root: Path) -> Sequence[Section]:
    """Return all sections in the order of the index. A folder's README also includes the other pages of the folder."""
    found: list[tuple[str, list[Page]]] = []
    for line in (root / INDEX).read_text(encoding="utf-8").splitlines():
        if head := _SECTION.match(line):
            found.append((head[1], []))
        elif (row := _PAGE.match(line)) and found:
            found[-1][1].append(Page(row[1], row[2], row[3], _children(root, row[2])))
    return [Section(title, pages) for title, pages in found if pages]


def words_of_readers(root: Path) -> Mapping[str, str]:
    """Return, by the path of a page, the terms for it in the table of tasks, including those of other products."""
    found: dict[str, str] = {}
    for row in (root / FIND).read_text(encoding="utf-8").splitlines():
        *words, answer = row.strip("|").split("|")
        for link in _LINK.findall(answer):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(FIND), link))
            found[path] = f"{found.get(path, '')} {' '.join(words)}"
    return found


def every_page(root: Path) -> Iterator[Page]:
    yield from pages_in(sections(root))


def pages_in(found: Iterable[Section]) -> Iterator[Page]:
    """Yield the index and all pages of the sections, those of a folder after its README."""
    yield Page("Documentation", INDEX)
    for section in found:
        for page in section.pages:
            yield page
            yield from page.children


def _children(root: Path, path: str) -> Sequence[Page]:
    if not path.endswith(f"/{INDEX}"):
        return ()
    folder = (root / path).parent
    return [
        Page(_title(one), one.relative_to(root).as_posix()) for one in sorted(folder.glob("*.md")) if one.name != INDEX
    ]


def _title(file: Path) -> str:
    return _title_since(file, file.stat().st_mtime_ns)


# Every page of the help shows the titles of all pages.
@lru_cache(maxsize=512)
def _title_since(file: Path, changed: int) -> str:
    found = _TITLE.search(file.read_text(encoding="utf-8"))
    return found[1].replace("`", "") if found else file.stem
