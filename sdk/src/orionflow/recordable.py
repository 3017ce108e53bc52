"""Conversion of users' values into a form that the API accepts, so that recording never stops a run.

Only values that are shown in records pass through here. Values that a run computes with are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

# In characters: names of flows, states, loggers, tags and versions; then names of runs; then cache keys.
LONGEST_NAME = 255
LONGEST_RUN_NAME = 1024
LONGEST_CACHE_KEY = 2000
# In bytes. Longer tracebacks and messages do not help readers, and would slow every list of states down.
LONGEST_MESSAGE = 64 * 1024
LARGEST_PARAMETERS = 512 * 1024
LARGEST_DATA = 512 * 1024
LONGEST_PREVIEW = 1024
# In bytes. The text of a larger collection is not built.
LARGEST_TEXT = 4 * 1024 * 1024
MOST_TAGS = 1000
MOST_SOURCES = 10_000
# The API accepts JSON of 64 levels. Parameters start at the second level of a body, the data of a state deeper.
DEEPEST = 60
LARGEST_INT = 2**63 - 1
SMALLEST_INT = -(2**63)

# Control characters are not allowed, because names of flows are parts of URLs.
CONTROL = re.compile(r"[\x00-\x1f]")
_COLLECTIONS = (list, tuple, set, frozenset, dict)
# Beyond this many parts each collection is visited only once, as the same few may be shared again and again.
MANY_PARTS = 300_000

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


InfNan = Literal["strings", "null"]


class Recorded(NamedTuple):
    """The text recorded for a value, and the reason why it is not the value itself; None if it is."""

    value: Any
    change: str | None = None


def warn(message: str, *args: object) -> None:
    """Log that a record differs from the value, in the log of the current run if there is one."""
    from orionflow.logging import current_logger

    current_logger().warning(message, *args)


def as_text(value: object) -> str:
    """Return the text of any object, even if its `__str__` raises."""
    if type(value) is str:
        return value
    if isinstance(value, _COLLECTIONS) and _why_beyond(value, LARGEST_TEXT) is not None:
        return described(value)
    try:
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def clean_text(text: str, longest: int | None = None) -> str:
    """Return text that every database accepts: without NUL or lone surrogates, cut at `longest` bytes with a note."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    raw = text.encode("utf-8", "replace")
    if longest is None or len(raw) <= longest:
        return raw.decode()
    return raw[:longest].decode("utf-8", "ignore") + f"… ({len(raw) - longest} bytes were cut off here)"


def short_text(value: object, longest: int) -> str:
    """Return the text of any object in at most `longest` characters."""
    text = as_text(value)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text if text.isascii() and "\x00" not in text else clean_text(text)


def recordable_tag(tag: object) -> str:
    """Return the text of any object as a tag, with a warning if it differs from the given one."""
    if type(tag) is str and len(tag) <= LONGEST_NAME and tag.isascii() and "\x00" not in tag:
        return tag
    short = short_text(tag, LONGEST_NAME)
    if type(tag) is not str or short != tag:
        warn("A tag that cannot be recorded is shown as %r.", short)
    return short


def recordable_tags(tags: frozenset[str]) -> list[str]:
    """Return the tags in order, at most MOST_TAGS of them."""
    return sorted(tags)[:MOST_TAGS]


def recordable_version(version: object) -> str | None:
    return None if version is None else short_text(version, LONGEST_NAME)


