"""Fencing: what the process of a flow run writes is stored only while its attempt is the current one.

Such a process names its attempt in the headers `Orion-Run-Id` and `Orion-Run-Epoch` of every write. The write runs in
a transaction that locks the flow run, so that no new attempt can begin in the middle of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from pydantic import TypeAdapter, ValidationError
from rest_framework.request import Request

from orchestration.api.errors import InvalidRequest, complaints_of
from orchestration.errors import FlowRunNotFound, RunLost
from orchestration.tables import fetch
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.wire import Natural

R = TypeVar("R")
RUN_HEADER, EPOCH_HEADER = "Orion-Run-Id", "Orion-Run-Epoch"


def read_header(request: Request, name: str, kind: Any) -> Any:
    """Return the value of a header, or None. Raises InvalidRequest."""
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(complaints_of(error, "header", name)) from None


def names_an_attempt(request: Request) -> bool:
    return "HTTP_ORION_RUN_ID" in request.META and "HTTP_ORION_RUN_EPOCH" in request.META


def attempt_named(request: Request) -> tuple[UUID, int] | None:
    """Return the flow run and the epoch of the process that writes, or None. Raises InvalidRequest."""
    if not names_an_attempt(request):
        return None
    return read_header(request, RUN_HEADER, UUID), read_header(request, EPOCH_HEADER, Natural)


def write_as_attempt(request: Request, path: Mapping[str, str], write: Callable[[], R]) -> R:
    """Call `write` for the attempt that the headers name. Raises RunLost if the attempt was replaced."""
    writer = attempt_named(request)
    assert writer is not None
    return fenced(*writer, str(writer[0]) in path.values(), write)


@repeated_on_conflict
def fenced(run_id: UUID, epoch: int, writes_the_run: bool, write: Callable[[], R]) -> R:
    """Call `write` if this is still the current attempt of the run. Raises RunLost and FlowRunNotFound."""
    with write_transaction():
        _hold(run_id, epoch, writes_the_run)
        return write()


def _hold(run_id: UUID, epoch: int, writes_the_run: bool) -> None:
    # SHARE lets requests of one attempt write at the same time; the start of another attempt waits for them.
    # Two writes that share the run's lock, and then both want to change the run, would deadlock.
    strength = "NO KEY UPDATE" if writes_the_run else "SHARE"
    rows = fetch(
        "SELECT epoch FROM runs_flowrun WHERE id IN ",
        [run_id],
        f" FOR {strength}" if connection.vendor == "postgresql" else "",
    )
    if not rows:
        raise FlowRunNotFound(id=run_id)
    if rows[0][0] != epoch:
        raise RunLost(id=run_id, epoch=epoch, current=rows[0][0])


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
