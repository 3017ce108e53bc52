"""Which names people can read, find and type again: one rule for everything that is known by a name.

Existing names stay in use. Names of runs are free text, and are shown so that nothing in them has an effect.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_ZWNJ, _ZWJ = "\u200c", "\u200d"
# Characters that are drawn as nothing, although their category is that of letters or symbols.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Format characters that are drawn, with the digits or letters after them.
_DRAWN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_SPACES = frozenset(" \u3000")
_VIRAMA = 9
_BLACK_FLAG, _LAST_TAG = "\U0001f3f4", "\U000e007f"


def fault_of(name: str) -> str | None:
    """Return what people could not read in the name, as a sentence; None for a readable name in any script."""
    if not name:
        return None
    if name[0].isspace() or name[-1].isspace():
        return "A name must not begin or end with a space"
    if found := next(_unreadable(name), None):
        return f"A name must not contain {found}, which people cannot see as what it is"
    if unicodedata.category(name[0])[0] == "M":
        return f"A name must not begin with {_called(name[0])}, which belongs to a letter before it"
    return None


def _unreadable(name: str) -> Iterator[str]:
    for place, letter in enumerate(name):
        if letter.isascii() and letter.isprintable():
            continue
        if not _is_readable(name, place):
            yield _called(letter)


def _is_readable(name: str, place: int) -> bool:
    letter, category = name[place], unicodedata.category(name[place])
    before = name[place - 1] if place else ""
    if letter in (_ZWNJ, _ZWJ):
        return _joins(name, place)
    if _is_selector(letter):
        # One of them chooses how the letter before it is drawn.
        return bool(before) and not _is_selector(before) and unicodedata.category(before)[0] not in "CZ"
    if "\U000e0020" <= letter <= _LAST_TAG:
        return _is_of_a_flag(name, place)
    if category == "Zs":
        return letter in _SPACES
    return letter in _DRAWN or not (category in ("Cc", "Cf", "Cs", "Zl", "Zp") or letter in _BLANK)


def _joins(name: str, place: int) -> bool:
    """Whether a joiner changes what is drawn: in Indic and Arabic letters, and in emoji (Unicode UAX 31, UTS 51)."""
    before = name[:place].rstrip("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")[-1:]
    after = name[place + 1 : place + 2]
    if not before:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if not after:
        return False
    if name[place] == _ZWJ and unicodedata.category(before) == unicodedata.category(after) == "So":
        return True
    if unicodedata.combining(after) == _VIRAMA:
        return unicodedata.category(before) == "Lo"
    letter = next((one for one in reversed(name[:place]) if unicodedata.category(one) != "Mn"), "")
    return unicodedata.bidirectional(letter or " ") == "AL" == unicodedata.bidirectional(after)


def _is_selector(letter: str) -> bool:
    standard = "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    return standard or letter in "\u180b\u180c\u180d\u180f"


def _is_of_a_flag(name: str, place: int) -> bool:
    """Whether a tag is part of a flag such as that of Scotland, up to the tag that ends it."""
    start = place
    while start and "\U000e0020" <= name[start] <= _LAST_TAG:
        start -= 1
    end = name.find(_LAST_TAG, start)
    return name[start] == _BLACK_FLAG and place <= end and 3 <= end - start <= 7


def _called(letter: str) -> str:
    point = f"U+{ord(letter):04X}"
    if unicodedata.category(letter) == "Cc":
        return f"{point}, a control character"
    return f"{point} {unicodedata.name(letter, '')}".rstrip()
