"""Hooks of mkdocs.yml: the site has the same navigation, alerts and links as GitHub and the server's `/help`."""

from __future__ import annotations

import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Imported as a top-level module: the environment of MkDocs does not have the package.
sys.path.insert(0, str(HERE / "orion_site" / "help"))

import contents  # noqa: E402

ROOT = HERE / "docs"
ALERT = re.compile(r"^> \[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\n((?:>.*\n?)*)", re.MULTILINE)
KINDS = {"IMPORTANT": "info", "CAUTION": "danger"}
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)#\s]+\.png)\)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?!https?:|mailto:|#)[^)#\s]+)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    config.nav = [{"Orion": contents.INDEX}] + [
        {section.title: [nav_entry(page) for page in section.pages]} for section in contents.sections(ROOT)
    ]
    return config


def nav_entry(page: contents.Page) -> dict[str, Any]:
    if page.children:
        return {page.title: [{page.title: page.path}, *({one.title: one.path} for one in page.children)]}
    return {page.title: page.path}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)
    return ALERT.sub(admonition, outside_as_text(for_both_schemes(markdown, folder), folder))


def for_both_schemes(markdown: str, folder: str) -> str:
    """Show a picture twice if the folder has a dark version, one for each colour scheme."""

    def both(found: re.Match[str]) -> str:
        dark = found[2].removesuffix(".png") + "-dark.png"
        if not (ROOT / folder / dark).exists():
            return found[0]
        return f"![{found[1]}]({found[2]}#only-light) ![{found[1]}]({dark}#only-dark)"

    return IMAGE.sub(both, markdown)


def admonition(found: re.Match[str]) -> str:
    kind = KINDS.get(found[1], found[1].lower())
    body = re.sub(r"^> ?", "    ", found[2], flags=re.MULTILINE)
    return f"!!! {kind}\n\n{body}\n"


def outside_as_text(markdown: str, folder: str) -> str:
    """Replace links to files that only the repository has by their text."""

    def named(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        return found[1] if target.startswith("..") else found[0]

    return LINK.sub(named, markdown)


# Matches elements that a browser would load from another host.
FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\ssrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^>]*>"""
)
FOREIGN_IN_STYLES = re.compile(r"""(?:@import\s+|url\(\s*)["']?(?:https?:)?//[^)"']*""")


def foreign_assets(text: str, *, is_style: bool = False) -> list[str]:
    return [found[0] for found in (FOREIGN_IN_STYLES if is_style else FOREIGN).finditer(text)]


def refuse_foreign_assets(site: Path) -> None:
    """Fail if a page loads anything from another host: it would not work offline, and would reveal its readers."""
    found = [
        f"{file.relative_to(site)}: {asset}"
        for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")])
        for asset in foreign_assets(file.read_text(encoding="utf-8"), is_style=file.suffix == ".css")
    ]
    if found:
        raise SystemExit("The site loads from other hosts:\n" + "\n".join(found))


def on_post_build(config: Any) -> None:
    """List the versions in the parent folder for the menu of versions."""
    site = Path(config.site_dir)
    refuse_foreign_assets(site)
    versions = sorted((one.name for one in site.parent.iterdir() if (one / "index.html").exists()), reverse=True)
    listed = [{"version": one, "title": one, "aliases": []} for one in versions]
    (site.parent / "versions.json").write_text(json.dumps(listed))
