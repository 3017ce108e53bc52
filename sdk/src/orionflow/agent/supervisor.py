"""The agent as a whole: registered, fed, looked after, and drained when it is told to end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from orionflow.agent.claiming import Beginnings, Claims
from orionflow.agent.contact import Contact
from orionflow.agent.endings import Endings
from orionflow.agent.heartbeats import Heartbeats
from orionflow.agent.held import HeldRuns, Stop
from orionflow.agent.hints import Hints
from orionflow.agent.launching import End, Launcher
from orionflow.agent.listening import Listening
from orionflow.agent.naming import HeldName
from orionflow.agent.options import AgentOptions
from orionflow.agent.places import Places
from orionflow.agent.replays import Replays
from orionflow.agent.stopping import Stopping
from orionflow.agent.telling import teller
from orionflow.calls.agents import Registration
from orionflow.errors import ApiError

LOOK_SECONDS = 0.2
# After the last process ended, its end has to be reported.
REPORT_SECONDS = 10.0
# A process that reported its end has this long to leave.
LINGER_SECONDS = 30.0
AFTER_KILL_SECONDS = 5.0


class Supervisor:
    """One agent, from its registration to its leave."""

    def __init__(self, options: AgentOptions, name: HeldName, on_registered: Callable[[], None] = lambda: None) -> None:
        self._on_registered = on_registered
        self.options = options
        self._name = name
        self._contact = Contact(options, name.name)
        self._held = HeldRuns()
        self._places = Places(options.concurrency)
        self._launcher = Launcher(self._started, self._told, self._ended)
        self._stopping = Stopping(self._held, self._launcher, options.stop_seconds)
        self._endings = Endings(self._contact, self._held, name.folder)
        self._wanted_end = 0
        self._is_orphaned = False
        self._disowned: str | None = None
        self._hints: Hints | None = None
        self._claims: Claims | None = None

    def run(self) -> int:
        """Work until a signal comes, or nothing is left to do; the exit code."""
        with self._signals():
            registration = self._contact.register(lambda: not self._wanted_end)
            if registration is None:
                return 0
            self._on_registered()
            self._tell_beginning(registration)
            heartbeats = Heartbeats(self._contact, self._held, self._stopping, self._disown)
            heartbeats.start()
            listening = Listening(self._contact, self._held, heartbeats)
            listening.start()
            Replays(self._contact.client).start()
            self._feed(registration, heartbeats)
            self._work()
            heartbeats.draining = True
            self._drain()
            heartbeats.end()
            listening.end()
            return self._leave()

    def _tell_beginning(self, registration: Registration) -> None:
        queues = ", ".join(self.options.queues) or "every queue of its pool"
        hints = "hints from the broker" if self.options.broker else "without a broker, so it asks every second"
        teller.info(
            "Agent %r serves %s at %s with %d places; %s.",
            self._name.name, queues, self._contact.client.api_url, self.options.concurrency, hints,
        )  # fmt: skip

    def _feed(self, registration: Registration, heartbeats: Heartbeats) -> None:
        beginnings = Beginnings(self.options, self._contact, self._held, self._launcher, self._name.folder, self._ended)
        self._claims = Claims(self._contact, self._held, self._places, beginnings, self.options.once)
        self._claims.start()
        if self.options.broker:
            queues = [queue.hint_queue for queue in registration.work_queues]
            self._hints = Hints(self.options.broker, queues, self.options.concurrency, self._claims.offer)
            beginnings.on_queue = heartbeats.on_queue = self._hints.listen_to
            self._hints.start()

    def _work(self) -> None:
        assert self._claims is not None
        while not self._wanted_end and self._disowned is None:
            time.sleep(LOOK_SECONDS)
            self._stopping.look()
            if self._claims.is_idle and not self._held:
                return

    def _drain(self) -> None:
        """Take nothing more, let runs finish for a while, then tell them to end, then kill them."""
        assert self._claims is not None
        self._places.close()
        self._claims.wake()
        if self._hints is not None:
            self._hints.end()
        running = sum(run.has_process for run in self._held)
        patience = 0.0 if self._disowned else self.options.drain_seconds
        if running and not self._disowned:
            then = "it is told to end, and killed" if running == 1 else "they are told to end, and killed"
            teller.info(
                "The agent ends; %s up to %g s, then %s %g s later. Ctrl-C once more ends it now.",
                _who_has(running), patience, then, self.options.stop_seconds,
            )  # fmt: skip
        self._wait_for_processes(patience)
        for run in self._held:
            self._stopping.stop(run, Stop.LOST if self._disowned else Stop.DRAINED)
        self._wait_for_processes(self.options.stop_seconds + AFTER_KILL_SECONDS)
        self._stopping.kill_all()
        self._wait_until(lambda: not any(run.has_process for run in self._held), AFTER_KILL_SECONDS)
        self._wait_until(lambda: not self._held, REPORT_SECONDS)

    def _wait_for_processes(self, seconds: float) -> None:
        self._wait_until(lambda: self._wanted_end > 1 or not any(run.has_process for run in self._held), seconds)

    def _wait_until(self, is_so: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_so() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS / 4)
            self._stopping.look()

    def _leave(self) -> int:
        self._launcher.close()
        if self._disowned is not None:
            teller.error("The agent ends, as the API does not know it any more. %s", self._disowned)
            return 1
        if self._is_orphaned:
            return 0
        try:
            self._contact.leave()
        except ApiError as error:
            teller.warning("The agent could not take its leave, so its leases run out by themselves. %s", error)
        teller.info("Agent %r has left.", self._name.name)
        return 0

    # What the launcher tells, in its thread

    def _started(self, key: str, pid: int) -> None:
        if (run := self._held.get(key)) is not None:
            run.pid = pid

    def _told(self, key: str, told: dict[str, object]) -> None:
        run = self._held.get(key)
        if run is None:
            return
        if "is_tried_again" in told:
            run.is_tried_again = True
            return
        run.told = told
        run.ends_by = time.monotonic() + LINGER_SECONDS

    def _ended(self, end: End) -> None:
        run = self._held.get(end.key)
        if run is None:
            return
        self._endings.take(run, end)
        self._places.give_back()
        if self._claims is not None:
            self._claims.wake()

    # What others want

    def _disown(self, why: str) -> None:
        self._disowned = self._disowned or why

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if self.options.follows_stdin:
            threading.Thread(target=self._follow, name="orion-follow", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        try:
            yield
        finally:
            # All is done: one more signal must not turn that into another exit code.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._wanted_end += 1

    def _follow(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        # Whoever started this agent is gone, and with it the API.
        self._is_orphaned = True
        self._wanted_end += 2


def _who_has(runs: int) -> str:
    return "its run has" if runs == 1 else f"its {runs} runs have"
