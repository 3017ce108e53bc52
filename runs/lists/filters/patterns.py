"""Search for a part of a text with the wildcards of SQL's LIKE, with the same result on both databases.

`%` matches any text, `_` one character, and case is ignored. SQLite's LIKE ignores the case of ASCII letters only, and
PostgreSQL's ILIKE depends on the locale of the database. Patterns with other letters are therefore written with a
character class for each letter, such as `[åÅ]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LOWER_ASCII = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def has_part(column: str, part: str, vendor: str) -> tuple[str, list[str]]:
    """Return the SQL condition that a column has the part, and its parameters, each of which follows the column."""
    has_only_ascii_case = all(letter.isascii() or len(_cases(letter)) == 1 for letter in part)
    if vendor == "sqlite":
        if has_only_ascii_case:
            return f"{column} LIKE %s", [f"%{part}%"]
        # GLOB takes three times as long for a row, so it only compares what has the other letters.
        others = "".join("_" if not letter.isascii() and len(_cases(letter)) > 1 else letter for letter in part)
        return f"({column} LIKE %s AND {column} GLOB %s)", [f"%{others}%", _written(f"%{part}%", _GLOB)]
    if has_only_ascii_case:
        # Takes a third of the time of ILIKE, which asks the locale. By default a backslash escapes on PostgreSQL only.
        return f"LOWER({column} COLLATE \"C\") LIKE %s ESCAPE ''", [f"%{part.translate(_LOWER_ASCII)}%"]
    return f'{column} COLLATE "C" ~ %s', [_written(part, _REGEX)]


# In GLOB, special characters are escaped by a character class.
_GLOB = {"%": "*", "_": "?"} | {sign: f"[{sign}]" for sign in "*?["}
_REGEX = {"%": ".*", "_": "."} | {chr(code): re.escape(chr(code)) for code in range(128) if chr(code) not in "%_"}


def _written(part: str, signs: Mapping[str, str]) -> str:
    return "".join(f"[{cases}]" if len(cases := _cases(letter)) > 1 else signs.get(letter, letter) for letter in part)


def _cases(letter: str) -> str:
    """Return the lower and upper case of a letter; a case that consists of several letters is left out."""
    return "".join(sorted({one for one in (letter, letter.lower(), letter.upper()) if len(one) == 1}))
