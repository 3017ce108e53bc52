"""The site of `make docs`: notes and links are those of the other readers, and nothing is loaded from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.homes import ROOT

MKDOCS = ROOT / ".cache" / "docs" / "bin" / "mkdocs"

sys.path.insert(0, str(ROOT))
import mkdocs_hooks  # noqa: E402


def test_notes_become_those_of_the_site():
    text = "> [!WARNING]\n> Mind **this**.\n> And that.\n\nAfter.\n"

    assert mkdocs_hooks.ALERT.sub(mkdocs_hooks.admonition, text) == (
        "!!! warning\n\n    Mind **this**.\n    And that.\n\n\nAfter.\n"
    )


def test_links_out_of_the_folder_become_words():
    text = "[a](../README.md) [b](../../x.py) [c](https://example.org) ![d](../../y.png)"

    assert mkdocs_hooks.outside_as_text(text, "howto") == (
        "[a](../README.md) b [c](https://example.org) ![d](../../y.png)"
    )


def test_a_picture_with_a_dark_version_is_shown_by_theme():
    assert mkdocs_hooks.for_both_schemes("![A run](images/run.png)", "") == (
        "![A run](images/run.png#only-light) ![A run](images/run-dark.png#only-dark)"
    )
    assert mkdocs_hooks.for_both_schemes("![A run](images/none.png)", "") == "![A run](images/none.png)"


@pytest.mark.parametrize(
    ("page", "is_foreign"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example.org/css">', True),
        ('<img alt="a" src="http://example.org/a.png">', True),
        ('<link rel="canonical" href="https://docs.example.org/">', False),
        ('<a href="https://example.org">link</a> <img src="images/a.png"> <script src="assets/x.js"></script>', False),
    ],
)
def test_resources_that_a_page_loads_from_other_hosts_are_found(page: str, is_foreign: bool):
    assert bool(mkdocs_hooks.foreign_assets(page)) is is_foreign


def test_resources_that_a_style_loads_from_other_hosts_are_found():
    assert mkdocs_hooks.foreign_assets("a{background:url(https://example.org/a.png)}", is_style=True)
    assert not mkdocs_hooks.foreign_assets("a{background:url(data:image/png;base64,xx)}", is_style=True)


@pytest.mark.long
@pytest.mark.skipif(not MKDOCS.exists(), reason="`make docs` installs MkDocs")
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    command = [str(MKDOCS), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "docs" / "0")]

    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "docs" / "versions.json").exists()
    assert (tmp_path / "docs" / "0" / "search" / "search_index.json").exists()


def test_links_of_the_dashboard_lead_to_pages_and_their_headings():
    from orion_site.help.contents import every_page
    from orion_site.help.rendering import rendered

    linked = re.compile(r"""\{% url 'help-page' '([^']+)' %\}(?:#([\w-]+))?""")
    pages = {page.name: page.path for page in every_page(ROOT / "docs")}
    links = {found for file in (ROOT / "templates").rglob("*.html") for found in linked.findall(file.read_text())}

    assert len(links) > 5
    for name, anchor in links:
        anchors = {heading.anchor for heading in rendered(ROOT / "docs", pages[name]).headings}
        assert not anchor or anchor in anchors, f"{name}#{anchor}"
