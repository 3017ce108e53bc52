"""Task runs without a flow run, offered over a websocket to the processes that serve their tasks.

Each waiting run is offered to one process at a time, by any number of servers. If it is slow, and the run is offered to
another one, the rules let only one of them make it pending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import Error

from orchestration.api.sockets import (
    POLICY_VIOLATION,
    UNEXPECTED_MESSAGE,
    IntroducedConsumer,
    in_database,
    read_message,
)
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract.sockets import Reply, Subscription
from runs.background_tasks.offers import OFFER_SECONDS, offers
from runs.background_tasks.selectors import parameters_of, waiting_task_runs
from runs.background_tasks.services import hold_calls, reserve_call
from runs.models import TaskRun
from runs.task_runs.api.task_runs import task_runs_out
from runs.task_runs.schemas import TaskRunOut

LOOK_EVERY_SECONDS = 0.5
# A run that starts sooner costs no renewal.
HOLD_EVERY_SECONDS = 10.0
PAGE = 20


class ServeTasks(IntroducedConsumer):
    """Offers runs of the tasks that the client names, one at a time; the next one after the client's `ack`."""

    action_required = Action.REPORT_RUNS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acknowledged = asyncio.Event()

    async def receive_request(self, text: str) -> None:
        subscription = read_message(Subscription, text)
        if subscription is None:
            await self.close(UNEXPECTED_MESSAGE, "Expected a 'subscribe' message with 'keys'")
            return
        self.work(self._offer_runs(subscription.keys))

    async def receive_more(self, text: str) -> None:
        match read_message(Reply, text):
            case Reply(type="ack"):
                self._acknowledged.set()
            case Reply(type="quit"):
                await self.close()
            case _:
                await self.close(UNEXPECTED_MESSAGE, "Expected an 'ack' message")

    async def _offer_runs(self, task_keys: list[str]) -> None:
        renewal = asyncio.create_task(self._keep_holding())
        try:
            await self._offer_all(task_keys)
        except TimeoutError:
            await self.close(POLICY_VIOLATION, "A run was offered and not acknowledged in time")
        finally:
            renewal.cancel()

    async def _keep_holding(self) -> None:
        """Record in the database which runs the client has taken and not started, as long as it is connected."""
        while True:
            await asyncio.sleep(HOLD_EVERY_SECONDS)
            if held := offers.held_by(self):
                # While the database is away, no service finds abandoned runs in it either.
                with suppress(Error):
                    offers.drop(self, held - await in_database(_hold, held))

    async def _offer_all(self, task_keys: list[str]) -> None:
        while True:
            # Runs that this server is offering wait in the database, too, and are passed over.
            limit = PAGE + len(offers)
            waiting = await in_database(_waiting, task_keys, limit)
            for run_id in waiting:
                if offers.make(run_id):
                    await self._offer(run_id)
            if len(waiting) < limit:
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _offer(self, run_id: UUID) -> None:
        # Before the run is sent, so that no earlier `ack` counts for it.
        self._acknowledged.clear()
        try:
            run = await in_database(offered, run_id)
            if run is not None:
                await self.send_json(run)
                await asyncio.wait_for(self._acknowledged.wait(), OFFER_SECONDS)
                offers.hold(self, run_id)
        finally:
            if not self._acknowledged.is_set():
                offers.withdraw(run_id)

    async def stop_working(self) -> None:
        try:
            await super().stop_working()
        finally:
            offers.release(self)


def _waiting(task_keys: list[str], limit: int) -> list[UUID]:
    return waiting_task_runs(task_keys=task_keys, server=offers.server, now=current_time(), limit=limit)


def _hold(run_ids: Collection[UUID]) -> set[UUID]:
    # By the clock of the services that look for abandoned runs.
    return hold_calls(run_ids, offers.server, current_time())


def offered(run_id: UUID) -> TaskRunOut | None:
    """Reserve the run, and return it as the API shows it, with the id of its parameters.

    None if it no longer waits, or if another server has offered it.
    """
    now = current_time()
    run = TaskRun.objects.filter(pk=run_id, state_type="SCHEDULED").first()
    if run is None or not reserve_call(run_id, offers.server, now):
        return None
    shown = task_runs_out([run], now)[0]
    if state := shown["state"]:
        state["state_details"]["task_parameters_id"] = parameters_of(run_id)
    return shown
