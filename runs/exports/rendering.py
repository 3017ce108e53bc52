"""Rendering of a flow run as one HTML file, which contains its styles and icons and loads nothing.

It has a template engine of its own, because programs that embed the API configure no pages.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.template import Context, Engine

from orion_site import __version__
from orionflow.contract.masking import MASK, NAMES_A_SECRET, known
from runs.exports.selectors import ExportedRun
from runs.pages.timeline import drawn
from runs.templatetags.states import look

_ICON = re.compile(r'href="[^"]*img/icons\.svg#([a-z-]+)"')
_SYMBOL = re.compile(r'<symbol id="([a-z-]+)".*?</symbol>', re.DOTALL)
STYLE, ICONS = "/*style*/", "<!--icons-->"


def render_export(found: ExportedRun, *, now: datetime) -> str:
    """Return the whole file."""
    run = found.run
    state = look(run.state_type, run.state_name)[1]
    lines = drawn(found.timeline, found.axis, cohorts=found.cohorts)
    context = {
        "found": found,
        "run": run,
        "parameters": without_named_secrets(run.parameters or {}),
        "title": " · ".join(filter(None, (state, run.name or str(run.id), run.flow.name, "Orion"))),
        "policy": f"default-src 'none'; style-src '{_hash_of(_style())}'; base-uri 'none'; form-action 'none'",
        "lines": lines,
        "has_bands": any(one.band for one in lines),
        "axis": found.axis,
        "now": now,
        "version": __version__,
    }
    page: str = _engine().get_template("runs/export/run.html").render(Context(context))
    used: set[str] = set()

    def inside(icon: re.Match[str]) -> str:
        used.add(icon[1])
        return f'href="#icon-{icon[1]}"'

    page = _ICON.sub(inside, page.lstrip())
    # A user who may read secrets here may mail the file to someone who may not.
    page = known.masked(page)
    icons = "".join(symbol for name, symbol in _symbols().items() if name in used)
    return page.replace(STYLE, _style(), 1).replace(ICONS, icons, 1)


def without_named_secrets(value: Any, *, is_one: bool = False) -> Any:
    """Mask values whose names suggest a secret: no reader of the file can look up which values are secret."""
    match value:
        case dict():
            return {
                name: without_named_secrets(inner, is_one=is_one or bool(NAMES_A_SECRET.search(str(name))))
                for name, inner in value.items()
            }
        case list():
            return [without_named_secrets(inner, is_one=is_one) for inner in value]
        case str() if is_one and value:
            return MASK
    return value


@cache
def _engine() -> Engine:
    libraries = {name: f"runs.templatetags.{name}" for name in ("shown", "states", "times")}
    return Engine(dirs=[str(settings.BASE_DIR / "templates")], libraries=libraries)


@cache
def _style() -> str:
    folder = settings.BASE_DIR / "static" / "css"
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("orion.css", "export.css"))


@cache
def _symbols() -> dict[str, str]:
    sprite = (settings.BASE_DIR / "static" / "img" / "icons.svg").read_text(encoding="utf-8")
    return {one[1]: one[0].replace('id="', 'id="icon-', 1) for one in _SYMBOL.finditer(sprite)}


def _hash_of(style: str) -> str:
    return f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}"
