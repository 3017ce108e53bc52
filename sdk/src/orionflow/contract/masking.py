"""Secrets that this process knows, masked in the reports of programs: before they are sent, and where they arrive.

A program knows the secrets that it read, a server those that it sealed. Values are searched for as they are, and as
JSON, `repr` and addresses spell them. A value that a program has changed in another way is not found.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

MASK = "********"
_STARS = re.compile(r"(?<!\*)(?:\*{8})+(?!\*)")
# In characters. Masking shorter values would hide numbers and initials.
SHORTEST = 4
# In characters. A shorter value is only masked if it is the whole text.
SHORTEST_WITHIN = 6
# In characters. Each line of a key with several lines is a secret as well, if it is at least this long.
SHORTEST_LINE = 16
# Runs, limits and triggers are matched by these fields; masks would make different values equal.
_KEPT = frozenset(
    {"type", "tags", "key", "cache_key", "idempotency_key", "dynamic_key", "event", "resource", "related", "state_type"}
)
# Fields of a state: its name is used by the rules, and its data by the next computation.
_KEPT_OF_STATES = _KEPT | {"name", "data"}
# Texts under these keys are free text and may as a whole be a secret; elsewhere a text is a name, a type or an id. On
# arrival, everything but messages is used in computations: a parameter that is a common word must stay one.
_FREE_WHEN_IT_ARRIVES = frozenset({"message"})
FREE_WHEN_SHOWN = _FREE_WHEN_IT_ARRIVES | {
    "parameters", "payload", "job_variables", "infra_overrides", "value", "values", "data", "inputs",
}  # fmt: skip
# An agent passes these to the code of a deployment, which computes with them.
_KEPT_OF_DEPLOYED = frozenset({"parameters", "job_variables"})
# Common words of this field. Masking them would hide nothing if one is used as a password, and fill every page with
# masks.
_COMMON_WORDS = (
    "administrator application artifact artifacts automation backfill calendar cancelled cancelling completed "
    "concurrency connection container crashed customer customers dashboard database default deployment deployments "
    "development document environment failed function kubernetes localhost location logging metadata monitoring "
    "notification operator orchestration orionflow parameter parameters password paused pending postgres postgresql "
    "prefect priority process production project rabbitmq repository resource retrying running schedule scheduled "
    "schedules scheduler secret secrets security service services settings snowflake staging standard suspended "
    "testing timeout tutorial username variable variables version warehouse warning webhook workflow workflows "
)
COMMON_WORDS = frozenset(_COMMON_WORDS.split())

# Names under which configuration holds secrets.
NAMES_A_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|api[_-]?key|private[_-]?key|authorization|cookie", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a JSON value the walk is: which fields stay as they are there, and whether texts are free text."""

    kept: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    is_free: bool = False

    def below(self, name: str) -> _Place:
        """Return the place inside of the field `name`."""
        kept = self.kept and (_KEPT_OF_STATES if name == "state" else _KEPT)
        is_free = self.is_free or name in self.free
        if is_free == self.is_free and kept == self.kept:
            return self
        return replace(self, kept=kept, is_free=is_free)


_PROGRAM = _Place()
_REPORT = _Place(kept=_KEPT, free=_FREE_WHEN_IT_ARRIVES)
_REPORT_OF_INPUTS = replace(_REPORT, kept=_KEPT | _KEPT_OF_DEPLOYED)
# Nothing is found by an answer, so names, tags and keys are masked as well.
_ANSWER = _Place(free=FREE_WHEN_SHOWN)


