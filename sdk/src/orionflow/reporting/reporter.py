"""The reporter: accepts transitions and log lines from any thread, and returns at once. The sender delivers them."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.errors import ApiError, ApiUnreachable
from orionflow.reporting.backlog import KeptCall
from orionflow.reporting.items import Answer, LogLine, Transition, encode_transition
from orionflow.reporting.sender import Sender
from orionflow.settings import Settings, current_settings

if TYPE_CHECKING:
    from orionflow.contract.kinds import RunCommand

# Seconds.
UNTIL_PASSED_ON = 1.0


class Reporter:
    """Reports the steps of runs without making them wait. One for each process and API; see `get_reporter`."""

    def __init__(self, client: OrionClient | None = None, *, settings: Settings | None = None) -> None:
        self.settings = settings or current_settings()
        self.client = client or OrionClient(settings=self.settings)
        self._sender = Sender(self.client, self.settings)

    def stream(self, item: Transition) -> None:
        """Report a step whose answer cannot change the next one.

        The call only waits while more than `reporting_queue_size` steps are undelivered.
        """
        sender, waiting = self._sender, encode_transition(item)
        with sender.lock:
            if sender.backlog.is_full:
                sender.make_room_locked()
            sender.add_locked(waiting)

    def ask(self, item: Transition) -> Future[Answer]:
        """Report a step and return a future of the verdict; everything queued before it is delivered first."""
        sender, waiting = self._sender, encode_transition(item)
        with sender.lock:
            number = sender.add_locked(waiting, alone=True)
            sender.hurry_locked(number)
            answer = sender.ledger.expect(number)
        # Nothing may be reported until the answer is there.
        sender.send_without_thread(answer.done)
        return answer

    def keep(self, call: Call[Any], flow_run_id: UUID | None = None) -> None:
        """Send a call after everything reported before it: the final state of a run while the API is away.

        Like transitions, it outlives this process in the spool. Its answer is not kept.
        """
        with self._sender.lock:
            self._sender.add_locked(KeptCall(flow_run_id, call))

    def keep_and_ask(self, call: Call[Any], flow_run_id: UUID, seconds: float) -> Answer:
        """Keep the proposal of a flow run's state, and wait for the verdict: this process may be killed meanwhile.

        Raise ApiUnreachable if there is none after these seconds. The call stays kept.
        """
        sender = self._sender
        with sender.lock:
            number = sender.add_locked(KeptCall(flow_run_id, call), alone=True)
            answer = sender.ledger.expect(number)
        self.drain(flow_run_id, seconds)
        try:
            # The sender settles a call first, and passes its verdict on a moment later.
            return answer.result(timeout=UNTIL_PASSED_ON)
        except TimeoutError:
            raise ApiUnreachable("The verdict of the API was not passed on in time.") from None

    def log(self, line: LogLine) -> None:
        """Report a log line without ever waiting: excess lines are dropped, counted and reported as a gap."""
        with self._sender.lock:
            self._sender.add_log_locked(line)

    def drain(self, flow_run_id: UUID | None = None, timeout: float | None = None) -> None:
        """Wait until everything queued so far, for one flow run or for all, is acknowledged, including log lines.

        Raise ApiUnreachable if the API is away for longer than the reporting budget, or than `timeout`.
        """
        sender = self._sender
        with sender.lock:
            goal = sender.backlog.added if flow_run_id is None else sender.ledger.last_of(flow_run_id)
            logs_goal = sender.logs.added
            if sender.is_settled(goal, logs_goal):
                return
            sender.hurry_locked(goal, logs_goal)
        deadline = None if timeout is None else time.monotonic() + timeout
        sender.send_without_thread(lambda: sender.has_given_up or sender.is_settled(goal, logs_goal), deadline)
        if timeout is None:
            # An answer may take longer than a timeout.
            sender.help(goal, logs_goal)
        sender.wait_until_settled(goal, logs_goal, timeout, deadline)

    def command(self, flow_run_id: UUID) -> RunCommand | None:
        """Return the API's command to a flow run, or None."""
        return self._sender.delivery.commands.get(flow_run_id)

    def refused(self, flow_run_id: UUID | None) -> list[Answer]:
        """Return the answers to streamed steps of a flow run that the rules did not accept."""
        return self._sender.ledger.refused(flow_run_id)

    def acknowledge_command(self, flow_run_id: UUID) -> None:
        """Forget the API's command after it was followed, and the steps that were refused because of it."""
        with self._sender.lock:
            self._sender.delivery.commands.pop(flow_run_id, None)
            self._sender.ledger.forget_refusals(flow_run_id)

    def set_epoch(self, flow_run_id: UUID, epoch: int) -> None:
        """Set the attempt that reports; reports of an older attempt are answered with the command "lost"."""
        self._sender.delivery.epochs[flow_run_id] = epoch

    def forget(self, flow_run_id: UUID) -> None:
        """Forget a flow run that has ended."""
        with self._sender.lock:
            self._sender.ledger.forget(flow_run_id)
            self._sender.delivery.forget(flow_run_id)

    @property
    def waiting(self) -> int:
        """The number of steps that are not acknowledged yet."""
        return self._sender.backlog.waiting

    @property
    def has_reported(self) -> bool:
        """Whether a step was reported, in a forked child since the fork."""
        return self._sender.backlog.added > 0

    def close(self, timeout: float | None = None) -> None:
        """Deliver the remaining reports, or keep them in a spool file, and stop."""
        self.deliver(timeout)
        self._sender.stop()
        self.client.close()

    def deliver(self, timeout: float | None = None) -> None:
        """Deliver everything reported so far, or keep it in a spool file, as this process may end without `close`."""
        if self._sender.has_left_all:
            return
        try:
            self.drain(timeout=self.settings.reporting_exit_seconds if timeout is None else timeout)
        except ApiError as error:
            self._sender.leave_behind(error)

    def deliver_by(self, until: float) -> None:
        """Deliver everything reported so far by this time of the monotonic clock, or keep it in a spool file.

        For a process that ends: of the log, the file gets warnings and errors only.
        """
        if self._sender.has_left_all:
            return
        try:
            self._sender.wait_by(until)
        except ApiError as error:
            self._sender.leave_behind(error)

    def keep_steps_by(self, until: float) -> None:
        """Deliver everything reported so far by this time of the monotonic clock, or write its steps to a spool file.

        For a process that may be killed at any time, or go on: log lines stay in memory.
        """
        if self._sender.has_kept_all:
            return
        try:
            self._sender.wait_by(until)
        except ApiError:
            self._sender.keep_steps()

    def begin_again(self) -> None:
        """Start again in a forked child, as the queue, its lock, its thread and the spool file belong to the parent."""
        self._sender.backlog.abandon()
        self._sender = Sender(self.client, self.settings)
