"""The audit log on the wire: entries, newest first, and the verification of their chain."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from orionflow.contract.wire import Answer, Moment, StrictWire, Text255, Wire

MOST = 200
# Entries that one call verifies at most.
MOST_VERIFIED = 20_000


class Result(StrEnum):
    DONE = "done"
    REFUSED = "refused"


class AuditFilter(StrictWire):
    """Criteria that must all match. An object is identified by its id, or by a kind with an id: `deployment:<id>`."""

    actor: Text255 | None = None
    action: Text255 | None = None
    object: Text255 | None = None
    kind: Text255 | None = None
    entrance: Text255 | None = None
    result: Result | None = None
    since: Moment | None = None
    until: Moment | None = None


class AuditListing(Wire):
    filter: AuditFilter | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = MOST
    after: Annotated[str, Field(max_length=100)] | None = None


class AuditEntry(Answer):
    """An action that was taken or refused, who took it, and the fields that it changed."""

    id: int
    at: datetime
    day: date
    number: int
    actor: str
    key_id: str
    address: str
    request_id: str
    entrance: str
    action: str
    operation: str
    object_kind: str
    object_id: str
    object_name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    result: str
    reason: str
    previous: str
    hash: str


class AuditPage(Answer):
    """One page of entries; with `after` the next request continues after this page. It is null on the last page."""

    entries: list[AuditEntry]
    after: str | None


class AuditPlace(Answer):
    """The entry that a verification has reached, and its hash."""

    day: date
    number: int
    hash: str


class AuditPlaceGiven(StrictWire):
    day: date
    number: Annotated[int, Field(ge=0, le=2**31 - 1)]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AuditVerification(Wire):
    """The place from which to verify; without one, verification starts at the first entry."""

    after: AuditPlaceGiven | None = None


class AuditFinding(Answer):
    """The first entry that is missing, was changed, or does not follow the one before."""

    day: date
    number: int
    problem: str


class AuditVerified(Answer):
    """The outcome of one call; the next one starts after `go_on`, if not null. `reached` is the last valid entry."""

    entries: int
    reached: AuditPlace | None
    finding: AuditFinding | None
    go_on: AuditPlace | None
