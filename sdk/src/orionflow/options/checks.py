"""Checks of the options of flows and tasks: a wrong option is reported by the decorator, not when a run uses it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.contract.ids import uuid7
from orionflow.contract.names import fault_of
from orionflow.errors import UsageError
from orionflow.recordable import as_text, recordable_key, recordable_tag, warn

# The largest value that the API accepts.
LARGEST_JITTER = 1000.0
# In seconds and as a period; large enough to mean forever, as with `timedelta.max`, and small enough for datetimes and
# thread waits.
LONGEST_TIMEOUT = min(1e9, threading.TIMEOUT_MAX)
LONGEST_EXPIRATION = timedelta(days=365_000)
_warned: set[tuple[str, str]] = set()


def check_known(options: Mapping[str, Any], known: frozenset[str], kind: str) -> None:
    """Raise UsageError for options that flows (or tasks) do not have."""
    if unknown := sorted(options.keys() - known):
        # Imported here, as correct programs do not need it.
        from difflib import get_close_matches

        meant = get_close_matches(unknown[0], known, 1)
        hint = f" Did you mean {meant[0]}?" if meant else ""
        raise UsageError(f"{kind} have no option {', '.join(unknown)}.{hint} They have {', '.join(sorted(known))}.")


def checked_run_id(given: UUID | str) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise UsageError(f"{given!r} is not the id of a flow run; runs are named by ids such as {uuid7()}.") from None


def checked_name(name: Any, by_itself: str) -> str:
    if name is not None and not isinstance(name, str):
        raise UsageError(f"name={name!r} must be a text.")
    return recordable_key(name or as_text(by_itself))


def warn_of_unreadable(name: str, kind: str) -> None:
    """Warn once per process of a flow or deployment whose name people cannot read."""
    # Not an error: agents import this code for runs of flows and deployments that exist, whose names are accepted.
    fault = fault_of(name)
    if fault and (kind, name) not in _warned:
        _warned.add((kind, name))
        warn(
            "Choose another name for the %s %s. %s. A server may refuse a new %s of this name.",
            kind,
            ascii(name),
            fault,
            kind,
        )


def texts_of(given: str | Iterable[str]) -> list[str]:
    """Return the texts as a list; a single text may be given alone, and is not split into letters."""
    return [given] if isinstance(given, str) else list(given)


def checked_tags(tags: Iterable[str] | None, argument: str = "tags") -> frozenset[str]:
    """Return the tags as a set; one text is one tag."""
    if tags is None or isinstance(tags, str):
        return frozenset([recordable_tag(tags)] if tags else ())
    if not isinstance(tags, Iterable):
        raise UsageError(f"{argument} takes texts, as in {argument}=['nightly'], and not {tags!r}.")
    found = list(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise UsageError(f"{argument} takes texts, and {tag!r} is none.")
    return frozenset(map(recordable_tag, found))


def checked_timeout(seconds: float | timedelta | None, argument: str) -> float | None:
    """Return the limit in seconds; zero means no limit, as in `timeout_seconds=settings.get("limit", 0)`."""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds is None or seconds == 0:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise UsageError(f"{argument}={seconds!r} must be a number of seconds above zero, or None.")
    return min(float(seconds), LONGEST_TIMEOUT)


def checked_expiration(expiration: Any, argument: str) -> timedelta | None:
    if expiration is not None and not isinstance(expiration, timedelta):
        raise UsageError(f"{argument}={expiration!r} must be a timedelta, such as timedelta(hours=1).")
    return None if expiration is None else min(max(expiration, timedelta()), LONGEST_EXPIRATION)


def checked_jitter(factor: Any, argument: str) -> float | None:
    if factor is not None and (not isinstance(factor, int | float) or not factor >= 0):
        raise UsageError(f"{argument}={factor!r} must be a number, zero or more.")
    return None if factor is None else min(factor, LARGEST_JITTER)


def checked_persist(given: Any, argument: str) -> bool | None:
    if given is None or given is True or given is False:
        return given
    # Also accepts 0 and 1, and the truth values of NumPy.
    if isinstance(given, str | bytes) or given not in (True, False):
        raise UsageError(f"{argument}={given!r} must be True, False or None.")
    return bool(given)


def checked_storage(storage: Any, argument: str) -> Any:
    """Return a name, a folder, or a store; a class is not a store."""
    if storage is None or isinstance(storage, str | Path):
        return storage
    if isinstance(storage, os.PathLike):
        return Path(os.fsdecode(storage))
    if isinstance(storage, type) or not (hasattr(storage, "write") and hasattr(storage, "read")):
        raise UsageError(
            f"{argument}={storage!r} stores nothing; give the name of a location, a folder, or an object with "
            "read and write."
        )
    return storage


def checked_serializer(serializer: Any, argument: str) -> Any:
    """Return a name, which may be registered later, or a serializer; a class is not a serializer."""
    if serializer is None or isinstance(serializer, str):
        return serializer
    if isinstance(serializer, type) or not hasattr(serializer, "dumps"):
        raise UsageError(
            f"{argument}={serializer!r} serializes nothing; give a name such as 'json', or an object with dumps "
            "and loads."
        )
    return serializer


def checked_callable(option: Any, argument: str) -> Any:
    if option is not None and not callable(option):
        raise UsageError(f"{argument} must be a function, not {option!r}.")
    return option
