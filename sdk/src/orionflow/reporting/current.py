"""The reporter of this process: one for each API, closed at exit, never shared with a forked child.

A worker that calls functions of several flow runs has one for the token of each of them.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orionflow.client import OrionClient
from orionflow.client.ephemeral import EPHEMERAL_URL
from orionflow.client.transport import without_credentials
from orionflow.errors import ApiError
from orionflow.reporting.backlog import Item, SpooledLine, Step, batch_of, encode_all, read_spool_line
from orionflow.reporting.delivery import Delivery, deliver
from orionflow.reporting.items import ERROR, NOTHING
from orionflow.reporting.reporter import Reporter
from orionflow.reporting.spool import Leftover, leftovers, spool_folder
from orionflow.settings import current_settings
from orionflow.settings.stored_keys import token_of_caller

logger = logging.getLogger("orionflow.reporting")

# Protects `_reporters`, and lets only one thread create the reporter of an API. Reentrant, as the garbage collector may
# close the coroutine of a run in this thread, which reports its end.
_lock = threading.RLock()
_reporters: dict[tuple[str, Path, str | None], Reporter] = {}


def get_reporter(client: OrionClient | None = None) -> Reporter:
    """Return the reporter of this process for the API of the client, or else of the settings."""
    settings = current_settings()
    api_url = client.api_url if client else without_credentials(settings.api_url or EPHEMERAL_URL)[0]
    key = api_url, settings.home, token_of_caller.get()
    with _lock:
        reporter = _reporters.get(key)
        if reporter is None:
            reporter = _reporters.setdefault(key, Reporter(client, settings=settings))
            _replay_in_background(reporter.client, settings.home)
        return reporter


def close_reporters(timeout: float | None = None) -> None:
    """Deliver the reports of all reporters of this process; later reports use new reporters."""
    with _lock:
        reporters = list(_reporters.values())
        _reporters.clear()
    # Without the lock, as delivery may take long: a flow that still runs gets a new reporter in the meantime.
    for reporter in reporters:
        reporter.close(timeout)


def close_reporters_of(token: str) -> None:
    """Close the reporters for the token of a run, when no call for it is left in this worker."""
    with _lock:
        closed = [_reporters.pop(key) for key in list(_reporters) if key[2] == token]
    for reporter in closed:
        # What could not be delivered yet stays in the file that it was written to.
        reporter.close(0.0)


def keep_reports(seconds: float) -> None:
    """Deliver the reports of all reporters, or write to a file what is left after these seconds.

    For a process that is about to be ended by a signal, after which no code runs at exit.
    """
    until = time.monotonic() + seconds
    # Without the lock, which the thread that a signal interrupted may hold until its handler returns.
    for reporter in list(_reporters.values()):
        reporter.deliver_by(until)


def keep_steps(seconds: float) -> None:
    """Deliver the reports of all reporters, or write the steps that are left after these seconds to a file.

    For a process that may be killed at any time, or go on.
    """
    until = time.monotonic() + seconds
    for reporter in list(_reporters.values()):
        reporter.keep_steps_by(until)


def has_reported() -> bool:
    """Whether this process has reported a step of a run; a forked one has not before it calls a task or a flow."""
    return any(reporter.has_reported for reporter in list(_reporters.values()))


# `atexit` runs after all other threads were joined, which may still run flows; the reporter's daemon thread still
# works.
atexit.register(close_reporters)


def _abandon_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    # Kept here, as runs of the parent hold them: a child of the child renews them as well.
    for reporter in _reporters.values():
        reporter.begin_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


def _replay_in_background(client: OrionClient, home: Path) -> None:
    if not any(spool_folder(home).glob("*.jsonl")):
        return
    # If the process may not start threads at the moment, another one sends them.
    with suppress(RuntimeError):
        threading.Thread(target=replay_leftovers, args=(client,), name="orion-replay", daemon=True).start()


def replay_leftovers(client: OrionClient | None = None) -> int:
    """Send reports that ended processes left in the spool for this API; return the number of transitions.

    A file that cannot be sent is kept for the next call. Called when a process starts to report, and by agents; it may
    be called at any time.
    """
    client = client or OrionClient()
    settings = current_settings()
    sent = 0
    for leftover in leftovers(spool_folder(settings.home)):
        if not is_same_api(leftover.api_url, client.api_url):
            leftover.close()
            continue
        try:
            sent += _replay(leftover, client, settings.reporting_batch_size)
        except ApiError as error:
            leftover.close()
            logger.info("%s stays for later. %s", leftover.path, error)
    return sent


def is_same_api(one: str, other: str) -> bool:
    """Whether two addresses name the same API, as this machine has two names for itself."""
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    return url.rstrip("/").replace("://localhost", "://127.0.0.1", 1)


def _replay(leftover: Leftover, client: OrionClient, batch_size: int) -> int:
    delivery = Delivery(client.writing_as(leftover.writer))
    items = _readable(leftover)
    sent = lines = 0
    while sent < len(items):
        batch = batch_of(items[sent : sent + batch_size])
        if isinstance(batch[0], SpooledLine):
            delivery.post_logs(encode_all(batch, {}))
            lines += len(batch)
        else:
            _send(delivery, batch)
        sent += len(batch)
    leftover.remove()
    logger.info("%d reports of an ended process were sent from %s.", sent, leftover.path)
    return sent - lines


def _readable(leftover: Leftover) -> list[Item]:
    items: list[Item] = []
    for line in leftover.lines():
        try:
            items.append(read_spool_line(line))
        except (ValueError, KeyError):
            logger.warning("A damaged line of %s was left out.", leftover.path)
    return [item for item in items if not (isinstance(item, Step) and item.item == NOTHING)]


def _send(delivery: Delivery, batch: Sequence[Item]) -> None:
    spooled = [item for item in batch if isinstance(item, Step)]
    delivery.epochs.update({one.flow_run_id: one.epoch for one in spooled if one.flow_run_id and one.epoch is not None})
    for answer in deliver(delivery, batch, {}, suspicious=True):
        if not answer.is_accepted:
            # Rules that do not accept a late report are usual; a report that is lost is not.
            level = logging.WARNING if answer.status == ERROR else logging.INFO
            logger.log(level, "A report kept while the API was away was not accepted: %s.", answer.reason)
