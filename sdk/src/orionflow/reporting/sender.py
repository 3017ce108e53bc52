"""The sender: delivers the queue of the reporter, one batch at a time, and handles outages of the API.

One thread at a time has the role of the sender: its own thread, or a caller that waits anyway and helps. So at most one
batch is being sent, and the order of the queue is the order in the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from orionflow.client import OrionClient
from orionflow.client.transport import Patience
from orionflow.contract.kinds import MOST_TRANSITIONS
from orionflow.errors import ApiError, ApiUnreachable, ServerFailed
from orionflow.reporting.backlog import Backlog, Head, KeptCall
from orionflow.reporting.delivery import Delivery, deliver
from orionflow.reporting.items import Answer, LogLine, WaitingSteps, encode_log_lines
from orionflow.reporting.ledger import Ledger
from orionflow.reporting.log_buffer import LogBuffer, LogHead
from orionflow.reporting.outage import Outage, undelivered
from orionflow.reporting.pace import Pace
from orionflow.reporting.spool import SpoolError, SpoolFile, spool_folder
from orionflow.settings import Settings

logger = logging.getLogger("orionflow.reporting")

# Seconds for which a full queue waits for the API; after that, reports are written to a file.
SHORT_OUTAGE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 15.0


class Sender:
    """The queue, its thread, and the connection to the API. Methods named `…_locked` require the lock to be held."""

    def __init__(self, client: OrionClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        # Reentrant: a signal handler or a logging handler may report while this thread reports.
        self.lock = threading.RLock()
        self._wake = threading.Condition(self.lock)
        self._progress = threading.Condition(self.lock)
        self._role = threading.Lock()
        self.ledger = Ledger()
        self.delivery = Delivery(client)
        self.backlog = Backlog(settings.reporting_queue_size, self._open_spool, self.delivery.epochs)
        self.logs = LogBuffer(settings.logging_queue_size)
        self._outage = Outage(Patience(settings.reporting_budget_seconds, longest_delay=LONGEST_PAUSE_SECONDS))
        self._pace = Pace(
            self.backlog,
            self.logs,
            self._outage,
            interval=settings.reporting_interval_ms / 1000,
            batch_size=min(settings.reporting_batch_size, MOST_TRANSITIONS),
        )
        self._gave_up = False
        self._warned_of_disk = False
        # The last numbers when reports were kept for the case that this process is killed, and when they were left.
        self._kept = self._left = (0, 0)
        self._thread: threading.Thread | None = None
        # The thread in which a batch is being sent.
        self._sends_in: int | None = None

    def _open_spool(self) -> SpoolFile:
        return SpoolFile(spool_folder(self._settings.home), self._client.api_url)

    # Taking in

    def add_locked(self, item: WaitingSteps | KeptCall, *, alone: bool = False) -> int:
        number = self.backlog.append(item, alone=alone)
        self.ledger.last[item.flow_run_id] = max(number, self.ledger.last.get(item.flow_run_id, 0))
        self._notice_locked(self.backlog.waiting)
        return number

    def add_log_locked(self, line: LogLine) -> None:
        self.logs.add(line)
        self._notice_locked(len(self.logs))

    def _notice_locked(self, waiting: int) -> None:
        # Waking the thread costs more than queueing an item: only the first item of a batch and the one that fills it
        # do it.
        if waiting == 1:
            self._pace.begin()
            self._wake_locked()
        elif waiting == self._pace.batch_size or self._thread is None:
            self._wake_locked()

    def hurry_locked(self, number: int, logs_number: int = 0) -> None:
        """Deliver everything up to these numbers soon, as a caller waits for it."""
        self._pace.hurry(number, logs_number)
        self._wake_locked()

    def make_room_locked(self) -> None:
        """Block the caller until there is room; if there is none in time, write the following items to a file."""
        deadline = time.monotonic() + self._settings.reporting_block_seconds
        while self.backlog.is_full:
            now = time.monotonic()
            if now >= deadline or self._outage.lasted(now) > SHORT_OUTAGE_SECONDS:
                self._go_on_in_file_locked()
                return
            self._progress.wait(timeout=min(deadline - now, 0.5))

    def _go_on_in_file_locked(self) -> None:
        try:
            self.backlog.start_spooling()
        except SpoolError as error:
            if self.backlog.is_beyond:
                raise
            if not self._warned_of_disk:
                logger.warning("%s Until then they are kept in memory.", error)
            self._warned_of_disk = True
        else:
            logger.warning("The API is too slow or away; reports are kept in %s.", self.backlog.spool_path)

    # The role of the sender

    @property
    def has_thread(self) -> bool:
        return self._thread is not None

    def _wake_locked(self) -> None:
        if self._thread is None:
            # A daemon: the interpreter waits not for it but for `close`, which runs at exit after all other threads.
            thread = threading.Thread(target=self._run, name="orion-reporter", daemon=True)
            # The process may not start threads at the moment. What is reported or asked next tries again.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._wake.notify()

    def _run(self) -> None:
        while self._wait_for_work():
            with self._role:
                # The previous owner of the role may have sent everything, or learned that the API asks for a pause.
                if self._is_due():
                    self._send_batch()

    def _wait_for_work(self) -> bool:
        """Sleep until a batch is due; return False if this thread is no longer that of the sender."""
        with self.lock:
            while self._thread is threading.current_thread():
                pause = self._pace.pause()
                if pause == 0.0:
                    return True
                self._wake.wait(pause)
            return False

    def _is_due(self) -> bool:
        with self.lock:
            return self._pace.pause() == 0.0

    def help(self, goal: int, logs_goal: int) -> None:
        """Send in the caller's thread, which would only wait, unless another thread sends; this saves a wake-up."""
        if not self._role.acquire(blocking=False):
            return
        try:
            while not self.is_settled(goal, logs_goal) and not self._outage.is_on and self._send_batch():
                pass
        finally:
            self._role.release()

    def send_without_thread(self, is_over: Callable[[], bool], deadline: float | None = None) -> None:
        """Do the work of the sender's thread until it has started, `is_over`, or the deadline has passed.

        The process may start no threads at the moment, or any more, as it exits.
        """
        # Not if called by what the sender calls, such as the close of a coroutine in garbage collection.
        while not self.has_thread and not is_over() and self._sends_in != threading.get_ident():
            with self.lock:
                self._wake_locked()
                pause = self._pace.pause()
            if pause is None or (deadline is not None and time.monotonic() + pause >= deadline):
                return
            time.sleep(pause)
            with self._role:
                if self._is_due():
                    self._send_batch()

    @property
    def has_given_up(self) -> bool:
        """Whether the API is away for longer than the budget."""
        return self._gave_up

    def is_settled(self, goal: int, logs_goal: int) -> bool:
        return self.backlog.settled >= goal and self.logs.settled >= logs_goal

    def _send_batch(self) -> bool:
        """Deliver the oldest transitions, then the oldest log lines; return whether there were any.

        The caller has the role of the sender.
        """
        self._sends_in = threading.get_ident()
        try:
            return self._send_oldest()
        finally:
            self._sends_in = None

    def _send_oldest(self) -> bool:
        with self.lock:
            head = self.backlog.head(self._pace.batch_size)
            logs = self.logs.head(self._pace.batch_size)
            suspicious = self._outage.may_be_one_item
            self._pace.begin()
        try:
            if head.items:
                self._settle(head, deliver(self.delivery, head.items, self.ledger.aliases, suspicious=suspicious))
            if logs.lines:
                encoded = encode_log_lines(logs.lines, self._settings.logging_line_bytes)
                self._settle_logs(logs, self.delivery.post_logs(encoded) + len(logs.lines) - len(encoded))
        except ApiError as error:
            self._note_failure(error)
        except Exception as error:
            logger.exception("Reporting broke")
            self._note_failure(ServerFailed(f"Reporting broke: {type(error).__name__}: {error}"))
        return bool(head.items or logs.lines)

    def _settle(self, head: Head, answers: list[Answer]) -> None:
        with self.lock:
            self.backlog.settle(head)
            asked = self.ledger.note(head, answers)
            was_away = self._note_success_locked()
        self._log_return(was_away)
        # Outside of the lock, as callbacks of a future may take long.
        resolve(asked)

    def _settle_logs(self, head: LogHead, unwanted: int) -> None:
        with self.lock:
            self.logs.settle(head)
            was_away = self._note_success_locked()
        self._log_return(was_away)
        if unwanted:
            logger.warning("%d log lines were refused by the API.", unwanted)

    # Outages

    def _note_success_locked(self) -> bool:
        """Return whether the API was away."""
        was_away = self._outage.is_on
        self._outage.note_success()
        self._gave_up = self._warned_of_disk = False
        self._progress.notify_all()
        return was_away

    # The sender logs outside of the lock: a log to a pipe that nobody reads would block all who report.

    def _log_return(self, was_away: bool) -> None:
        if was_away:
            logger.warning("The API answers again; %d reports wait.", self.backlog.waiting)

    def _note_failure(self, error: ApiError) -> None:
        with self.lock:
            is_first = not self._outage.is_on
            self._outage.note_failure(error, time.monotonic())
            if self._outage.is_over_budget(time.monotonic()):
                self._give_up_locked(error)
            self._progress.notify_all()
            self._wake.notify()
        if is_first:
            logger.warning("%s What runs report is kept and sent later.", error)

    def _give_up_locked(self, error: ApiError) -> None:
        """Let waiting callers fail; their reports are kept in a file and still sent when the API is back."""
        self._gave_up = True
        self._spool_everything_locked()
        self.ledger.fail_all(self._undelivered(error))

    def _spool_everything_locked(self) -> None:
        try:
            self.backlog.spool_everything()
        except SpoolError as error:
            logger.error("What could not be delivered stays in memory only. %s", error)

    def _undelivered(self, error: ApiError) -> ApiError:
        return undelivered(self.backlog.waiting, self.backlog.spool_path, error)

    def wait_until_settled(
        self, goal: int, logs_goal: int, timeout: float | None, deadline: float | None = None
    ) -> None:
        """Raise an ApiError after `timeout`, or at the deadline if the caller has waited before."""
        if timeout is not None and deadline is None:
            deadline = time.monotonic() + timeout
        with self.lock:
            self._wake.notify()
            while not self.is_settled(goal, logs_goal):
                if self._gave_up and self._outage.error is not None:
                    raise self._undelivered(self._outage.error)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    why = self._outage.error or ApiUnreachable(f"The API took longer than {timeout:g} s.")
                    raise self._undelivered(why)
                self._progress.wait(left)

    def wait_by(self, until: float) -> None:
        """Wait for everything reported so far, or raise an ApiError at this time of the monotonic clock.

        This sends nothing in the thread of the caller: an answer may take longer than that.
        """
        with self.lock:
            goal, logs_goal = self._last_locked()
            if self.is_settled(goal, logs_goal):
                return
            self.hurry_locked(goal, logs_goal)
        self.wait_until_settled(goal, logs_goal, max(until - time.monotonic(), 0.0))

    def _last_locked(self) -> tuple[int, int]:
        return self.backlog.added, self.logs.added

    # The end

    @property
    def has_kept_all(self) -> bool:
        """Whether nothing was reported since `keep_steps`."""
        with self.lock:
            return self._kept == self._last_locked()

    def keep_steps(self) -> None:
        """Write undelivered steps to the file that outlives this process, which goes on to send them."""
        with self.lock:
            self._kept = self._last_locked()
            self._spool_everything_locked()

    @property
    def has_left_all(self) -> bool:
        """Whether nothing was reported since `leave_behind`."""
        with self.lock:
            return self._left == self._last_locked()

    def leave_behind(self, error: ApiError) -> None:
        """Keep undelivered reports for another process, and log what they are."""
        with self.lock:
            waiting = self.backlog.waiting
            self._spool_everything_locked()
            lines, gaps, lost = self.logs.leave()
            if not self._keep_lines_locked([*lines, *gaps]):
                lines, lost = [], lost + len(lines)
            self._left = self._last_locked()
            why = self._outage.error or error
            loss = undelivered(waiting, self.backlog.spool_path, why, kept_lines=len(lines), lost_lines=lost)
            self.ledger.fail_all(loss)
        if waiting or lines or lost:
            logger.error("%s", loss)

    def _keep_lines_locked(self, lines: list[LogLine]) -> bool:
        """Write these lines to the file, and return whether that succeeded."""
        encoded = [
            (line.flow_run_id, item)
            for line in lines
            for item in encode_log_lines([line], self._settings.logging_line_bytes)
        ]
        if not encoded:
            return False
        try:
            self.backlog.keep_lines(encoded)
        except SpoolError as error:
            logger.error("%s", error)
            return False
        return True

    def stop(self) -> None:
        """End the thread and release the spool file. A later report starts it again."""
        with self.lock:
            thread, self._thread = self._thread, None
            self._wake.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1)
        with self.lock:
            if not self.backlog.waiting or self._left == self._last_locked():
                self.backlog.abandon()
            else:
                # Another thread has reported something since the rest was delivered or left. It is sent if the process
                # goes on, and kept in case that it ends now.
                self._spool_everything_locked()
            if self.backlog.waiting or len(self.logs):
                self._wake_locked()


def resolve(asked: list[tuple[Future[Answer], Answer]]) -> None:
    for future, answer in asked:
        # The caller may have been cancelled while it waited.
        if future.set_running_or_notify_cancel():
            future.set_result(answer)
