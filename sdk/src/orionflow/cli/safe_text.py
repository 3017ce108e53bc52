"""Text for a terminal: untrusted text cannot move the cursor, set the clipboard or reverse a line.

Everything that a command prints passes through here. Colours are marked with an unpredictable word, so that only our
own are shown. Programs get JSON, in which such characters are escaped.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import click

# Control characters except newline and tab (C1 contains a second introducer of sequences), bidirectional controls, line
# separators that terminals handle differently, and surrogates, which cannot be printed.
_UNSAFE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
UNSAFE = re.compile(f"[{_UNSAFE}]")
# Colours are common in log lines and harmless; as text they would only disturb.
COLOURS = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
_MARK = os.urandom(8).hex()
_OPEN = f"\x1b{_MARK}["


def cleaned(text: str) -> str:
    """Return the text with everything that a terminal would act on made visible: `\x1b`, `\u202e`."""
    # Lines of files from Windows end in two characters, which is harmless.
    plain = COLOURS.sub("", text).replace("\r\n", "\n")
    return UNSAFE.sub(_visible, plain)


def one_line(text: str) -> str:
    """Return the cleaned text in one line, for places where a second line could pass for one of ours."""
    return cleaned(text).replace("\n", " ").replace("\t", " ")


def styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    """Return the text in one of our colours, to be printed by the terminal."""
    return click.style(cleaned(text), fg=fg, bold=bold).replace("\x1b[", _OPEN)


def ours(text: str) -> str:
    """Mark the colours in the output of a library that got cleaned text."""
    return text.replace("\x1b[", _OPEN)


def printable(text: str) -> str:
    """Clean everything for a screen except the colours that `styled` has set."""
    parts = text.split(_OPEN)
    return "\x1b[".join(cleaned(part) for part in parts)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON that is readable and has no effect on terminals."""
    return UNSAFE.sub(_escaped, json.dumps(value, indent=indent, ensure_ascii=False))


def _visible(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
