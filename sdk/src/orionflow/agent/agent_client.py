"""The agent's calls to the API, under the identity that it registered with."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

from orionflow.agent.infrastructure import Infrastructure, InfrastructureAway, Survivor
from orionflow.calls import agents as calls
from orionflow.calls.work import WORK_POOLS
from orionflow.client import OrionClient
from orionflow.client.transport import Patience, may_pass
from orionflow.contract.agents import MOST_RUNS, ClaimedRun, HeartbeatReply, Orders, RegisteredAgent
from orionflow.contract.work import WorkPool
from orionflow.errors import ApiError, Conflict, NotFound
from orionflow.logging import agent_logger
from orionflow.settings import current_settings

RETRY_SECONDS = 1.0
# Claims and heartbeats follow each other quickly; a repeated request would only arrive too late.
ONCE = 0.0
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 2.0, 10.0
# Seconds that a request for commands may wait at the server; proxies usually give up after a minute.
WAIT_SECONDS = 25.0
# Share of a lease that is not relied on: clocks drift, and an answer takes time.
MARGIN = 0.1


Answered = TypeVar("Answered")
LauncherKind = Literal["fork", "spawn"]
# System libraries of macOS do not survive a fork.
DEFAULT_LAUNCHER: LauncherKind = "spawn" if sys.platform == "darwin" else "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """The options of `orion agent start`: the queues to serve, and the limits of the runs."""

    home: Path
    queues: tuple[str, ...] = ()
    pool: str | None = None
    concurrency: int = 4
    broker: str | None = None
    name: str | None = None
    drain_seconds: float = 60.0
    # Seconds that a process that was asked to end may take before it is killed.
    stop_seconds: float = 30.0
    run_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    launcher: LauncherKind = DEFAULT_LAUNCHER
    once: bool = False
    # End when stdin ends: the program that started this agent has ended.
    follows_stdin: bool = False


class AgentClient:
    """The API for one agent, with three clients: heartbeats never queue, and commands can be awaited."""

    def __init__(self, options: AgentOptions, name: str) -> None:
        self.options = options
        self.name = name
        self.session_id = uuid4()
        self.client = OrionClient(retry_budget_seconds=ONCE)
        self._heartbeats = self._commands = self._claims = self.client
        self.registration: RegisteredAgent | None = None

    @property
    def agent_id(self) -> UUID:
        assert self.registration is not None
        return self.registration.id

    def read_pool(self, is_wanted: Callable[[], bool]) -> WorkPool | None:
        """Return the pool that the agent serves; None for the default or a missing one, or if the agent is to end."""
        if self.options.pool is None:
            return None
        try:
            return _as_soon_as_possible(self.pool, is_wanted)
        except NotFound:
            return None

    def pool(self) -> WorkPool:
        """Return the pool by which the agent is named, with its current job template."""
        assert self.options.pool is not None
        return self.client.send(WORK_POOLS.read(self.options.pool))

    def register(
        self, is_wanted: Callable[[], bool], survivors: Sequence[Survivor] = ()
    ) -> RegisteredAgent | None:  # fmt: skip
        """Register as soon as the API answers; return None if the agent is to end before."""
        held = [{"id": str(one.flow_run_id), "epoch": one.epoch} for one in survivors]
        call = calls.register_agent(**self._introduction(), survivors=held)
        self.registration = _as_soon_as_possible(lambda: self.client.send(call), is_wanted)
        if self.registration is not None:
            self._heartbeats = _client_for_heartbeats(self.registration.heartbeat_seconds)
            self._commands = _client_with_timeout(WAIT_SECONDS + LONGEST_TIMEOUT)
            # An answer that comes later is of no use: the runs may have been given to another agent.
            lasts = self.registration.lease_seconds * (1 - MARGIN)
            if lasts < current_settings().api_read_timeout_seconds:
                self._claims = _client_with_timeout(lasts)
        return self.registration

    def _introduction(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "incarnation": self.session_id,
            "work_pool_name": self.options.pool or None,
            "work_queues": list(self.options.queues),
            "concurrency": self.options.concurrency,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("orionflow"),
        }

    def claim(self, limit: int, flow_run_id: UUID | None = None) -> list[ClaimedRun]:
        return self._claims.send(calls.claim_runs(self.agent_id, self.session_id, limit=limit, flow_run_id=flow_run_id))

    def heartbeats(
        self, runs: list[tuple[UUID, int]], *, draining: bool
    ) -> Iterator[tuple[set[UUID], HeartbeatReply]]:  # fmt: skip
        """Send as many heartbeats as it takes for these runs, at least one. Yield the runs of each, and its answer.

        So the orders of an answer can be followed even if a later heartbeat fails.
        """
        for start in range(0, max(len(runs), 1), MOST_RUNS):
            part = runs[start : start + MOST_RUNS]
            call = calls.send_heartbeat(self.agent_id, self.session_id, part, draining=draining)
            yield {run for run, _ in part}, self._heartbeats.send(call)

    def await_commands(self, runs: list[tuple[UUID, int]], *, seconds: float) -> Orders:
        # Heartbeats bring the orders for the others.
        some = runs[:MOST_RUNS]
        return self._commands.send(calls.await_orders(self.agent_id, self.session_id, some, seconds=seconds))

    def ended(self, flow_run_id: UUID, epoch: int, **how: Any) -> Any:
        return self.client.send(calls.report_ended(self.agent_id, self.session_id, flow_run_id, epoch, **how))

    def leave(self) -> None:
        self.client.patience = Patience(budget_seconds=3.0)
        self.client.send(calls.leave(self.agent_id, self.session_id))


def _as_soon_as_possible(ask: Callable[[], Answered], is_wanted: Callable[[], bool]) -> Answered | None:
    """Ask until the API or the infrastructure answers; return None if the agent is to end before."""
    is_logged = False
    while is_wanted():
        try:
            return ask()
        except InfrastructureAway as error:
            reason: Exception = error
        except ApiError as error:
            # A name in use on another machine becomes free when that machine is gone.
            if not (may_pass(error) or isinstance(error, Conflict) or (error.status or 0) >= 500):
                raise
            reason = error
        if not is_logged:
            agent_logger.warning("%s The agent waits for it.", reason)
            is_logged = True
        time.sleep(RETRY_SECONDS)
    return None


def find_survivors(infrastructure: Infrastructure, is_wanted: Callable[[], bool]) -> Sequence[Survivor]:
    """Return attempts of an earlier start that still run; the API would revoke them if the agent did not list them."""
    return _as_soon_as_possible(infrastructure.survivors, is_wanted) or ()


def _client_for_heartbeats(interval: float) -> OrionClient:
    """Return a client with a short timeout: sending the next heartbeat is better than waiting for this answer."""
    return _client_with_timeout(min(max(interval, SHORTEST_TIMEOUT), LONGEST_TIMEOUT))


def _client_with_timeout(seconds: float) -> OrionClient:
    return OrionClient(
        retry_budget_seconds=ONCE, settings=replace(current_settings(), api_read_timeout_seconds=seconds)
    )
