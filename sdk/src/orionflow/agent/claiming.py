"""Fills free slots with the run that a hint names, or with the runs that are due next, and starts their processes."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.agent.active_runs import ActiveRun, ActiveRuns, Limit, Stop
from orionflow.agent.agent_client import AgentClient, AgentOptions
from orionflow.agent.heartbeats import trusted_until
from orionflow.agent.infrastructure import End, Infrastructure, Survivor
from orionflow.agent.launching import LauncherGone, without_key
from orionflow.agent.outage_log import OutageLog
from orionflow.contract.agents import MOST_RUNS, ClaimedRun, hint_queue
from orionflow.errors import ApiError
from orionflow.logging import agent_logger
from orionflow.settings import current_settings

# Used without a broker.
SHORT_POLL_SECONDS = 1.0
READY_SECONDS = 1.0
# Characters. A larger run is not sent with the order, but read by its process.
LARGEST_ORDERED = 100_000


class Slots:
    """Counts free slots, which any thread may take and give back."""

    def __init__(self, total: int) -> None:
        self.total = total
        # Below zero while more runs were adopted than there are slots.
        self._free = total
        self._closed = False
        self._changed = threading.Condition()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def take_all(self) -> int:
        """Take all slots that are free now, and return their number."""
        with self._changed:
            if self._closed or self._free <= 0:
                return 0
            taken, self._free = self._free, 0
            return taken

    def hold(self, count: int) -> None:
        """Take slots for runs that already execute, even more than there are."""
        with self._changed:
            self._free -= count

    def take_one(self, patience: float | None = None) -> bool:
        """Wait for a slot; return False if none was free in time, or if the agent takes no more runs."""
        until = None if patience is None else time.monotonic() + patience
        with self._changed:
            while self._free <= 0 and not self._closed:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            if self._closed:
                return False
            self._free -= 1
            return True

    def give_back(self, count: int = 1) -> None:
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def close(self) -> None:
        """Give out no more slots, and end all waits for one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Claims:
    """Claims runs in two ways: `offer` for hints, and a thread that asks when a run ended and every few seconds."""

    def __init__(self, api: AgentClient, active: ActiveRuns, slots: Slots, starter: RunStarter, once: bool) -> None:
        self._api, self._active, self._slots, self._once = api, active, slots, once
        self._starter = starter
        registration = api.registration
        assert registration is not None
        polled = registration.poll_seconds
        self._poll_seconds = polled if api.options.broker else min(polled, SHORT_POLL_SECONDS)
        self._wake = threading.Event()
        self._nothing_due_at = 0.0
        self._is_without_slot = False
        self._outage = OutageLog("The API answers again.")
        self.is_idle = False
        self._thread = threading.Thread(target=self._fill_forever, name="orion-claims", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Wake the claiming thread, because a slot is free or the agent ends."""
        self._wake.set()

    def offer(self, flow_run_id: UUID) -> None:
        """Claim the run that a hint names. Wait while all slots are taken, so that other agents get further hints."""
        if self._active.is_executing(flow_run_id) or not self._starter.are_possible():
            return
        came = time.monotonic()
        if self._slots.take_one(0):
            self._claim(1, flow_run_id)
        elif self._slots.take_one():
            # In the meantime another run may come first; and if no run was due since the hint, this one is not either.
            if self._nothing_due_at > came:
                self._give_back(1)
            else:
                self._claim(1)

    def _fill_forever(self) -> None:
        while not self._slots.is_closed:
            # This waits up to READY_SECONDS, so the loop does not spin while there is no launcher.
            if not self._starter.are_possible():
                continue
            # Before the slots are counted: a hint may give one back a moment later.
            self._is_without_slot = True
            taken = self._slots.take_all()
            self._is_without_slot = not taken
            claimed = self._claim(taken) if taken else 0
            self.is_idle = self._once and taken == self._slots.total and not claimed
            if not taken or claimed < taken:
                self._wake.wait(self._poll_seconds * random.uniform(0.8, 1.2) if taken else None)
                # Before the slots are counted again: a slot is given back before its wake-up, so that none is lost.
                self._wake.clear()

    def _claim(self, taken: int, flow_run_id: UUID | None = None) -> int:
        """Claim runs for slots that were taken, and give back the remaining slots. Return the number of runs."""
        # Before the request, as a run may become due, and its lease begins, while the API answers.
        began = time.monotonic()
        # The API gives out no more runs at once.
        limit = min(taken, MOST_RUNS)
        claimed = self._ask(limit, flow_run_id)
        # An outage, or one run that another agent has, says nothing about what else is due.
        if flow_run_id is None and len(claimed) < limit and not self._outage.is_on:
            self._nothing_due_at = began
        if len(claimed) < taken:
            self._give_back(taken - len(claimed))
        begin = self._starter.give_back if self._slots.is_closed else self._starter.begin
        for one in claimed:
            begin(one, began)
        return len(claimed)

    def _give_back(self, count: int) -> None:
        """Give back slots that no run needed, which the claiming thread may be waiting for."""
        self._slots.give_back(count)
        # Not otherwise, so that each hint in vain does not cost one more request.
        if self._is_without_slot:
            self.wake()

    def _ask(self, limit: int, flow_run_id: UUID | None) -> list[ClaimedRun]:
        try:
            claimed = self._api.claim(limit, flow_run_id)
        except ApiError as error:
            self._outage.failed("Nothing can be claimed now. %s", error)
            return []
        self._outage.succeeded()
        return claimed


class RunStarter:
    """Starts a process for each claimed run."""

    def __init__(
        self, options: AgentOptions, api: AgentClient, active: ActiveRuns, infrastructure: Infrastructure,
        folder: Path, on_ended: Callable[[End], None],
    ) -> None:  # fmt: skip
        self.on_queue: Callable[[str], None] = lambda queue: None
        self._options, self._api, self._active = options, api, active
        self._infrastructure, self._folder, self._on_ended = infrastructure, folder, on_ended

    def are_possible(self) -> bool:
        """Whether runs can be started, as none is claimed otherwise."""
        return self._infrastructure.is_ready(READY_SECONDS)

    def begin(self, claimed: ClaimedRun, asked_at: float) -> None:
        run = self._hold(claimed, asked_at)
        agent_logger.info("%s begins.", run.title)
        try:
            self._start(run)
        except LauncherGone:
            # The order did not arrive: it ends like a process that died with its launcher.
            self._on_ended(End(run.key, None))
        except Exception as error:
            # Invalid job variables, or a full disk. The agent must survive whatever a run asks for.
            why = f"Its process cannot be started. {type(error).__name__}: {error}"
            self._never_began(run, why, is_agents_fault=isinstance(error, OSError))

    def adopt(self, adopted: Mapping[str, ClaimedRun], survivors: Sequence[Survivor], asked_at: float) -> None:
        """Continue the attempts that an earlier start of this agent began, as far as the API left them to this one."""
        for one in survivors:
            if claimed := adopted.get(one.key):
                run = self._hold(claimed, asked_at)
                run.began = time.monotonic() - one.age
                self._limit(run, variables_of(claimed))
                agent_logger.info("%s continues; it was started before this agent was restarted.", run.title)
        self._infrastructure.adopt(adopted.keys())

    def give_back(self, claimed: ClaimedRun, asked_at: float) -> None:
        """Give back a run that was claimed while the agent began to end."""
        run = self._hold(claimed, asked_at)
        run.stopped = Stop.DRAINED
        self._never_began(run, "The agent ended before the run began.")

    def _hold(self, claimed: ClaimedRun, asked_at: float) -> ActiveRun:
        registration = self._api.registration
        assert registration is not None
        run = ActiveRun(claimed, trusted_until(asked_at, registration.lease_seconds))
        self._active.add(run)
        return run

    def _never_began(self, run: ActiveRun, why: str, *, is_agents_fault: bool = False) -> None:
        run.report = {"error": why, "is_agents_fault": is_agents_fault}
        self._on_ended(End(run.key, None))

    def _start(self, run: ActiveRun) -> None:
        variables = variables_of(run.claimed)
        self._limit(run, variables)
        if queue := run.claimed.flow_run.work_queue_id:
            self.on_queue(hint_queue(queue))
        self._infrastructure.start(run.key, self._order(run, variables))

    def _limit(self, run: ActiveRun, variables: Mapping[str, Any]) -> None:
        run.limit = limit_of(variables, self._options.run_seconds)
        run.ends_by = None if run.limit is None else run.began + run.limit.seconds

    def _order(self, run: ActiveRun, variables: Mapping[str, Any]) -> dict[str, Any]:
        # The key has the epoch, so an earlier attempt of the run on this machine had another folder.
        folder = self._folder / run.key.replace(":", "-")
        folder.mkdir(mode=0o700)
        run.note = folder.with_name(f"{folder.name}.why")
        deployment = run.claimed.deployment
        return {
            "flow_run_id": str(run.id),
            "epoch": run.epoch,
            # It names a moment of this machine's monotonic clock, which means nothing in a container elsewhere.
            "claimed": None if self._infrastructure.outlives_agent else as_claimed(run),
            "name": run.claimed.flow_run.name or "",
            "flow_name": run.claimed.flow_name,
            "deployment": deployment.model_dump(mode="json") if deployment else {},
            "api_url": self._api.client.api_url,
            "code_folder": str(folder),
            "note": str(run.note),
            "env": self._environment(variables, run.claimed.run_token),
            "working_dir": variables.get("working_dir"),
            "limit": None
            if run.limit is None
            else {"words": str(run.limit), "ends_at": time.time() + run.limit.seconds},
            "limits": {"memory_bytes": self._options.memory_bytes, "processes": self._options.processes},
            "command": self._command(variables),
        }

    def _environment(self, variables: Mapping[str, Any], token: str | None) -> dict[str, str]:
        wanted = {name: str(value) for name, value in (variables.get("env") or {}).items() if value is not None}
        url = current_settings().api_url or self._api.client.api_url
        if token is None:
            # Including the name and password in the address, if it has them.
            return {**wanted, "ORION_API_URL": url}
        # Job variables may replace the token, but not the address: other APIs do not know the run.
        return {"ORION_API_KEY": token, **wanted, "ORION_API_URL": without_key(url)}

    def _command(self, variables: Mapping[str, Any]) -> list[str] | None:
        """Return the command for another interpreter; None for a fork of the launcher."""
        python = variables.get("python")
        if not python and self._options.launcher == "fork":
            return None
        # -P: otherwise the current folder comes first on sys.path, and a file in it may hide a module of ours.
        return [os.fspath(python or sys.executable), "-P", "-m", "orionflow.agent.child"]


def as_claimed(run: ActiveRun) -> dict[str, Any] | None:
    """Return the run and when it was claimed, which saves its process a request; None for a large run."""
    text = run.claimed.flow_run.model_dump_json()
    return {"at": run.began, "run": text} if len(text) <= LARGEST_ORDERED else None


def variables_of(claimed: ClaimedRun) -> dict[str, Any]:
    """Return the job variables of a run; the server has merged its own into those of its deployment."""
    return claimed.deployment.job_variables if claimed.deployment else claimed.flow_run.job_variables


def limit_of(variables: Mapping[str, Any], general: float | None) -> Limit | None:
    """Return the time limit of the process, from its job variables or else from the agent's options."""
    if special := variables.get("timeout_seconds"):
        return Limit(float(special), "timeout_seconds in its job variables")
    return None if general is None else Limit(general, "--run-timeout of its agent")
