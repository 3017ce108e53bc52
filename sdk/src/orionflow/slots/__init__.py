"""Global limits in programs: hold slots during a block, or limit a rate.

    with concurrency("database", occupy=2):
        load()

Both work in flows, in tasks and in plain programs, blocking or awaited. Slots are leased: they are renewed while the
block runs, and the slots of a process that dies become free when its run's attempt ends or the lease expires.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from orionflow.attempt import current_attempt
from orionflow.calls import Call
from orionflow.calls.slots import release_slots, take_slots
from orionflow.client import OrionClient
from orionflow.clock import current_clock
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.contract.ids import uuid7
from orionflow.contract.limits import TakenLimit
from orionflow.engine.drivers import drive, drive_async, drive_or_await
from orionflow.engine.effects import Do, Sleep, Steps, send
from orionflow.errors import ApiError, NoSlotInTime, Overloaded
from orionflow.slots.keeper import Held, slot_keeper

logger = logging.getLogger("orionflow.slots")

LEASE_SECONDS = 60.0
# Seconds; slots may become free sooner than their usual holding time suggests.
LONGEST_PAUSE = 15.0
SHORTEST_PAUSE = 0.05
# The status of an answer without a free slot.
FULL = 423


class concurrency:
    """Hold slots of global limits during a `with` or an `async with` block.

    ```python
    from orionflow import concurrency, flow

    @flow
    def load() -> str:
        with concurrency("database", occupy=2, timeout_seconds=60):
            return "loaded"

    assert load() == "loaded"
    ```

    - `names`: the name of a limit, or several, of which all are held at once. A name without a limit limits nothing;
      create one with `orion global-concurrency-limit create database 5`.
    - `occupy`: how many slots of each to hold (default: 1).
    - `timeout_seconds`: how many seconds to wait for free slots. By default there is no limit.

    Works in flows, in tasks and in plain programs. The slots of a process that dies become free again by themselves.
    Several blocks, also in several threads, may share one object; each holds slots of its own.

    Raises `NoSlotInTime` if none became free in time.
    """

    def __init__(self, names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None) -> None:
        self._names = _names(names)
        self._occupy = occupy
        self._timeout = timeout_seconds
        # One for each block that is being executed.
        self._held: list[Held] = []

    def __enter__(self) -> Self:
        drive(self._take())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        drive(self._release())

    async def __aenter__(self) -> Self:
        await drive_async(self._take())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await drive_async(self._release())

    def _take(self) -> Steps[None]:
        if not self._names:
            return
        client, is_new = yield from _client_here()
        try:
            call = _lease(self._names, self._occupy)
            taken = yield from _when_there_is_room(client, call, self._names, self._timeout)
        except BaseException:
            if is_new:
                client.close()
            raise
        leases = tuple(limit.lease_id for limit in taken if limit.lease_id)
        held = Held(client, is_new, self._names, leases, LEASE_SECONDS, _holder())
        self._held.append(held)
        if leases:
            try:
                slot_keeper().keep(held)
            except RuntimeError:
                # The block must not run with slots that are not renewed.
                self._held.remove(held)
                yield from _give_back(held)
                raise

    def _release(self) -> Steps[None]:
        if (held := self._pop()) is not None:
            yield from _give_back(held)

    def _pop(self) -> Held | None:
        """Return what a block held that is left now: one of this run, or else of the run that entered the block."""
        here, every = _holder(), self._held.copy()
        for held in reversed([one for one in every if one.holder == here] or every):
            # Another thread may leave its block at this moment.
            with suppress(ValueError):
                self._held.remove(held)
                return held
        return None


def _give_back(held: Held) -> Steps[None]:
    slot_keeper().forget(held)
    if held.leases:
        try:
            yield send(held.client, release_slots(held.leases))
        except ApiError as error:
            # The block has finished its work, and the lease expires by itself.
            logger.warning("The slots of %s could not be given back: %s", ", ".join(held.names), error)
    if held.closes_client:
        held.client.close()


def rate_limit(names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None) -> Any:
    """Wait until the named rates allow another call: `rate_limit("api")`. In coroutines, await it.

    - `names`: the name of a global limit whose slots become free over time (`orion gcl create api 10 --decay 2`), or
      several. A name without a limit limits nothing.
    - `occupy`: how many slots the call takes (default: 1).
    - `timeout_seconds`: how many seconds to wait. By default there is no limit.

    Raises `NoSlotInTime` if the rate did not allow the call in time.
    """
    return drive_or_await(_keep_to_rate(_names(names), occupy, timeout_seconds))


def _keep_to_rate(names: tuple[str, ...], occupy: int, timeout: float | None) -> Steps[None]:
    if not names:
        return
    client, is_new = yield from _client_here()
    call = take_slots(names, slots=occupy, mode="rate_limit")
    try:
        yield from _when_there_is_room(client, call, names, timeout)
    finally:
        if is_new:
            client.close()


def _when_there_is_room(
    client: OrionClient, call: Call[list[TakenLimit]], names: tuple[str, ...], timeout: float | None
) -> Steps[list[TakenLimit]]:
    began, is_noted = current_clock().monotonic(), False
    while True:
        try:
            taken: list[TakenLimit] = yield send(client, call)
            return taken
        except Overloaded as full:
            if full.status != FULL:
                raise
            left = None if timeout is None else timeout - (current_clock().monotonic() - began)
            pause = _pause(full.retry_after)
        if left is not None and left <= 0:
            raise NoSlotInTime(f"No slot of {', '.join(names)} became free within {timeout:g} s.")
        if not is_noted:
            logger.info("Waiting for a slot of %s.", ", ".join(names))
            is_noted = True
        yield Sleep(pause if left is None else min(pause, left))


def _pause(asked: float) -> float:
    # Randomized: clients with the same answer would otherwise return at the same time.
    return min(max(asked, SHORTEST_PAUSE), LONGEST_PAUSE) * random.uniform(0.8, 1.2)


def _lease(names: tuple[str, ...], slots: int) -> Call[list[TakenLimit]]:
    flow_run, attempt = FlowRunContext.known(), current_attempt()
    task_run = None if flow_run is None else TaskRunContext.get()
    mine = attempt is not None and flow_run is not None and attempt.flow_run_id == flow_run.id
    return take_slots(
        names,
        slots=slots,
        request_id=uuid7(),
        flow_run_id=flow_run.id if flow_run else None,
        task_run_id=task_run.id if task_run else None,
        epoch=attempt.epoch if mine and attempt else None,
        seconds=LEASE_SECONDS,
    )


def _holder() -> tuple[UUID | None, UUID | None]:
    flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
    return (flow_run.id if flow_run else None, task_run.id if task_run else None)


def _client_here() -> Steps[tuple[OrionClient, bool]]:
    """Return the client of the flow run that this code belongs to, or a new one, and whether it is new."""
    flow_run = FlowRunContext.get()
    if flow_run is None:
        return OrionClient(), True
    # The request refers to the run, which may still be on its way to the API.
    yield Do(flow_run.reporter.drain, flow_run.id)
    return flow_run.client, False


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
