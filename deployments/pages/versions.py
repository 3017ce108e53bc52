"""The versions of a deployment: its changes that matter for its runs, from the audit log.

Whoever may see the deployment may see them. The log has masked secrets before anybody read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import DurationField
from django.http import QueryDict
from django.utils.dateparse import parse_duration

from deployments.models import Deployment
from deployments.pages.selectors.deployment import counts_between, words_of
from deployments.schedules.core import ScheduleError
from deployments.schedules.models import Schedule
from deployments.upkeep.current_settings import current
from orchestration.json_texts import is_same
from orchestration.sight import seeing
from orion_site.audit.fields import Field, shown, values_of
from orion_site.audit.models import Entry
from orion_site.audit.selectors import Page, Place, changes_of
from runs.pages.filtering import address_after
from runs.pages.selectors.keyset import Count
from runs.periods import period_text

VERSIONS_PER_PAGE = 20
# Pausing changes none of its runs. The others say who changed it, repeat another field, or are for readers.
LEFT_OUT = frozenset(
    {
        *("paused", "description", "created_by", "updated_by"),
        *("author", "flow_id", "work_queue_id", "deployment_id", "schedule_id"),
    }
)
DEFINITION = "definition"
PERIODS = frozenset(
    field.name for model in (Deployment, Schedule) for field in model._meta.fields if isinstance(field, DurationField)
)
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Version:
    """A change, with the runs that were due from then until the next one."""

    entry: Entry
    is_first: bool
    label: str
    fields: Sequence[Field]
    runs: Count
    runs_address: str

    @property
    def top(self) -> Sequence[Field]:
        return self.fields[:SHOWN]

    @property
    def more(self) -> Sequence[Field]:
        return self.fields[SHOWN:]


@dataclass(frozen=True, slots=True)
class Versions:
    """A page of versions, newest first. `next` is the address of older ones.

    `kept_days` is for how long the log is kept; 0 is for ever.
    """

    rows: Sequence[Version]
    next: str
    looked_back_to: datetime | None
    kept_days: int

    @property
    def has_first(self) -> bool:
        return bool(self.rows) and self.rows[-1].is_first


def versions_of(one: Deployment, query: QueryDict, *, now: datetime) -> Versions:
    """Return a page of versions. Two queries."""
    after = Place.read(query.get("after", ""))
    page = _changes(one, after)
    newer = moment_of(query.get("newer", "")) if after else None
    times = [entry.at for entry in page.rows]
    spans: list[tuple[datetime, datetime | None]] = list(zip(times, [newer, *times], strict=False))
    counts = counts_between(deployment_id=one.pk, spans=spans, now=now)
    rows = [_version(*found) for found in zip(page.rows, spans, counts, strict=True)]
    address = address_after(query, page.after)
    if address and (last := times[-1] if times else newer):
        address += "&" + urlencode({"newer": last.isoformat()})
    return Versions(rows, address, page.after.at if page.after else None, current("ORION_RETENTION_DAYS_AUDIT"))


def _changes(one: Deployment, after: Place | None) -> Page:
    # Rights on objects show no entries at all; these are about a deployment that the user sees.
    with seeing(None):
        return changes_of(
            kind="deployment",
            object_id=str(one.pk),
            after=after,
            size=VERSIONS_PER_PAGE,
            matters=lambda entry: any(_differences(entry)),
        )


def moment_of(text: str) -> datetime | None:
    """Return the moment that a part of an address names; None for other texts."""
    place = Place.read(f"{text}~0")
    return place.at if place else None


def _version(entry: Entry, span: tuple[datetime, datetime | None], runs: Count) -> Version:
    since, until = span
    words = {"tab": "runs", "from": since.isoformat(), **({"to": until.isoformat()} if until else {})}
    fields = list(_differences(entry))
    label = next((field.after for field in fields if field.name == "version"), "")
    # A part that is added, as a schedule is, has nothing before it either; its name has a space.
    is_first = not entry.before and any(" " not in name for name in values_of(entry.after))
    return Version(entry, is_first, label, fields, runs, f"?{urlencode(words)}")


def _differences(entry: Entry) -> Iterator[Field]:
    """Yield the fields that matter for runs."""
    before, after = values_of(entry.before), values_of(entry.after)
    for name in dict.fromkeys([*before, *after]):
        if name.rpartition(": ")[2] not in LEFT_OUT:
            yield from _compared(name, before.get(name), after.get(name))


def _compared(name: str, before: Any, after: Any) -> Iterator[Field]:
    """Yield the field, or of values with names, as parameters are, those that differ."""
    words = tuple(_in_words(name, value) for value in (before, after))
    is_sentence = name.endswith(DEFINITION) and words[0] != words[1]
    if isinstance(before, Mapping) and isinstance(after, Mapping) and not is_sentence:
        for key in dict.fromkeys([*before, *after]):
            yield from _compared(f"{name}.{key}", before.get(key), after.get(key))
    elif not is_same(before, after):
        yield Field(name, *words)


def _in_words(name: str, value: Any) -> str:
    field = name.rpartition(": ")[2]
    if field == DEFINITION and isinstance(value, dict):
        try:
            return words_of(value)
        except ScheduleError:
            return shown(value, field)
    if field in PERIODS and value is not None:
        # SQLite stores microseconds.
        period = timedelta(microseconds=value) if isinstance(value, int) else parse_duration(str(value))
        return period_text(period) if period is not None else shown(value, field)
    return shown(value, field)
