"""Cache of recognised API keys, so that most requests with a key need no query.

Entries are valid until anything changes that could revoke a key or change its rights: a key, a user, a group, a role.
Such a change increments a number in the database, in its own transaction. Each process reads the number at most twenty
times a second, and clears its cache at once after a change of its own.
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
# The only column that a sign-in changes.
_SIGN_IN = frozenset({"last_login"})


@dataclass(slots=True)
class Recognised:
    """The actor of a key, when it expires, and when its last use was stored."""

    actor: Actor
    expires: datetime | None
    noted: datetime | None


class RecognisedKeys:
    """Recognised keys by their digest, valid for one value of the number in the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Recognised] = OrderedDict()
        self._number: int | None = None
        self._looked = 0.0
        self._forgotten = 0

    def find(self, digest: str) -> tuple[Recognised | None, int]:
        """Return the cached key if it is valid, and a mark to pass to `keep` if it has to be read."""
        if not 0.0 <= time.monotonic() - self._looked < LOOK_SECONDS:
            self._look()
        with self._lock:
            return self._known.get(digest), self._forgotten

    def known(self, digest: str) -> Recognised | None:
        """Return the cached key if it is valid, without a query for an unknown one."""
        return self.find(digest)[0] if digest in self._known else None

    def keep(self, digest: str, found: Recognised, mark: int) -> None:
        """Cache a key that was read, unless the cache was cleared since the mark."""
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
        # Set before the query, so that other threads do not send it as well.
        self._looked = time.monotonic()
        # Raw SQL, because building the statement would take longer than the query.
        with connection.cursor() as cursor:
            cursor.execute(_LOOK)
            row = cursor.fetchone()
        number = row and row[0]
        if number != self._number:
            self._number = number
            self.forget()


keys = RecognisedKeys()


def rights_changed(**_: Any) -> None:
    """Invalidate the caches of all processes; call it within the transaction of a change."""
    keys.forget()
    if not RightsChanged.objects.update(number=F("number") + 1):
        RightsChanged.objects.create(number=1)
    if connection.in_atomic_block:
        # A thread that read in between saw the rows before the change.
        transaction.on_commit(keys.forget)


def _user_saved(update_fields: frozenset[str] | None = None, **_: Any) -> None:
    if update_fields is None or not frozenset(update_fields) <= _SIGN_IN:
        rights_changed()


def connect() -> None:
    """Connect to the signals of the rows on which the rights of keys depend."""
    post_save.connect(_user_saved, sender=User, dispatch_uid="rights-user")
    post_delete.connect(rights_changed, sender=User, dispatch_uid="rights-no-user")
    for model in (ApiKey, Grant, Group):
        post_save.connect(rights_changed, sender=model, dispatch_uid=f"rights-{model.__name__}")
        post_delete.connect(rights_changed, sender=model, dispatch_uid=f"rights-no-{model.__name__}")
    m2m_changed.connect(rights_changed, sender=User.groups.through, dispatch_uid="rights-groups")
