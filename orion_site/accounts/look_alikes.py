"""Names of users and groups that look alike, so that rights are not given to the wrong one by mistake."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Lower-case letters of the Cyrillic and Greek alphabets that look like Latin ones.
_DRAWN_AS_LATIN = str.maketrans("авекмнорстухѕіјԁԛԝѵһαβεικνορτυχϲ", "abekmhopctyxsijdqwvhabeikvoptuxc")


def seen_as(name: str) -> str:
    """Return a key that is equal for names that differ only in case, width, or look-alike letters."""
    # Translate before and after NFKC: it changes some look-alike letters, and creates others from wide or joined ones.
    narrow = unicodedata.normalize("NFKC", name.casefold().translate(_DRAWN_AS_LATIN))
    return narrow.casefold().translate(_DRAWN_AS_LATIN)


def look_alike(name: str, names: Iterable[str]) -> str | None:
    """Return the first of these names that looks like this one."""
    wanted = seen_as(name)
    return next((one for one in names if seen_as(one) == wanted), None)
