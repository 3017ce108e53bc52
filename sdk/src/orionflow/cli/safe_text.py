"""Text for a terminal: what others wrote can neither move the cursor, set the clipboard nor turn a line around.

Everything a command prints comes through here. Colours are marked with a word that nobody can know beforehand, so that
only our own are drawn. Programs get JSON, where such characters are escaped as JSON escapes them.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import click

# Control characters but newline and tab (C1 has a second way to begin a sequence), what reorders a line, separators of
# lines that terminals treat in their own way, and halves of characters, which cannot be printed at all.
_UNSAFE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
UNSAFE = re.compile(f"[{_UNSAFE}]")
# Colours are common in log lines and mean no harm; as text they would only be in the way.
COLOURS = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
_MARK = os.urandom(8).hex()
_OPEN = f"\x1b{_MARK}["


def cleaned(text: str) -> str:
    """Return the text with everything that a terminal would act on made visible: `\x1b`, `\u202e`."""
    # Lines of Windows end in two characters, which is no trick.
    plain = COLOURS.sub("", text).replace("\r\n", "\n")
    return UNSAFE.sub(_visible, plain)


def one_line(text: str) -> str:
    """Return the cleaned text for a place where a second line could be taken for one of ours."""
    return cleaned(text).replace("\n", " ").replace("\t", " ")


def styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    """Return the text in a colour of ours, to be printed by the terminal."""
    return click.style(cleaned(text), fg=fg, bold=bold).replace("\x1b[", _OPEN)


def ours(text: str) -> str:
    """Text that a library of ours has coloured, out of what was cleaned before."""
    return text.replace("\x1b[", _OPEN)


def printable(text: str) -> str:
    """Clean everything for a screen but the colours that `styled` has set."""
    parts = text.split(_OPEN)
    return "\x1b[".join(cleaned(part) for part in parts)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as people can read it, and no terminal acts on."""
    return UNSAFE.sub(_escaped, json.dumps(value, indent=indent, ensure_ascii=False))


def _visible(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