class KnownSecrets:
    """Values to mask. A search costs one pass for each value; nothing is done if no value is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: frozenset[str] = frozenset()
        # Values that are masked only if they are the whole text.
        self._only_alone: frozenset[str] = frozenset()
        self._only_alone_in_json: tuple[bytes, ...] = ()
        self._encodings: tuple[str, ...] = ()
        self._in_json: tuple[bytes, ...] = ()
        self._in_bytes: tuple[bytes, ...] = ()

    def renew_lock(self) -> None:
        """Continue in a forked process, whose parent's threads may have held the lock."""
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._values)

    def learn(self, values: Iterable[str]) -> None:
        """Mask these values from now on, in addition to those already known."""
        new = {value for value in values if len(value.strip()) >= SHORTEST} - self._values
        if not new:
            return
        with self._lock:
            self._values |= new
            forms_of_values = list(map(forms_of, self._values))
            self._only_alone = frozenset(form for one in forms_of_values for form in one.alone)
            alone = {form for one in self._only_alone for form in _forms_in_json(one)}
            self._only_alone_in_json = tuple(b'"' + form + b'"' for form in alone)
            # The longest first, as a part of a secret may be a secret as well.
            self._encodings = tuple(sorted({form for one in forms_of_values for form in one.within}, key=_length))
            forms = {form for one in self._encodings for form in _forms_in_json(one)}
            self._in_json = tuple(forms)
            bare = {one.encode("utf-8", "replace") for one in self._encodings}
            self._in_bytes = tuple(sorted(forms | bare, key=len, reverse=True))

    def forget(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values, self._encodings, self._in_json, self._in_bytes = frozenset(), (), (), ()
            self._only_alone, self._only_alone_in_json = frozenset(), ()

    def masked(self, text: str) -> str:
        """Return the text with known values masked."""
        if text.strip() in self._only_alone:
            return MASK
        return self._without(text)

    def _without(self, text: str) -> str:
        for one in self._encodings:
            if one in text:
                text = text.replace(one, MASK)
        return text

    def masked_value(self, value: Any) -> Any:
        """Mask within every text of lists and dictionaries. Programs compute with the result, so common words stay."""
        return self._walked(value, _PROGRAM)

    def masked_bytes(self, text: bytes) -> bytes:
        """Mask within pages and files in UTF-8, which may contain JSON."""
        for form in self._in_bytes:
            if form in text:
                text = text.replace(form, MASK.encode())
        return text

    def masked_json(self, body: bytes, *, has_inputs: Callable[[Any], bool] | None = None) -> bytes:
        """Return the JSON of a report with known values masked; unchanged if it is not JSON.

        Fields that identify things are not masked, nor are parameters with which a run will compute: `has_inputs` says
        of the value whether its parameters are such.
        """
        return self._masked_json(body, lambda value: _REPORT_OF_INPUTS if has_inputs and has_inputs(value) else _REPORT)

    def masked_answer(self, body: bytes) -> bytes:
        """Return JSON that users read, masked; unchanged if it is not JSON."""
        return self._masked_json(body, lambda value: _ANSWER)

    def _masked_json(self, body: bytes, place_of: Callable[[Any], _Place]) -> bytes:
        if not any(form in body for form in (*self._in_json, *self._only_alone_in_json)):
            return body
        from pydantic_core import from_json, to_json

        try:
            value = from_json(body)
            return to_json(self._walked(value, place_of(value)))
        except ValueError:
            return body

    def masked_line(self, line: bytes) -> bytes:
        """Mask the JSON of a line that ends in a newline."""
        body = line.rstrip(b"\n")
        return self.masked_json(body) + line[len(body) :]

    def _walked(self, value: Any, place: _Place) -> Any:
        match value:
            case str():
                return self.masked(value) if place.is_free else self._without(value)
            case dict():
                return {
                    name: inner if name in place.kept else self._walked(inner, place.below(name))
                    for name, inner in value.items()
                }
            case list():
                return [self._walked(inner, place) for inner in value]
        return value


@dataclass(frozen=True, slots=True)
class Forms:
    """How a secret is searched for: by spellings within other text, or by texts that are nothing but the secret."""

    within: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()


def forms_of(value: str) -> Forms:
    """Return the forms of a secret. A short value or a common word is searched for alone, as it would mask too much."""
    bare = value.strip()
    if len(bare) < SHORTEST:
        return Forms()
    if len(bare) < SHORTEST_WITHIN or bare.casefold() in COMMON_WORDS:
        return Forms(alone=frozenset({bare, json.dumps(bare)}))
    return Forms(within=frozenset(_encodings_of(value)))


def is_of_deployment(run: Any) -> bool:
    """Whether this JSON of a new run names a deployment, whose code will compute with the parameters."""
    return isinstance(run, dict) and bool(run.get("deployment_id"))


def refusal_of_masked(parameters: Mapping[str, Any]) -> str:
    """Return why a run may not start with these parameters; empty if it may."""
    # Sorted, because PostgreSQL returns the names in JSON in its own order.
    masked = sorted(name for name, value in parameters.items() if any(map(_STARS.search, secrets_in(value))))
    if not masked:
        return ""
    names = ", ".join(map(repr, masked[:5])) + (f" and {len(masked) - 5} more" if len(masked) > 5 else "")
    return f"secrets in its parameters are masked ({names}), so it would compute with {MASK}"


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the texts inside a secret value."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from secrets_in(inner)
        case list():
            for inner in value:
                yield from secrets_in(inner)


def _length(text: str) -> tuple[int, str]:
    return -len(text), text


def _encodings_of(value: str) -> set[str]:
    """Return a value and each of its long lines as JSON, CSV, `repr`, addresses, pages and chats write them."""
    lines = [line.strip() for line in value.splitlines()]
    import html

    whole = {value.strip(), *(line for line in lines if len(lines) > 1 and len(line) >= SHORTEST_LINE)}
    encodings = {
        form
        for one in whole
        for form in (
            one,
            repr(one)[1:-1],
            json.dumps(one)[1:-1],
            json.dumps(one, ensure_ascii=False)[1:-1],
            one.replace('"', '""'),
            quote(one, safe="", errors="replace"),
        )
    }
    encodings |= {html.escape(form, quote=quoted) for form in encodings for quoted in (True, False)}
    # Messages to chats mention nobody: Slack's are escaped like pages, others have a zero-width space after each `@`.
    return encodings | {form.replace("@", "@\u200b") for form in encodings}


def _forms_in_json(text: str) -> set[bytes]:
    return {json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode("utf-8", "replace") for is_ascii in (True, False)}


# The secrets of this process.
known = KnownSecrets()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=known.renew_lock)
