"""Renews leases of slots while this process holds them: one thread for all leases, and none if there are none."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from uuid import UUID

from orionflow.calls.slots import renew_slots
from orionflow.client import OrionClient
from orionflow.errors import Conflict

logger = logging.getLogger("orionflow.slots")
# A lease survives two failed renewals.
RENEWALS_PER_LEASE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Leases that belong together, and the client that renews them."""

    client: OrionClient
    # Whether the client was made for these leases alone.
    closes_client: bool
    names: tuple[str, ...]
    leases: tuple[UUID, ...]
    seconds: float
    # The flow run and the task run that hold them.
    holder: tuple[UUID | None, UUID | None]


class SlotKeeper:
    """Renews leases from `keep` until `forget`."""

    def __init__(self) -> None:
        self._held: set[Held] = set()
        self._changed = threading.Condition()
        self._running = False

    def keep(self, held: Held) -> None:
        """Renew these leases from now on. Raise RuntimeError if the process may not start a thread for it."""
        with self._changed:
            self._held.add(held)
            self._changed.notify()
            if not self._running:
                threading.Thread(target=self._run, name="orion-slots", daemon=True).start()
                self._running = True

    def forget(self, held: Held) -> None:
        with self._changed:
            self._held.discard(held)
            self._changed.notify()

    def _run(self) -> None:
        due: dict[Held, float] = {}
        while self._wait(due):
            for held in [held for held, at in due.items() if at <= time.monotonic()]:
                self._renew(held)
                due[held] = time.monotonic() + held.seconds / RENEWALS_PER_LEASE

    def _wait(self, due: dict[Held, float]) -> bool:
        """Wait until the next renewal is due, or the held leases change; return False if none are held any more."""
        with self._changed:
            if due and due.keys() == self._held:
                self._changed.wait(max(min(due.values()) - time.monotonic(), 0.0))
            for gone in due.keys() - self._held:
                del due[gone]
            for new in self._held - due.keys():
                due[new] = time.monotonic() + new.seconds / RENEWALS_PER_LEASE
            # Decided under the lock: leases that `keep` adds are seen by this thread, or start the next one.
            self._running = bool(self._held)
            return self._running

    def _renew(self, held: Held) -> None:
        try:
            held.client.send(renew_slots(held.leases, held.seconds))
        except Conflict as error:
            logger.warning("The slots of %s were lost: %s", ", ".join(held.names), error)
            self.forget(held)
        except Exception as error:
            # It is tried again at the next third of the lease; the thread must survive for the others.
            logger.warning("The slots of %s could not be renewed: %s", ", ".join(held.names), error)


_keeper = SlotKeeper()


def slot_keeper() -> SlotKeeper:
    """Return the keeper of this process."""
    return _keeper


def _forget_in_child() -> None:
    # Slots and the thread belong to the parent process.
    global _keeper
    _keeper = SlotKeeper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
