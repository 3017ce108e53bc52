"""The reporter: takes transitions and log lines from any thread at once, and delivers them in order, in batches.

One thread at a time has the role of the sender: the reporter's own, or a caller who waits anyway and helps. So there is
never more than one batch on its way, and the order of the queue is the order in the database.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.errors import ApiError, ApiUnreachable, DatabaseNotReady, ServerFailed
from orionflow.reporting.backlog import Backlog, Head, KeptCall
from orionflow.reporting.delivery import Delivery, deliver
from orionflow.reporting.items import Answer, LogLine, Transition, encode_log_lines
from orionflow.reporting.ledger import Ledger
from orionflow.reporting.log_buffer import LogBuffer
from orionflow.reporting.outage import Outage
from orionflow.settings import Settings, current_settings
from orionflow.spool import SpoolError, SpoolFile, spool_folder
from orionflow.transport import Patience

logger = logging.getLogger("orionflow.reporting")

# While the API is away no longer than this, a full queue waits for it; after that a file takes over.
SHORT_OUTAGE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 15.0


class Reporter:
    """Reports what runs do, without making them wait for it. One for each process and API; see `get_reporter`."""

    def __init__(self, client: OrionClient | None = None, *, settings: Settings | None = None) -> None:
        self.settings = settings or current_settings()
        self.client = client or OrionClient(settings=self.settings)
        # Reentrant: a signal's handler, or one of logging, may report in the middle of reporting.
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._progress = threading.Condition(self._lock)
        self._sending = threading.Lock()
        self._delivery = Delivery(self.client)
        self._backlog = Backlog(self.settings.reporting_queue_size, self._open_spool, self._delivery.epochs)
        self._logs = LogBuffer(self.settings.logging_queue_size)
        self._outage = Outage(Patience(self.settings.reporting_budget_seconds, longest_delay=LONGEST_PAUSE_SECONDS))
        self._interval = self.settings.reporting_interval_ms / 1000
        self._batch_size = min(self.settings.reporting_batch_size, 1000)
        self._oldest_at = 0.0
        self._flush_to = 0
        self._flush_logs_to = 0
        self._ledger = Ledger()
        self._gave_up = False
        self._closed = False
        self._thread: threading.Thread | None = None

    # What programs call

    def stream(self, item: Transition) -> None:
        """Report a step whose answer cannot change what happens next."""
        with self._lock:
            if self._backlog.is_full:
                self._make_room()
            self._add(item)

    def ask(self, item: Transition) -> Future[Answer]:
        """Report a step and learn the verdict; everything queued before it is delivered first."""
        with self._lock:
            self._flush_to = self._add(item)
            self._wake.notify()
            return self._ledger.expect(self._flush_to)

    def keep(self, call: Call[Any], flow_run_id: UUID | None = None) -> None:
        """Have a call sent once everything reported before it is: the final state of a run whose API is away.

        Like transitions it outlives this process in the spool; nobody hears the answer.
        """
        with self._lock:
            self._add(KeptCall(flow_run_id, call))

    def log(self, line: LogLine) -> None:
        """Report a log line. It never waits: when lines come too fast they are dropped, counted and told as a gap."""
        with self._lock:
            self._logs.add(line)
            if len(self._logs) == 1:
                self._begin_interval()
            elif len(self._logs) == self._batch_size:
                self._wake.notify()

    def drain(self, flow_run_id: UUID | None = None, timeout: float | None = None) -> None:
        """Wait until everything queued so far, for one flow run or for all, is acknowledged with its log lines.

        Raises ApiUnreachable when the API stays away for longer than the reporting budget, or than `timeout`.
        """
        with self._lock:
            goal, logs_goal = self._goal(flow_run_id), self._logs.added
            if self._is_settled(goal, logs_goal):
                return
            self._flush_to = max(self._flush_to, goal)
            self._flush_logs_to = logs_goal
        self._help(goal, logs_goal)
        self._wait_until_settled(goal, logs_goal, timeout)

    def orders(self, flow_run_id: UUID) -> str | None:
        """What the API wants of a flow run: "cancel", "pause", "lost" (another attempt owns it), or nothing."""
        return self._delivery.orders.get(flow_run_id)

    def refused(self, flow_run_id: UUID | None) -> list[Answer]:
        """The answers to streamed steps of a flow run that the rules did not accept."""
        return self._ledger.refused(flow_run_id)

    def obeyed(self, flow_run_id: UUID) -> None:
        """What the API wanted was done: let go of the order, and of the steps refused because of it."""
        with self._lock:
            self._delivery.orders.pop(flow_run_id, None)
            self._refused.pop(flow_run_id, None)

    def set_epoch(self, flow_run_id: UUID, epoch: int) -> None:
        """Name the attempt that reports; reports of an older one are answered with the order "lost"."""
        self._delivery.epochs[flow_run_id] = epoch

    def forget(self, flow_run_id: UUID) -> None:
        """A flow run ended: let go of what was remembered about it."""
        with self._lock:
            self._ledger.forget(flow_run_id)
            self._delivery.forget(flow_run_id)

    @property
    def waiting(self) -> int:
        """How many transitions are not acknowledged yet."""
        return self._backlog.waiting

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, or keep it in a spool file, and stop."""
        if self._closed:
            return
        try:
            self.drain(timeout=self.settings.reporting_exit_seconds if timeout is None else timeout)
        except ApiError as error:
            self._leave_behind(error)
        with self._lock:
            self._closed = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1)
        with self._lock:
            self._backlog.abandon()
        self.client.close()

    def abandon(self) -> None:
        """In a forked child: the queue, the connections and the spool file belong to the parent."""
        self._closed = True
        self._backlog.abandon()

    # The queue

    def _add(self, item: Transition | KeptCall) -> int:
        number = self._backlog.append(item)
        self._ledger.last[item.flow_run_id] = number
        waiting = number - self._backlog.settled
        if waiting == 1:
            self._begin_interval()
        elif waiting == self._batch_size:
            self._wake.notify()
        return number

    def _begin_interval(self) -> None:
        self._oldest_at = time.monotonic()
        if self._thread is None:
            self._start()
        self._wake.notify()

    def _start(self) -> None:
        # A daemon: the interpreter shall not wait for it, but for `close`, which runs at exit after all other threads.
        self._thread = threading.Thread(target=self._run, name="orion-reporter", daemon=True)
        self._thread.start()

    def _make_room(self) -> None:
        """Slow the caller down until there is room; when there is none in time, let a file take what follows."""
        deadline = time.monotonic() + self.settings.reporting_block_seconds
        while self._backlog.is_full:
            now = time.monotonic()
            if now >= deadline or self._outage.lasted(now) > SHORT_OUTAGE_SECONDS:
                self._backlog.start_spooling()
                logger.warning("The API is too slow or away; transitions are kept in %s.", self._backlog.spool_path)
                return
            self._progress.wait(timeout=min(deadline - now, 0.5))

    def _open_spool(self) -> SpoolFile:
        return SpoolFile(spool_folder(self.settings.home), self.client.api_url)

    def _goal(self, flow_run_id: UUID | None) -> int:
        return self._backlog.added if flow_run_id is None else self._ledger.last_of(flow_run_id)

    def _is_settled(self, goal: int, logs_goal: int) -> bool:
        return self._backlog.settled >= goal and self._logs.settled >= logs_goal

    # The role of the sender

    def _run(self) -> None:
        while self._wait_for_work():
            with self._sending:
                # Whoever had the role until now may have sent it all, or learnt that the API wants a pause.
                if self._is_due():
                    self._send_batch()

    def _is_due(self) -> bool:
        with self._lock:
            pause = self._time_to_next_batch(time.monotonic())
            return pause is not None and pause <= 0

    def _wait_for_work(self) -> bool:
        """Sleep until a batch is due; False when the reporter is closed."""
        with self._lock:
            while not self._closed:
                pause = self._time_to_next_batch(time.monotonic())
                if pause is not None and pause <= 0:
                    return True
                self._wake.wait(pause)
            return False

    def _time_to_next_batch(self, now: float) -> float | None:
        waiting, lines = self._backlog.waiting, len(self._logs)
        if not waiting and not lines:
            return None
        if self._outage.is_on:
            return self._outage.next_try_at - now
        if self._flush_to > self._backlog.settled or self._flush_logs_to > self._logs.settled:
            return 0.0
        if waiting >= self._batch_size or lines >= self._batch_size:
            return 0.0
        return self._oldest_at + self._interval - now

    def _help(self, goal: int, logs_goal: int) -> None:
        """Send in the caller's thread, which would only wait, if nobody is sending: no other one has to be woken."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            while not self._is_settled(goal, logs_goal) and not self._outage.is_on:
                self._send_batch()
        finally:
            self._sending.release()

    def _send_batch(self) -> None:
        """Deliver the oldest transitions, then the oldest log lines. The caller has the role of the sender."""
        with self._lock:
            head = self._backlog.head(self._batch_size)
            lines = self._logs.head(self._batch_size)
            suspicious = self._outage.looks_like_the_batch
            self._oldest_at = time.monotonic()
        try:
            if head.items:
                self._settle(head, deliver(self._delivery, head.items, self._ledger.aliases, suspicious=suspicious))
            if lines:
                encoded = encode_log_lines(lines, self.settings.logging_line_bytes)
                self._settle_logs(lines, self._delivery.post_logs(encoded) + len(lines) - len(encoded))
        except ApiError as error:
            self._note_failure(error)
        except Exception as error:
            logger.exception("Reporting broke")
            self._note_failure(ServerFailed(f"Reporting broke: {type(error).__name__}: {error}"))

    def _settle(self, head: Head, answers: list[Answer]) -> None:
        with self._lock:
            self._backlog.settle(head)
            self._note_success()
            asked = self._ledger.note(head, answers)
            self._progress.notify_all()
        # Outside of the lock: callbacks of a future may report.
        for future, answer in asked:
            future.set_result(answer)

    def _settle_logs(self, lines: list[LogLine], unwanted: int) -> None:
        with self._lock:
            self._logs.settle(len(lines))
            self._note_success()
            self._progress.notify_all()
        if unwanted:
            logger.warning("%d log lines were refused by the API.", unwanted)

    # Outages

    def _note_success(self) -> None:
        if self._outage.is_on:
            logger.warning("The API answers again; %d transitions wait.", self._backlog.waiting)
        self._outage.note_success()
        self._gave_up = False

    def _note_failure(self, error: ApiError) -> None:
        with self._lock:
            if not self._outage.is_on:
                logger.warning("%s What runs report is kept and sent later.", error)
            self._outage.note_failure(error, time.monotonic())
            if self._outage.is_over_budget(time.monotonic()):
                self._give_up(error)
            self._progress.notify_all()
            self._wake.notify()

    def _give_up(self, error: ApiError) -> None:
        """Those who wait shall know; what they reported is kept in a file and still sent when the API comes back."""
        self._gave_up = True
        self._spool_everything()
        self._ledger.fail_all(self._undelivered(error))

    def _spool_everything(self) -> None:
        try:
            self._backlog.spool_everything()
        except SpoolError:
            logger.exception("What could not be delivered stays in memory only")

    def _undelivered(self, error: ApiError) -> ApiError:
        waiting, path = self._backlog.waiting, self._backlog.spool_path
        count = "1 reported transition" if waiting == 1 else f"{waiting} reported transitions"
        kept = f"kept in {path}, to be sent when Orion runs here again" if path else "kept in memory only"
        kind = DatabaseNotReady if isinstance(error, DatabaseNotReady) else ApiUnreachable
        return kind(f"{count} could not be delivered, {kept}. {error}", status=error.status)

    def _wait_until_settled(self, goal: int, logs_goal: int, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._wake.notify()
            while not self._is_settled(goal, logs_goal):
                if self._gave_up and self._outage.error is not None:
                    raise self._undelivered(self._outage.error)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise self._undelivered(
                        self._outage.error or ApiUnreachable(f"The API took longer than {timeout:g} s.")
                    )
                self._progress.wait(left)

    def _leave_behind(self, error: ApiError) -> None:
        with self._lock:
            self._spool_everything()
            told = self._undelivered(self._outage.error or error) if self._backlog.waiting else error
            lost = len(self._logs)
        logger.error("%s%s", told, f" {lost} log lines were lost." if lost else "")
