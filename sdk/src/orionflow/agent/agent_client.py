"""The agent's calls to the API, under the identity that it registered with."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

from orionflow.agent.options import AgentOptions
from orionflow.agent.telling import teller
from orionflow.calls import agents as calls
from orionflow.calls.agents import Claimed, HeartbeatReply, Orders, Registration
from orionflow.client import OrionClient
from orionflow.client.transport import Patience, may_pass
from orionflow.errors import ApiError, Conflict
from orionflow.settings import current_settings

RETRY_SECONDS = 1.0
# Whoever claims or sends a heartbeat does so again soon; a request that is repeated in between only comes too late.
ONCE = 0.0
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 2.0, 10.0
# So long a request for orders may wait at the server; proxies give up after a minute, as a rule.
WAIT_SECONDS = 25.0


class Contact:
    """Three clients, so that heartbeats never queue behind anything, and orders may be waited for."""

    def __init__(self, options: AgentOptions, name: str) -> None:
        self.options = options
        self.name = name
        self.incarnation = uuid4()
        self.client = OrionClient(retry_budget_seconds=ONCE)
        self._pulse = self._listening = self.client
        self.registration: Registration | None = None

    @property
    def agent_id(self) -> UUID:
        assert self.registration is not None
        return self.registration.id

    def register(self, is_wanted: Callable[[], bool]) -> Registration | None:
        """Register as soon as the API answers; None when that is not wanted any more."""
        is_told = False
        while is_wanted():
            try:
                self.registration = self.client.send(calls.register_agent(self._introduction()))
                self._pulse = _client_for_heartbeats(self.registration.heartbeat_seconds)
                self._listening = _impatient_client(WAIT_SECONDS + LONGEST_TIMEOUT)
                return self.registration
            except ApiError as error:
                # A name that is alive on another machine comes free when that machine is gone.
                if not (may_pass(error) or isinstance(error, Conflict) or (error.status or 0) >= 500):
                    raise
                if not is_told:
                    teller.warning("%s The agent waits for it.", error)
                    is_told = True
            time.sleep(RETRY_SECONDS)
        return None

    def _introduction(self) -> dict[str, Any]:
        options = self.options
        body = {
            "name": self.name,
            "incarnation": self.incarnation,
            "work_queues": list(options.queues),
            "concurrency": options.concurrency,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("orionflow"),
        }
        return {**body, "work_pool_name": options.pool} if options.pool else body

    def claim(self, limit: int, flow_run_id: UUID | None = None) -> list[Claimed]:
        return self.client.send(calls.claim_runs(self.agent_id, self.incarnation, limit=limit, flow_run_id=flow_run_id))

    def heartbeat(self, runs: list[tuple[UUID, int]], *, draining: bool) -> HeartbeatReply:
        return self._pulse.send(calls.send_heartbeat(self.agent_id, self.incarnation, runs, draining=draining))

    def orders(self, runs: list[tuple[UUID, int]], *, seconds: float) -> Orders:
        return self._listening.send(calls.await_orders(self.agent_id, self.incarnation, runs, seconds=seconds))

    def ended(self, flow_run_id: UUID, epoch: int, **how: Any) -> Any:
        return self.client.send(calls.report_ended(self.agent_id, self.incarnation, flow_run_id, epoch, **how))

    def leave(self) -> None:
        self.client.patience = Patience(budget_seconds=3.0)
        self.client.send(calls.leave(self.agent_id, self.incarnation))


def _client_for_heartbeats(interval: float) -> OrionClient:
    """One that gives a server up soon: the next heartbeat is worth more than the answer to this one."""
    return _impatient_client(min(max(interval, SHORTEST_TIMEOUT), LONGEST_TIMEOUT))


def _impatient_client(seconds: float) -> OrionClient:
    return OrionClient(
        retry_budget_seconds=ONCE, settings=replace(current_settings(), api_read_timeout_seconds=seconds)
    )
