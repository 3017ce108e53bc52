"""Announce, after commit, that a run changed. A leaf: the settings name the listeners.

A message is a hint. If one is lost, a page may update later, but no run is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.core.signals import setting_changed
from django.db import transaction
from django.utils.module_loading import import_string

Listener = Callable[[str, UUID, str], None]
Change = tuple[str, UUID, str]

logger = logging.getLogger("orion.announce")


@lru_cache(maxsize=1)
def listeners() -> tuple[Listener, ...]:
    return tuple(import_string(path) for path in settings.ORION_STATE_LISTENERS)


def runs_changed(changes: Iterable[Change]) -> None:
    """Announce `(kind, id, state_type)` after the transaction commits. A rollback announces nothing.

    The kind "agent" names an agent that must act, because another party moved a run that it executes into that state.
    """
    if listeners():
        written = list(changes)
        transaction.on_commit(lambda: _notify_listeners(written))


def _notify_listeners(changes: list[Change]) -> None:
    for listener in listeners():
        for kind, run_id, state_type in changes:
            try:
                listener(kind, run_id, state_type)
            except Exception:
                # The change is committed, so an error of a listener must not look like an error of the caller.
                logger.exception("%s could not be notified of %s %s", listener, kind, run_id)


def _forget_listeners(*, setting: str, **_: object) -> None:
    if setting == "ORION_STATE_LISTENERS":
        listeners.cache_clear()


setting_changed.connect(_forget_listeners)
