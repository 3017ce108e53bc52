"""The common part of containers and Jobs as infrastructure: they are started, watched and ended by requests.

Requests may hang, so no caller waits for one: each attempt starts in a thread of its own, signals wait in a queue, and
one thread follows the existing objects. The thread that sees an end first reports it, and the others ignore it.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orionflow.agent.containers.back_off import BackOff
from orionflow.agent.containers.orders import name_of
from orionflow.agent.containers.templates import NotStarted
from orionflow.agent.infrastructure import End, Survivor
from orionflow.contract.agents import MOST_RUNS
from orionflow.logging import agent_logger

Judged = TypeVar("Judged")
Report = dict[str, Any]
OnStarted = Callable[[str, int], None]
OnReport = Callable[[str, Report], None]
OnEnded = Callable[[End], None]
ENDING = frozenset({signal.SIGTERM, signal.SIGKILL})
# Seconds after a kill, after which the machine of the attempt is considered dead.
GIVEN_UP_SECONDS = 120.0
USUAL_START_SECONDS = 600.0


@dataclass(eq=False, slots=True)
class Held:
    """An attempt of this agent, from its order to its end."""

    key: str
    name: str
    # Whether the container exists, and can be signalled.
    is_made: bool = False
    is_running: bool = False
    start_by: float = float("inf")
    start_seconds: float = 0.0
    # Why it does not run yet.
    waits: str | None = None
    # The last signal that was sent to end it.
    ending: int | None = None
    killed_at: float | None = None
    status: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Remote(ABC):
    """An infrastructure whose attempts outlive the agent."""

    outlives_agent = True
    can_stand_still = False
    #: Whether all attempts that an earlier start left have started running.
    survivors_run = False

    def __init__(self, on_started: OnStarted, on_report: OnReport, on_ended: OnEnded) -> None:
        self._on_started, self._on_report, self._on_ended = on_started, on_report, on_ended
        # Protects the runs and what is unseen; events, starts and ticks come from different threads.
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._found: Sequence[Survivor] = ()
        self._over = threading.Event()
        self._reachable = threading.Event()
        # The kinds of objects that cannot be watched now; no run is claimed while there are any.
        self._unseen: set[str] = set()
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    # --- the promises of an infrastructure ---

    def is_ready(self, patience: float) -> bool:
        return self._reachable.wait(patience)

    def survivors(self) -> Sequence[Survivor]:
        found = sorted(self._look_for_survivors(), key=lambda one: (one.stays, one.age))
        # Many may have ended, and the newest of them are the most likely to be unreported.
        self._found = found[:MOST_RUNS]
        return self._found

    def adopt(self, keys: Collection[str]) -> None:
        for one in self._found:
            if one.key in keys:
                self._held[one.key] = self._adopted(one.key)
            elif not one.stays:
                self._later(lambda key=one.key: self._remove(name_of(key)))  # type: ignore[misc]
        self._found = ()
        self._thread(self._run_errands, "errands")
        self._thread(self._tick, "ticks")
        followers = self._followers()
        self._unseen.update(followers)
        for kind, follow in followers.items():
            self._thread(lambda kind=kind, follow=follow: self._watch(kind, follow), kind)  # type: ignore[misc]

    def _adopted(self, key: str) -> Held:
        """Hold a survivor. If it may still be waiting to start, it gets the usual time for that again."""
        start_by = time.monotonic() + USUAL_START_SECONDS
        return Held(
            key, name_of(key), is_made=True, is_running=self.survivors_run, start_by=start_by,
            start_seconds=USUAL_START_SECONDS,
        )  # fmt: skip

    def start(self, key: str, order: Mapping[str, Any]) -> None:
        held = Held(key, name_of(key))
        with self._lock:
            self._held[key] = held
        self._thread(lambda: self._begin(held, order), "start")

    def signal(self, key: str, number: int) -> None:
        held = self._held.get(key)
        if held is None:
            return
        if number in ENDING:
            # Before it is asked whether the container exists: a start in another thread looks at it afterwards.
            held.ending = number
            if number == signal.SIGKILL:
                held.killed_at = held.killed_at or time.monotonic()
        if held.is_made:
            self._later(lambda: self._send(held, number))

    def close(self) -> None:
        self._over.set()

    # --- what an engine or a cluster does for it ---

    @abstractmethod
    def _look_for_survivors(self) -> Sequence[Survivor]:
        """Return the attempts of an earlier start; remove those that never started. Raise InfrastructureAway."""

    @abstractmethod
    def _launch(self, held: Held, order: Mapping[str, Any]) -> None:
        """Create the attempt's container and start it. Raise NotStarted."""

    @abstractmethod
    def _send(self, held: Held, number: int) -> None:
        """Send a signal to the attempt."""

    @abstractmethod
    def _remove(self, name: str) -> None:
        """Remove the container with everything that belongs to it, even if it is running."""

    @abstractmethod
    def _followers(self) -> Mapping[str, Callable[[], None]]:
        """Return by kind a function that lists all objects of that kind, then follows them until a new list is needed.

        Each is called repeatedly in a thread of its own, calls `_sees` after each answer, and raises the errors of its
        client.
        """

    @abstractmethod
    def _pause_after(self, error: Exception) -> float | None:
        """Return the shortest pause in seconds after this error; None if the error is our own fault."""

    # --- ends ---

    def _end(
        self, held: Held, status: int | None, cause: str | None = None, *, fault: bool = False,
        report: Report | None = None,
    ) -> None:  # fmt: skip
        """Report the end of an attempt, once."""
        with self._lock:
            if self._held.pop(held.key, None) is None:
                return
        if report:
            self._on_report(held.key, report)
        self._on_ended(End(held.key, status, cause, fault))

    def _judged(self, held: Held, judge: Callable[[], Judged]) -> Judged | None:
        """Judge the state of an attempt. If the state cannot be read the attempt ends; others are not affected."""
        try:
            return judge()
        except Exception as error:
            agent_logger.exception("What %s came to cannot be read.", held.name)
            self._end(held, None, f"What became of its container cannot be read. {type(error).__name__}: {error}")
            self._later(lambda: self._remove(held.name))
            return None

    def _all_held(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def _still_wanted(self, held: Held) -> bool:
        """Whether an attempt is still to start: if not, it has ended with this call at the latest."""
        if held.key in self._held and held.ending is None:
            return True
        self._end(held, -(held.ending or signal.SIGTERM), "It had not begun")
        return False

    # --- threads ---

    def _thread(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=f"orion-containers-{name}", daemon=True).start()

    def _begin(self, held: Held, order: Mapping[str, Any]) -> None:
        try:
            self._launch(held, order)
        except NotStarted as error:
            self._end(held, None, str(error), fault=error.is_agents_fault)
        except Exception as error:
            # The agent must survive whatever a run asks for.
            agent_logger.exception("%s could not be started.", held.name)
            self._end(held, None, f"Its container could not be started. {type(error).__name__}: {error}", fault=True)
            self._later(lambda: self._remove(held.name))
        else:
            if held.key not in self._held:
                self._later(lambda: self._remove(held.name))
            elif held.ending is not None:
                self._later(lambda: self._send(held, held.ending or signal.SIGTERM))

    def _after(self, seconds: float, errand: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, errand)
        timer.daemon = True
        timer.start()

    def _later(self, errand: Callable[[], None]) -> None:
        self._errands.put(errand)

    def _run_errands(self) -> None:
        while True:
            errand = self._errands.get()
            try:
                errand()
            except Exception as error:
                # Signals are repeated, and containers that were not removed are found by the agent's next start.
                agent_logger.warning("A request about a container came to nothing: %s", error)

    def _watch(self, kind: str, follow: Callable[[], None]) -> None:
        back_off = BackOff()
        while not self._over.is_set():
            try:
                follow()
                back_off.succeed()
            except Exception as error:
                self._misses(kind, error)
                back_off.wait(self._over, self._pause_after(error) or 0.0)

    def _sees(self, kind: str) -> None:
        with self._lock:
            was_away = kind in self._unseen
            self._unseen.discard(kind)
            if not self._unseen:
                self._reachable.set()
        if was_away:
            agent_logger.info("The status of %s can be read again.", kind)

    def _misses(self, kind: str, error: Exception) -> None:
        with self._lock:
            is_new = kind not in self._unseen or self._reachable.is_set()
            self._unseen.add(kind)
            self._reachable.clear()
        if self._pause_after(error) is None:
            agent_logger.error("The status of %s cannot be read.", kind, exc_info=error)
        elif is_new:
            agent_logger.warning("The status of %s cannot be read now; those that run are left alone. %s", kind, error)

    def _tick(self) -> None:
        """Handle what no event reports: starts that take too long, and machines that do not answer."""
        while not self._over.wait(0.5):
            now = time.monotonic()
            for held in self._all_held():
                # A container that was created and cannot be seen may already be running.
                is_seen = not held.is_made or self._reachable.is_set()
                if not held.is_running and now > held.start_by and is_seen:
                    reason = f" {held.waits}" if held.waits else ""
                    self._end(held, None, f"It did not start within {held.start_seconds:g} s.{reason}")
                    self._later(lambda name=held.name: self._remove(name))  # type: ignore[misc]
                elif held.ending and not held.is_made:
                    # The starting thread finds that the attempt has ended, and stops.
                    self._end(held, -held.ending, "It had not begun")
                elif held.killed_at is not None and now > held.killed_at + GIVEN_UP_SECONDS:
                    self._end(held, -signal.SIGKILL, "It was killed, and its machine does not answer")
                    self._later(lambda name=held.name: self._remove(name))  # type: ignore[misc]
