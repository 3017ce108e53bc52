"""Which names people can read, find and type again: one rule for everything that is known by a name.

Existing names stay in use. Names of runs and tags are free text, and pages show them without effect.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_ZWNJ, _ZWJ = "\u200c", "\u200d"
# Characters that are drawn as nothing, although their category is that of letters, marks or symbols.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Format characters that are drawn, with the digits or letters after them.
_DRAWN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_SPACES = frozenset(" \u3000")
_VIRAMA = 9
_MONGOLIAN_SELECTORS = frozenset("\u180b\u180c\u180d\u180f")
# They separate suffixes and vowels in Mongolian words.
_MONGOLIAN_SEPARATORS = frozenset("\u180e\u202f")
# These become emoji by a variation selector, although their category is not that of symbols.
_EMOJI_BY_SELECTOR = frozenset("0123456789#*\u203c\u2049\u2139\u3030")
_SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
# Symbols outside of the blocks of emoji that are part of joined emoji (Unicode UTS 51).
_JOINED_SYMBOLS = frozenset(
    "\u2194\u2195\u2640\u2642\u2620\u2695\u2696\u26a7\u26d3\u26f9\u2708\u2744\u2764\u27a1\u2b1b"
)
_BLACK_FLAG, _LAST_TAG = "\U0001f3f4", "\U000e007f"


def fault_of(name: str) -> str | None:
    """Return what makes the name hard to read or to type, as a sentence; None for a readable name in any script."""
    if not name:
        return None
    if name[0].isspace() or name[-1].isspace():
        return "A name must not begin or end with a space"
    if found := next(_unreadable(name), None):
        return _refusal(found)
    if unicodedata.category(name[0])[0] == "M":
        return f"A name must not begin with {_called(name[0])}, which belongs to a letter before it"
    return None


def deception_in(name: str) -> str | None:
    """Return which character of the name is invisible or reorders it, as a sentence. Spaces of any kind may pass."""
    found = (letter for letter in _unreadable(name) if unicodedata.category(letter) != "Zs")
    return next((_refusal(letter) for letter in found), None)


def quoted(name: str) -> str:
    """Return the name in quotes for a sentence.

    Unlike `repr`, it leaves joiners as they are. Emoji and words of many scripts contain them.
    """
    return repr(name) if fault_of(name) or "'" in name else f"'{name}'"


def control_in(text: str, what: str = "A tag") -> str | None:
    """Return which control character a tag, or another text, contains, as a sentence."""
    found = next((letter for letter in text if unicodedata.category(letter) == "Cc"), None)
    return found and f"{what} must not contain {_called(found)}"


def _refusal(letter: str) -> str:
    return f"A name must not contain {_called(letter)}, which is invisible or misleading"


def _unreadable(name: str) -> Iterator[str]:
    for place, letter in enumerate(name):
        if letter.isascii() and letter.isprintable():
            continue
        if not _is_readable(name, place):
            yield letter


def _is_readable(name: str, place: int) -> bool:
    letter, category = name[place], unicodedata.category(name[place])
    if letter in (_ZWNJ, _ZWJ):
        return _joins(name, place)
    if _is_selector(letter):
        return place > 0 and _takes_selector(name[place - 1], letter)
    if letter in _MONGOLIAN_SEPARATORS:
        before = name[:place].rstrip("".join(_MONGOLIAN_SELECTORS))[-1:]
        return _is_mongolian(before) and _is_mongolian(name[place + 1 : place + 2])
    if "\U000e0020" <= letter <= _LAST_TAG:
        return _is_of_a_flag(name, place)
    if "\U000e0000" <= letter <= "\U000e0fff" or "\ufff0" <= letter <= "\ufff8" or letter == "\u2065":
        # Unicode reserves them for characters that are drawn as nothing.
        return False
    if category == "Zs":
        return letter in _SPACES
    return letter in _DRAWN or not (category in ("Cc", "Cf", "Cs", "Zl", "Zp") or letter in _BLANK)


def _joins(name: str, place: int) -> bool:
    """Whether a joiner changes what is drawn: in Indic and Arabic letters, and in emoji (Unicode UAX 31, UTS 51)."""
    before = name[:place].rstrip("\ufe0f" + _SKIN_TONES)[-1:]
    after = name[place + 1 : place + 2]
    if not before:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if not after:
        return False
    if name[place] == _ZWJ and _is_joined_emoji(before) and _is_joined_emoji(after):
        return True
    if unicodedata.combining(after) == _VIRAMA:
        return unicodedata.category(before) == "Lo"
    letter = next((one for one in reversed(name[:place]) if unicodedata.category(one) != "Mn"), "")
    return unicodedata.bidirectional(letter or " ") == "AL" == unicodedata.bidirectional(after)


def _is_joined_emoji(letter: str) -> bool:
    return letter in _JOINED_SYMBOLS or ("\U0001f300" <= letter <= "\U0001faff" and letter not in _SKIN_TONES)


def _is_selector(letter: str) -> bool:
    return "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef" or letter in _MONGOLIAN_SELECTORS


def _takes_selector(letter: str, selector: str) -> bool:
    """Whether a variation selector may choose how this letter is drawn: of symbols, ideographs and Mongolian."""
    if selector in _MONGOLIAN_SELECTORS:
        return _is_mongolian(letter)
    if unicodedata.name(letter, "").startswith("CJK "):
        return unicodedata.category(letter) == "Lo"
    is_symbol = unicodedata.category(letter) in ("So", "Sm") or letter in _EMOJI_BY_SELECTOR
    return is_symbol and letter not in _BLANK and selector <= "\ufe0f"


def _is_mongolian(letter: str) -> bool:
    return "\u1820" <= letter <= "\u18aa"


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
