"""Names of users and groups that a reader takes for each other, so that nobody is given another's rights by mistake."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Letters of the Cyrillic and Greek alphabets that are drawn as Latin ones, in lower case.
_DRAWN_AS_LATIN = str.maketrans("авекмнорстухѕіјԁԛԝѵһαβεικνορτυχϲ", "abekmhopctyxsijdqwvhabeikvoptuxc")


def seen_as(name: str) -> str:
    """A key that is the same for names that differ by case, width, or an alphabet with the same letters."""
    # NFKC makes other letters of some that are drawn as Latin ones, and those of others that are wide or joined.
    narrow = unicodedata.normalize("NFKC", name.casefold().translate(_DRAWN_AS_LATIN))
    return narrow.casefold().translate(_DRAWN_AS_LATIN)


def look_alike(name: str, names: Iterable[str]) -> str | None:
    """The first of these names that a reader would take for this one."""
    wanted = seen_as(name)
    return next((one for one in names if seen_as(one) == wanted), None)
