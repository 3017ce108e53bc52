"""The agent as a whole: it registers, claims runs, watches them, and drains when it is asked to end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from types import FrameType

from orionflow.agent.active_runs import ActiveRuns, Stop
from orionflow.agent.agent_client import AgentClient, AgentOptions, find_survivors
from orionflow.agent.claiming import Claims, RunStarter, Slots
from orionflow.agent.exit_reports import ExitReporter
from orionflow.agent.heartbeats import CommandListener, Heartbeats
from orionflow.agent.hints import Hints
from orionflow.agent.infrastructure import End, Infrastructure, Survivor
from orionflow.agent.launching import Launcher
from orionflow.agent.naming import HeldName
from orionflow.agent.stopping import Stopping
from orionflow.client import OrionClient
from orionflow.contract.agents import RegisteredAgent
from orionflow.errors import ApiError
from orionflow.json_lines import always
from orionflow.logging import agent_logger
from orionflow.reporting import replay_leftovers

logger = logging.getLogger("orionflow.reporting")

LOOK_SECONDS = 0.2
REPLAY_SECONDS = 10.0
# Seconds in which the end of the last process can be reported.
REPORT_SECONDS = 10.0
# Seconds in which a process that reported its end has to exit.
LINGER_SECONDS = 30.0
AFTER_KILL_SECONDS = 5.0
# Types of pools whose runs execute in containers; those of all others execute in processes.
CONTAINER_POOLS = frozenset({"docker", "kubernetes"})


class Supervisor:
    """One agent, from its registration until it leaves."""

    def __init__(self, options: AgentOptions, name: HeldName, on_registered: Callable[[], None] = lambda: None) -> None:
        self._on_registered = on_registered
        self.options = options
        self._name = name
        always["agent"] = name.name
        self._api = AgentClient(options, name.name)
        self._active = ActiveRuns()
        self._slots = Slots(options.concurrency)
        self._wanted_end = 0
        self._is_orphaned = False
        self._deregistered: str | None = None
        self._hints: Hints | None = None
        self._claims: Claims | None = None

    def run(self) -> int:
        """Work until a signal arrives, or nothing is left to do; return the exit code."""
        with self._signals():
            self._choose_infrastructure()
            survivors = find_survivors(self._infrastructure, self._is_wanted)
            # Before the request: a lease must never seem to last longer here than at the API.
            asked_at = time.monotonic()
            registration = self._api.register(self._is_wanted, survivors)
            if registration is None:
                return 0
            self._on_registered()
            self._log_start(registration)
            heartbeats = Heartbeats(self._api, self._active, self._stopping, self._deregister)
            heartbeats.start()
            listening = CommandListener(self._api, self._active, heartbeats)
            listening.start()
            LeftoverSender(self._api.client).start()
            self._feed(registration, survivors, asked_at, heartbeats)
            self._work()
            heartbeats.draining = True
            self._drain()
            # Only now, because until their ends are reported, the leases have to be renewed.
            heartbeats.end()
            listening.end()
            return self._leave()

    def _is_wanted(self) -> bool:
        return not self._wanted_end

    def _choose_infrastructure(self) -> None:
        """Choose the infrastructure by the type of the pool."""
        pool = self._api.read_pool(self._is_wanted)
        callbacks = (self._started, self._reported, self._ended)
        if pool is not None and pool.type in CONTAINER_POOLS:
            from orionflow.agent.containers import infrastructure_of

            self._infrastructure: Infrastructure = infrastructure_of(pool, self._api, *callbacks)
        else:
            self._infrastructure = Launcher(*callbacks)
        self._stopping = Stopping(self._active, self._infrastructure, self.options.stop_seconds)
        self._exit_reporter = ExitReporter(self._api, self._active, self._infrastructure, self._name.folder)

    def _log_start(self, registration: RegisteredAgent) -> None:
        queues = ", ".join(self.options.queues) or "every queue of its pool"
        hints = "hints from the broker" if self.options.broker else "without a broker, so it asks every second"
        agent_logger.info(
            "Agent %r serves %s at %s with %d slots; %s.",
            self._name.name, queues, self._api.client.api_url, self.options.concurrency, hints,
        )  # fmt: skip

    def _feed(
        self, registration: RegisteredAgent, survivors: Sequence[Survivor], asked_at: float, heartbeats: Heartbeats
    ) -> None:  # fmt: skip
        starter = RunStarter(
            self.options, self._api, self._active, self._infrastructure, self._name.folder, self._ended
        )  # fmt: skip
        # Before claims start, which take what the adopted runs leave.
        self._slots.hold(len(registration.adopted))
        starter.adopt({f"{one.flow_run.id}:{one.epoch}": one for one in registration.adopted}, survivors, asked_at)
        self._claims = Claims(self._api, self._active, self._slots, starter, self.options.once)
        self._claims.start()
        if self.options.broker:
            queues = [queue.hint_queue for queue in registration.work_queues]
            self._hints = Hints(self.options.broker, queues, self.options.concurrency, self._claims.offer)
            starter.on_queue = heartbeats.on_queue = self._hints.listen_to
            self._hints.start()

    def _work(self) -> None:
        assert self._claims is not None
        while not self._wanted_end and self._deregistered is None:
            time.sleep(LOOK_SECONDS)
            self._stopping.look()
            if self._claims.is_idle and not self._active:
                return

    def _drain(self) -> None:
        """Claim no more runs, let the current ones finish for a while, then ask them to end, then kill them."""
        assert self._claims is not None
        self._slots.close()
        self._claims.wake()
        if self._hints is not None:
            self._hints.end()
        running = sum(run.has_process for run in self._active)
        patience = 0.0 if self._deregistered else self.options.drain_seconds
        if running and self._infrastructure.outlives_agent:
            agent_logger.info("The agent ends; it waits up to %g s for what it has started.", patience)
        elif running and not self._deregistered:
            then = "it is asked to end, and killed" if running == 1 else "they are asked to end, and killed"
            agent_logger.info(
                "The agent ends; %s up to %g s, then %s %g s later. Ctrl-C once more ends it now.",
                _who_has(running), patience, then, self.options.stop_seconds,
            )  # fmt: skip
        self._wait_for_processes(patience)
        if self._infrastructure.outlives_agent:
            # Also if this agent was replaced: its next start has adopted the remaining attempts.
            self._wait_until(lambda: self._are_left_alone, REPORT_SECONDS)
            return
        for run in self._active:
            self._stopping.stop(run, Stop.LOST if self._deregistered else Stop.DRAINED)
        self._wait_for_processes(self.options.stop_seconds + AFTER_KILL_SECONDS)
        self._stopping.kill_all()
        self._wait_until(lambda: not any(run.has_process for run in self._active), AFTER_KILL_SECONDS)
        self._wait_until(lambda: not self._active, REPORT_SECONDS)

    def _wait_for_processes(self, seconds: float) -> None:
        self._wait_until(lambda: self._wanted_end > 1 or not any(run.has_process for run in self._active), seconds)

    def _wait_until(self, is_so: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_so() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS / 4)
            self._stopping.look()

    @property
    def _are_left_alone(self) -> bool:
        """Whether all remaining attempts continue without the agent, and no end is still unreported."""
        return all(run.has_process for run in self._active)

    def _leave(self) -> int:
        self._infrastructure.close()
        if self._deregistered is not None:
            agent_logger.error("The agent ends, as the API does not know it any more. %s", self._deregistered)
            return 1
        if self._is_orphaned:
            return 0
        if any(run.has_process for run in self._active):
            # An agent that leaves gives up its leases.
            agent_logger.info(
                "Agent %r ends, and %s: an agent that starts with this name before the leases end takes over.",
                self._name.name,
                "its container continues" if len(self._active) == 1 else f"its {len(self._active)} containers continue",
            )
            return 0
        try:
            self._api.leave()
        except ApiError as error:
            agent_logger.warning("The agent could not take its leave, so its leases run out by themselves. %s", error)
        agent_logger.info("Agent %r has left.", self._name.name)
        return 0

    # Called by the infrastructure, in its threads

    def _started(self, key: str, pid: int) -> None:
        if (run := self._active.get(key)) is not None:
            run.pid = pid

    def _reported(self, key: str, report: dict[str, object]) -> None:
        run = self._active.get(key)
        if run is None:
            return
        if "is_tried_again" in report:
            run.is_tried_again = True
            return
        run.report = report
        run.ends_by = time.monotonic() + LINGER_SECONDS

    def _ended(self, end: End) -> None:
        run = self._active.get(end.key)
        if run is None:
            return
        self._exit_reporter.take(run, end)
        self._slots.give_back()
        if self._claims is not None:
            self._claims.wake()

    # Deregistration and signals

    def _deregister(self, why: str) -> None:
        self._deregistered = self._deregistered or why

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if self.options.follows_stdin:
            threading.Thread(target=self._end_with_stdin, name="orion-follow", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        try:
            yield
        finally:
            # Everything is done: another signal must not change the exit code.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)

    def _end(self, number: int, frame: FrameType | None) -> None:
        # Only a number: a handler may interrupt its own thread while that holds any lock.
        self._wanted_end += 1

    def _end_with_stdin(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        # The program that started this agent has ended, and with it the API.
        self._is_orphaned = True
        self._wanted_end += 2


class LeftoverSender:
    """Delivers reports that ended processes left in the spool, in a thread that ends with the process."""

    def __init__(self, client: OrionClient) -> None:
        self._client = copy(client)
        self._thread = threading.Thread(target=self._run, name="orion-replays", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                replay_leftovers(self._client)
            except Exception:
                logger.exception("Reports of programs that ended could not be sent now")
            time.sleep(REPLAY_SECONDS)


def _who_has(runs: int) -> str:
    return "its run has" if runs == 1 else f"its {runs} runs have"
