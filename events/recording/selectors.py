"""Queries for events. Labels are JSON, so conditions on them are written separately for each database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from events.models import Event
from orionflow.contract.events import AnyResource, EventFilter, EventName, Related
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE

Condition = tuple[str, list[Any]]


def events_matching(asked: EventFilter, *, since: datetime, until: datetime) -> QuerySet[Event]:
    """Return the events in the requested order. `since` and `until` apply if the filter has no limits."""
    occurred = asked.occurred
    begin, end = (occurred and occurred.since) or since, (occurred and occurred.until) or until
    events = Event.objects.filter(occurred__gte=begin, occurred__lte=end)
    events = events.filter(_named(asked.event))
    if asked.id and asked.id.id:
        events = events.filter(pk__in=asked.id.id)
    for condition in _on_labels(asked):
        events = events.filter(_raw(condition))
    if asked.resource and asked.resource.distinct:
        events = events.filter(_raw(_NEWEST_OF_ITS_RESOURCE))
    return events.order_by("occurred", "id") if asked.order == "ASC" else events.order_by("-occurred", "-id")


# By time and id, because two events of a resource may have the same time.
_NEWEST_OF_ITS_RESOURCE: Condition = (
    "NOT EXISTS (SELECT 1 FROM events_event n WHERE n.resource_id = events_event.resource_id "
    "AND (n.occurred, n.id) > (events_event.occurred, events_event.id))",
    [],
)


def _named(asked: EventName | None) -> Q:
    if asked is None:
        return Q()
    wanted = Q()
    if asked.name:
        wanted &= Q(event__in=asked.name)
    if asked.exclude_name:
        wanted &= ~Q(event__in=asked.exclude_name)
    if asked.prefix:
        wanted &= _any_prefix("event", asked.prefix)
    if asked.exclude_prefix:
        wanted &= ~_any_prefix("event", asked.exclude_prefix)
    return wanted


def _any_prefix(column: str, prefixes: Sequence[str]) -> Q:
    return reduce(or_, (Q(**{f"{column}__startswith": prefix}) for prefix in prefixes))


def _raw(condition: Condition) -> RawSQL:
    sql, values = condition
    return RawSQL(sql, values, output_field=BooleanField())  # noqa: S611  (values are bound, never written into it)


def _on_labels(asked: EventFilter) -> Iterator[Condition]:
    if asked.resource:
        yield from _about(asked.resource, _OWN)
    if asked.related:
        yield from _in_others(_related(asked.related))
        for resource_id, role in asked.related.resources_in_roles or ():
            yield from _in_others([*_equal(RESOURCE_ID, [resource_id]), *_equal(RESOURCE_ROLE, [role])])
    if asked.any_resource:
        own, other = list(_about(asked.any_resource, _OWN)), list(_about(asked.any_resource, _OTHER))
        if own:
            yield _joined(" OR ", [_joined(" AND ", own), *_in_others(other)])


_OWN, _OTHER = "events_event.resource", "o.value"


def _about(asked: AnyResource, column: str) -> Iterator[Condition]:
    if asked.id:
        yield from _equal(RESOURCE_ID, asked.id, column)
    if asked.id_prefix:
        yield from _equal(RESOURCE_ID, [f"{prefix}*" for prefix in asked.id_prefix], column)
    yield from _labelled(labels_asked(asked.labels), column)


def _related(asked: Related) -> list[Condition]:
    ids = _equal(RESOURCE_ID, asked.id) if asked.id else ()
    roles = _equal(RESOURCE_ROLE, asked.role) if asked.role else ()
    return [*ids, *roles, *_labelled(labels_asked(asked.labels), _OTHER)]


def _in_others(conditions: Iterable[Condition]) -> Iterator[Condition]:
    """Yield the condition that one related resource meets all of these."""
    wanted = list(conditions)
    if wanted:
        each = "json_each" if connection.vendor == "sqlite" else "jsonb_array_elements"
        sql, values = _joined(" AND ", wanted)
        yield f"EXISTS (SELECT 1 FROM {each}(events_event.related) AS o WHERE {sql})", values


def _equal(label: str, patterns: Sequence[str], column: str = _OTHER) -> Iterator[Condition]:
    yield from _labelled({label: list(patterns)}, column)


def _labelled(asked: dict[str, list[str]], column: str) -> Iterator[Condition]:
    for label, patterns in asked.items():
        value, key = _label(column, label)
        yield _joined(" OR ", list(_fitting(value, key, patterns)))


def _label(column: str, label: str) -> tuple[str, str]:
    """Return SQL for the value of a label as text, and the parameter that names the label."""
    if connection.vendor == "sqlite":
        # In quotes, because labels contain dots, which would be steps of the path.
        return f"json_extract({column}, %s)", f'$."{label}"'
    return f"({column} ->> %s)", label


def _fitting(value: str, key: str, patterns: Sequence[str]) -> Iterator[Condition]:
    """Yield one condition for each kind of pattern: SQLite takes seconds to read a term for each of 2,000 patterns."""
    for sign in ("=", "<>"):
        alike = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!") == (sign == "<>")]
        begins = [pattern[:-1] for pattern in alike if pattern.endswith("*")]
        whole = [pattern for pattern in alike if not pattern.endswith("*")]
        if begins:
            # Not LIKE, to which `_` and `%` in a name would be wildcards.
            yield _any_of(begins, f"substr({value}, 1, length(p.value)) {sign} p.value", key)
        if len(whole) == 1:
            yield f"{value} {sign} %s", [key, *whole]
        elif whole:
            yield _any_of(whole, f"{value} {sign} p.value", key)


def _any_of(patterns: Sequence[str], comparison: str, key: str) -> Condition:
    each = "json_each(%s)" if connection.vendor == "sqlite" else "jsonb_array_elements_text(%s)"
    # In the order of the placeholders: the patterns, and then the label, which is part of the comparison.
    return f"EXISTS (SELECT 1 FROM {each} AS p WHERE {comparison})", [json.dumps(patterns), key]


def _joined(sign: str, conditions: Sequence[Condition]) -> Condition:
    if not conditions:
        return "1 = 0", []
    return f"({sign.join(sql for sql, _ in conditions)})", [value for _, values in conditions for value in values]


def labels_asked(specification: dict[str, Any] | None) -> dict[str, list[str]]:
    given = specification or {}
    return {label: [value] if isinstance(value, str) else value for label, value in given.items()}