def recordable_key(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name that identifies runs: one that is too long ends in a digest, so that it stays distinct."""
    short = short_text(name, longest)
    if short == name:
        return name
    import hashlib

    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return short_text(name, longest - len(digest) - 1) + "-" + digest


def recordable_sources(sources: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the sources of a run's inputs, at most MOST_SOURCES of them."""
    room = MOST_SOURCES
    kept: dict[str, list[Any]] = {}
    for name, ones in sources.items():
        kept[name if name.isascii() else clean_text(name)] = ones[:room]
        room -= min(len(ones), room)
    return kept


def recordable_json(value: Any, largest: int, inf_nan: InfNan = "strings") -> Recorded:
    """Return JSON for any value: the value itself, as much of it as can be recorded, or a description."""
    kind = type(value)
    if value is None or kind is bool or (kind is int and SMALLEST_INT <= value <= LARGEST_INT):
        return Recorded(value)
    try:
        if (why := _why_beyond(value, largest)) is not None:
            return Recorded(described(value), why)
        encoded, cleaned = _encoded(value, inf_nan)
        if len(encoded) > largest:
            return Recorded(_preview(value, len(encoded)), f"it takes {len(encoded):,} bytes as JSON")
        tree = _Tree()
        fitted = tree.fit(_decoded(encoded), DEEPEST)
    except Exception:
        return Recorded(described(value), "it cannot be written as JSON")
    return Recorded(fitted, tree.change or ("invalid characters were replaced" if cleaned else None))


def size_of(recorded: Any) -> int:
    """Return the size of recorded JSON in bytes; only an estimate for small values."""
    if recorded is None or isinstance(recorded, bool | int | float):
        return 8
    from pydantic_core import to_json

    return len(to_json(recorded))


def described(value: object) -> str:
    """Return a description in place of a value: `<Lock>`."""
    return f"<{type(value).__name__[:LONGEST_NAME]}>"


def _why_beyond(value: Any, largest: int) -> str | None:
    """Say why the JSON of collections is too large, counted without building it; None if it may not be."""
    if not isinstance(value, _COLLECTIONS):
        return None
    too_large = f"it takes more than {largest:,} bytes as JSON"
    # Each part takes at least one character and a comma.
    parts, most, left = 0, largest // 2, [value]
    while left:
        one = left.pop()
        parts += 2 * len(one) if isinstance(one, dict) else len(one)
        if parts > min(most, MANY_PARTS):
            return _why_beyond_once_shared(value, most, too_large)
        left.extend(_collections_in(one))
    return None


def _why_beyond_once_shared(value: Any, most: int, too_large: str) -> str | None:
    """Say why a value with shared parts is too large: it may be small in memory, and larger than any disk as text.

    This is slower than `_why_beyond`, but visits each collection only once.
    """
    # The number of parts of each collection when it is written out; None while its inner ones are being counted.
    counts: dict[int, int | None] = {}
    seen, left = 0, [value]
    while left:
        one = left[-1]
        if id(one) not in counts:
            counts[id(one)] = None
            seen += len(one)
            if seen > most:
                return too_large
            within = _collections_in(one)
            if any(counts.get(id(part), 0) is None for part in within):
                return "it contains itself"
            left.extend(within)
            continue
        left.pop()
        if counts[id(one)] is None:
            own = 2 * len(one) if isinstance(one, dict) else len(one)
            counts[id(one)] = count = own + sum(counts[id(part)] or 0 for part in _collections_in(one))
            if count > most:
                return too_large
    return None


def _collections_in(one: Any) -> list[Any]:
    return [part for part in (one.values() if isinstance(one, dict) else one) if isinstance(part, _COLLECTIONS)]


def _encoded(value: Any, inf_nan: InfNan) -> tuple[bytes, bool]:
    from pydantic_core import to_json

    from orionflow.values.traversal import refuse_iterators

    refuse_iterators(value)
    # Python refuses to convert integers with more than 4,300 digits to text.
    if type(value) is int:
        return b'"%d"' % value if value.bit_length() < 10_000 else b'"<int>"', True
    try:
        return to_json(value, inf_nan_mode=inf_nan), False
    except UnicodeEncodeError:
        pass
    except ValueError as error:
        if "surrogates" not in str(error):
            raise
    return to_json(_with_clean_texts(value, DEEPEST), inf_nan_mode=inf_nan), True


def _decoded(encoded: bytes) -> Any:
    from pydantic_core import from_json

    return from_json(encoded)


def _with_clean_texts(value: Any, levels: int) -> Any:
    """Return a copy whose texts have no lone surrogates, in nested plain collections as well."""
    if isinstance(value, str):
        return clean_text(as_text(value))
    if levels and isinstance(value, dict):
        return {_with_clean_texts(key, 0): _with_clean_texts(part, levels - 1) for key, part in value.items()}
    if levels and isinstance(value, list | tuple | set | frozenset):
        return [_with_clean_texts(part, levels - 1) for part in value]
    return value


class _Tree:
    """Decoded JSON that is changed to fit the limits; remembers the first change."""

    def __init__(self) -> None:
        self.change: str | None = None

    def fit(self, value: Any, levels: int) -> Any:
        match value:
            case str():
                return self._text(value)
            case bool():
                return value
            case int() if not SMALLEST_INT <= value <= LARGEST_INT:
                self._note("numbers beyond 64 bits are recorded as text")
                return str(value)
            case list() | dict() if not levels:
                self._note(f"it is nested deeper than {DEEPEST} levels")
                return "[…]" if isinstance(value, list) else "{…}"
            case list():
                return [self.fit(part, levels - 1) for part in value]
            case dict():
                return {self._text(key): self.fit(part, levels - 1) for key, part in value.items()}
        return value

    def _text(self, text: str) -> str:
        if "\x00" not in text:
            return text
        self._note("the character NUL was replaced")
        return text.replace("\x00", REPLACEMENT)

    def _note(self, change: str) -> None:
        self.change = self.change or change


def _preview(value: Any, size: int) -> str:
    if isinstance(value, str):
        return clean_text(as_text(value)[: LONGEST_PREVIEW * 2], LONGEST_PREVIEW)
    return f"<{short_text(type(value).__name__, LONGEST_NAME)} of {size:,} bytes>"
