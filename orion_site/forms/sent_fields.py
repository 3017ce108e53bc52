"""The submission of a form made from a JSON schema: the marks of its fields, their values, and their errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from django.http import QueryDict

from deployments.definitions.core.parameter_errors import Flaw
from orion_site.forms.schema_values import NO_VALUE, PREFIX, Field, Unreadable, dumped, read_text

# A hidden field has marks of so many characters for all fields.
MARKS, MARK = "marks", 8
# Texts that have no field any more are quoted: so many of them, and so many characters of each.
MOST_QUOTED, LONGEST_QUOTED = 20, 200
# Other texts of a tick are refused.
TICKS = {"": "false", "off": "false", "on": "true"}


def shown_texts(fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each field, with those of objects."""
    for one in fields:
        yield one.name, one.text
        yield from shown_texts(one.fields)


def marks_of(fields: Iterable[Field]) -> str:
    """Return a mark for each field that has an input. It says what is shown, and how what is sent is read.

    Call it before the fields are read. Whether a field was empty counts, because an empty text means something else if
    the field has a default.
    """
    return " ".join(_mark_of(one) for one in inputs_of(fields)) or "none"


def _mark_of(one: Field) -> str:
    shown = [one.name, one.kind, one.item, one.is_nullable, not one.text, list(one.choices)]
    return sha256(dumped(shown).encode(errors="surrogatepass")).hexdigest()[:MARK]


def inputs_of(fields: Iterable[Field]) -> Iterator[Field]:
    for one in fields:
        if one.kind == "object":
            yield from inputs_of(one.fields)
        else:
            yield one


def has_other_fields(marks: str, sent: QueryDict) -> bool:
    """Whether the form that was sent had other fields. Programs send no marks, and know what they send."""
    known = sent.get(MARKS, "").split()
    return bool(known) and set(known) != set(marks.split())


def keep_unsent(sent: QueryDict, shown: Iterable[tuple[str, str]]) -> None:
    """Take what a program leaves out for unchanged. Of a form with marks, a tick that is missing was taken away."""
    for name, text in () if MARKS in sent else shown:
        sent.setdefault(name, text)


def take_lines(fields: Iterable[Field], sent: QueryDict) -> None:
    """Take a secret from its input of several lines, where that has one: in one line it would lose its line breaks."""
    for one in inputs_of(fields):
        if not (lines := sent.get(one.name_in_lines, "")).strip():
            continue
        if sent.get(one.name, "") not in ("", one.text):
            one.errors.append("Write it in one line or in several lines, not in both.")
        sent[one.name] = lines


def keep_typed(fields: Sequence[Field], sent: QueryDict) -> str:
    """Show what was sent in those fields that the form had, too; return the other texts as words."""
    known, names = set(sent.get(MARKS, "").split()), set[str]()
    for one in inputs_of(fields):
        if _mark_of(one) in known:
            one.text = _text_sent(one, sent)
            names.add(one.name)
    others = [(name, text) for name, text in sent.items() if name.startswith(PREFIX) and name not in names]
    return "; ".join(f"{_words_of(name)}: {_shortened(str(text))}" for name, text in others[:MOST_QUOTED] if text)


def _words_of(name: str) -> str:
    return _shortened(".".join(unquote(part) for part in name.removeprefix(PREFIX).split("/")))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}…"


def _text_sent(one: Field, sent: QueryDict) -> str:
    text = sent.get(one.name, "").replace("\r\n", "\n")
    # A browser sends nothing for a tick that was taken away.
    return TICKS.get(text, text) if one.kind == "boolean" else text


def read_fields(fields: Iterable[Field], sent: QueryDict) -> dict[str, Any]:
    """Return the submitted values without empty ones. A text that is not valid becomes an error of its field."""
    values: dict[str, Any] = {}
    for one in fields:
        if one.kind == "object":
            inner = read_fields(one.fields, sent)
            one.is_touched = any(field.is_touched for field in one.fields)
            # An object without a given value is absent unless a field in it was changed, whatever their defaults.
            if not one.is_touched and one.value is not NO_VALUE:
                values[one.label] = one.value
            elif one.is_touched or one.is_required:
                values[one.label] = inner if one.is_touched or not one.is_nullable else None
            continue
        shown = one.text
        one.text = _text_sent(one, sent)
        one.is_touched = _as_sent(one.kind, one.text) != _as_sent(one.kind, shown)
        if not one.is_touched and one.value is not NO_VALUE:
            values[one.label] = one.value
            continue
        try:
            value = read_text(one)
        except Unreadable as error:
            one.errors.append(str(error))
            continue
        if value is not NO_VALUE:
            values[one.label] = value
    return values


def _as_sent(kind: str, text: str) -> str:
    # Browsers leave out seconds that are zero: they send 2026-01-31T06:00 for 2026-01-31T06:00:00.
    return text[:-3] if kind == "moment" and len(text) == 19 and text.endswith(":00") else text


def show_flaws(fields: Sequence[Field], found: Iterable[Flaw]) -> list[str]:
    """Add each error to its field, and return the errors without a field."""
    others = []
    for flaw in found:
        one = _field_at(fields, flaw.place)
        if one is None:
            where = ".".join(str(part) for part in flaw.place)
            others.append(f"{where}: {flaw.message}" if where else flaw.message)
        elif not one.errors:
            rest = flaw.place[len(one.path) :]
            at = f"{'.'.join(str(part) for part in rest)}: " if rest else ""
            one.errors.append("This field is required." if flaw.is_missing and not rest else at + flaw.message)
    return others


def _field_at(fields: Sequence[Field], place: Sequence[str | int]) -> Field | None:
    for one in fields:
        if tuple(place[: len(one.path)]) == one.path:
            return _field_at(one.fields, place) or one
    return None
