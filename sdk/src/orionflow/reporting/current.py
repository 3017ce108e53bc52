"""The reporter of this process: one for each API, closed at exit, never shared with a forked child."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from pathlib import Path

from orionflow.client import OrionClient
from orionflow.errors import ApiError
from orionflow.reporting.backlog import NOTHING, SpooledItem, read_spool_line
from orionflow.reporting.delivery import Delivery
from orionflow.reporting.reporter import Reporter
from orionflow.settings import current_settings
from orionflow.spool import Leftover, leftovers, spool_folder

logger = logging.getLogger("orionflow.reporting")

_lock = threading.Lock()
_reporters: dict[tuple[str, Path], Reporter] = {}


def get_reporter(client: OrionClient | None = None) -> Reporter:
    """The reporter of this process for the API that the settings name, or that the client speaks to."""
    settings = current_settings()
    client = client or OrionClient(settings=settings)
    key = (client.api_url, settings.home)
    with _lock:
        reporter = _reporters.get(key)
        if reporter is None:
            reporter = _reporters[key] = Reporter(client, settings=settings)
            _replay_in_background(client, settings.home)
        return reporter


def close_reporters(timeout: float | None = None) -> None:
    """Deliver what all reporters of this process have, and start afresh at the next use."""
    with _lock:
        reporters = list(_reporters.values())
        _reporters.clear()
    for reporter in reporters:
        reporter.close(timeout)


# `atexit` comes after all other threads are joined, which may still run flows; our own thread, a daemon, lives on.
atexit.register(close_reporters)


def _abandon_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    for reporter in _reporters.values():
        reporter.abandon()
    _reporters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


def _replay_in_background(client: OrionClient, home: Path) -> None:
    if not any(spool_folder(home).glob("*.jsonl")):
        return
    threading.Thread(target=replay_leftovers, args=(client,), name="orion-replay", daemon=True).start()


def replay_leftovers(client: OrionClient | None = None) -> int:
    """Send what ended processes left in the spool for this API; returns how many transitions that were.

    A file that cannot be sent stays for the next time. Called when a process begins to report; harmless at any time.
    """
    client = client or OrionClient()
    settings = current_settings()
    sent = 0
    for leftover in leftovers(spool_folder(settings.home)):
        if leftover.api_url != client.api_url:
            leftover.close()
            continue
        try:
            sent += _replay(leftover, client, settings.reporting_batch_size)
        except ApiError as error:
            leftover.close()
            logger.info("%s stays for later. %s", leftover.path, error)
    return sent


def _replay(leftover: Leftover, client: OrionClient, batch_size: int) -> int:
    delivery = Delivery(client)
    batch: list[SpooledItem] = []
    sent = 0
    for item in _readable(leftover):
        batch.append(item)
        if len(batch) == batch_size:
            sent += _send(delivery, batch)
    sent += _send(delivery, batch)
    leftover.remove()
    logger.info("%d transitions of an ended process were sent from %s.", sent, leftover.path)
    return sent


def _readable(leftover: Leftover) -> list[SpooledItem]:
    items = []
    for line in leftover.lines():
        try:
            items.append(read_spool_line(line))
        except (ValueError, KeyError):
            logger.warning("A damaged line of %s was left out.", leftover.path)
    return [item for item in items if item.item != NOTHING]


def _send(delivery: Delivery, batch: list[SpooledItem]) -> int:
    if not batch:
        return 0
    delivery.epochs.update({i.flow_run_id: i.epoch for i in batch if i.flow_run_id and i.epoch is not None})
    answers = delivery.post([item.item for item in batch], suspicious=True)
    for answer in answers:
        if not answer.is_accepted:
            logger.info("A transition kept while the API was away was not accepted: %s.", answer.reason)
    count = len(batch)
    batch.clear()
    return count
