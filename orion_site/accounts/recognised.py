"""Keys that were recognised lately, so that most requests with one ask nothing of the database.

What was read of a key counts until anything changes by which it could be refused, or mean something else: a key, a
user, a group, a role. Such a change moves a number in the database, in its own transaction. A process looks at it
twenty times a second at most, and forgets at once where the change is its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.db.models import F
from django.db.models.signals import m2m_changed, post_delete, post_save

from orion_site.accounts.models import ApiKey, Grant, RightsChanged
from orion_site.accounts.permissions import Actor

MOST_KEYS = 10_000
LOOK_SECONDS = 0.05
_LOOK = f"SELECT number FROM {RightsChanged._meta.db_table} ORDER BY id LIMIT 1"  # noqa: S608 (a constant)
# Of a user, a sign-in notes this alone.
_SIGN_IN = frozenset({"last_login"})


@dataclass(slots=True)
class Recognised:
    """For whom a key speaks, until when, and when its use was noted."""

    actor: Actor
    expires: datetime | None
    noted: datetime | None


class RecognisedKeys:
    """Recognised keys by their digest, as of one number in the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Recognised] = OrderedDict()
        self._number: int | None = None
        self._looked = 0.0
        self._forgotten = 0

    def find(self, digest: str) -> tuple[Recognised | None, int]:
        """Return the key if it counts, and a mark, with which it may be kept if it has to be read."""
        if not 0.0 <= time.monotonic() - self._looked < LOOK_SECONDS:
            self._look()
        with self._lock:
            return self._known.get(digest), self._forgotten

    def known(self, digest: str) -> Recognised | None:
        """Return the key if it counts; of one that is not known, nothing is asked."""
        return self.find(digest)[0] if digest in self._known else None

    def keep(self, digest: str, found: Recognised, mark: int) -> None:
        """Keep what was read, unless something was forgotten since the mark."""
        with self._lock:
            if mark != self._forgotten:
                return
            self._known[digest] = found
            if len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._known.clear()
            self._forgotten += 1

    def _look(self) -> None:
        # Before the question: another thread need not ask it as well.
        self._looked = time.monotonic()
        # By hand: to build the statement took longer than to answer it.
        with connection.cursor() as cursor:
            cursor.execute(_LOOK)
            row = cursor.fetchone()
        number = row and row[0]
        if number != self._number:
            self._number = number
            self.forget()


keys = RecognisedKeys()


def rights_changed(**_: Any) -> None:
    """Let no process count on what it read before; called within the transaction of a change."""
    keys.forget()
    if not RightsChanged.objects.update(number=F("number") + 1):
        RightsChanged.objects.create(number=1)
    if connection.in_atomic_block:
        # Whoever read meanwhile saw the rows as they were.
        transaction.on_commit(keys.forget)


def _user_saved(update_fields: frozenset[str] | None = None, **_: Any) -> None:
    if update_fields is None or not frozenset(update_fields) <= _SIGN_IN:
        rights_changed()


def connect() -> None:
    """Watch the rows by which keys are judged."""
    post_save.connect(_user_saved, sender=User, dispatch_uid="rights-user")
    post_delete.connect(rights_changed, sender=User, dispatch_uid="rights-no-user")
    for model in (ApiKey, Grant, Group):
        post_save.connect(rights_changed, sender=model, dispatch_uid=f"rights-{model.__name__}")
        post_delete.connect(rights_changed, sender=model, dispatch_uid=f"rights-no-{model.__name__}")
    m2m_changed.connect(rights_changed, sender=User.groups.through, dispatch_uid="rights-groups")
