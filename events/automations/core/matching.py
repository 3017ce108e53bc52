"""Matching of events: labels against conditions, and names of events against patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.contract.kinds import RESOURCE_ROLE

Labels = Mapping[str, str]
Patterns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class EventData:
    """An event as triggers see it."""

    id: UUID
    event: str
    occurred: datetime
    resource: Labels
    related: tuple[Labels, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)

    def in_role(self, role: str) -> Labels | None:
        """Return the first related resource with this role."""
        return next((one for one in self.related if one.get(RESOURCE_ROLE) == role), None)

    def label(self, name: str) -> str:
        """Return a label of the resource, or of a related one: `related:flow:prefect.resource.id`."""
        kind, _, rest = name.partition(":")
        if kind == "related" and rest:
            role, _, label = rest.partition(":")
            return (self.in_role(role) or {}).get(label, "")
        return self.resource.get(name, "")


def fits(pattern: str, value: str | None) -> bool:
    """Whether a value matches `value` or `prefix*`, negated with a leading `!`. A missing value matches nothing."""
    if value is None:
        return False
    wanted = pattern.removeprefix("!")
    found = value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted
    return found != pattern.startswith("!")


def covers(required: Patterns, labels: Labels) -> bool:
    return all(any(fits(one, labels.get(label)) for one in patterns) for label, patterns in required.items())


def covers_any(required: Patterns, candidates: Iterable[Labels]) -> bool:
    """Whether one of the resources meets all conditions. Without conditions, no resource is needed."""
    return not required or any(covers(required, one) for one in candidates)


def is_named(patterns: Iterable[str], event: str) -> bool:
    return any(fits(pattern, event) for pattern in patterns)
