"""API keys: create, recognise, revoke.

A key is `orn_` and 43 characters, of which 35 are random in any case. Its first characters find the row, one query
reads it with the user and the roles of the user's groups, and the digests are compared in constant time. The answer is
cached until something changes (see `recognised`): a revoked key, a disabled user or a removed role takes effect with
the next request to the same server, and a twentieth of a second later on the others.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from orchestration.errors import MadeAlready
from orchestration.new_names import refuse_unreadable
from orchestration.tables import dialect
from orchestration.transactions import write_transaction
from orion_site.accounts import recognised
from orion_site.accounts.errors import KeyNotFound, KeyRefused, KeyTooStrong, UserNotFound
from orion_site.accounts.models import ApiKey
from orion_site.accounts.permissions import Actor
from orion_site.accounts.recognised import Recognised
from orion_site.accounts.roles import ACTIONS, Held, actions_of, limited, objects_of
from orion_site.accounts.throttling import HINT_LENGTH as HINT_LENGTH
from orion_site.accounts.users import actions_of_user, actor_of_user, roles_of
from orionflow.contract.credentials import KEY_BEGINS

logger = logging.getLogger("orion.accounts")

# `last_used` is exact to this time only, so that not every request with a key writes.
USED_EVERY = timedelta(minutes=1)
_FORM = re.compile(r"orn_[A-Za-z0-9_-]{43}")


UNKNOWN = "This API key is not known here. Check ORION_API_KEY, or make a new key."
REVOKED = "This API key was revoked. Make a new key."
EXPIRED = "This API key has expired. Make a new key."
DISABLED = "The user of this API key is disabled."

_FIND = """
SELECT k.digest, k.id, k.role, k.revoked IS NOT NULL, k.expires, k.last_used, u.id, u.username, u.is_active,
       u.is_superuser, g.role, g.kind, g.name
FROM accounts_apikey k
JOIN auth_user u ON u.id = k.user_id
LEFT JOIN auth_user_groups m ON m.user_id = u.id
LEFT JOIN accounts_grant g ON g.group_id = m.group_id
WHERE k.hint = %s
"""


def actor_of_key(key: str) -> Actor:
    """Return the actor of a key. Raises KeyRefused."""
    if not _FORM.fullmatch(key):
        raise KeyRefused(UNKNOWN)
    now = timezone.now()
    digest = _digest(key)
    found, mark = recognised.keys.find(digest)
    if found is None:
        found = _read(key, digest)
        recognised.keys.keep(digest, found, mark)
    if found.expires is not None and found.expires <= now:
        raise KeyRefused(EXPIRED)
    if found.noted is None or found.noted < now - USED_EVERY:
        # Before it is stored: requests of other threads in the meantime do not store it too.
        found.noted = now
        _note_use(found, now)
    return found.actor


def actor_of_recognised(key: str) -> Actor | None:
    """Return the actor of a key that was recognised recently and whose use need not be stored; otherwise None."""
    found = recognised.keys.known(_digest(key))
    if found is None or found.noted is None:
        return None
    now = timezone.now()
    is_over = found.expires is not None and found.expires <= now
    return None if is_over or found.noted < now - USED_EVERY else found.actor


def _read(key: str, digest: str) -> Recognised:
    """Read the actor of a key from the database. Raises KeyRefused."""
    rows = [row for row in _rows(key[:HINT_LENGTH]) if hmac.compare_digest(row[0], digest)]
    if not rows:
        raise KeyRefused(UNKNOWN)
    _, key_id, role, is_revoked, expires, last_used, user_id, name, is_active, is_superuser, *_ = rows[0]
    if is_revoked:
        raise KeyRefused(REVOKED)
    if not is_active:
        raise KeyRefused(DISABLED)
    # A user without groups has one row, without a role.
    roles = [Held(*row[-3:]) for row in rows if row[-3]]
    actions = actions_of(roles, is_superuser=bool(is_superuser))
    actor = limited(Actor(name, actions, user_id=user_id, key_id=key_id, objects=objects_of(roles)), role)
    return Recognised(actor, *(moment and dialect().read_moment(moment) for moment in (expires, last_used)))


def actor_again(actor: Actor) -> Actor | None:
    """Return the actor with its present permissions; None if its key is no longer valid, or its user is disabled."""
    user = None if actor.user_id is None else User.objects.filter(pk=actor.user_id, is_active=True).first()
    if user is None:
        return None
    now_is, _ = actor_of_user(user)
    if actor.key_id is None:
        return now_is
    key = ApiKey.objects.filter(pk=actor.key_id, revoked=None).first()
    if key is None or (key.expires is not None and key.expires <= timezone.now()):
        return None
    return limited(replace(now_is, key_id=key.pk), key.role)


def create_key(
    *, user: User, name: str, role: str, expires: datetime | None, now: datetime, id: UUID | None = None
) -> tuple[ApiKey, str]:
    """Create a key, with this id once, and return it with its text, which is not stored.

    Raises KeyTooStrong, MadeAlready, UnreadableName and UserNotFound.
    """
    refuse_unreadable(name)
    roles = roles_of(user)
    # A role on named objects may be given to a key, where it also holds for these objects only.
    allowed = actions_of_user(user).union(*(ACTIONS.get(one.role, frozenset()) for one in roles))
    if role and not ACTIONS[role] <= allowed:
        raise KeyTooStrong(role=role, user=user.get_username())
    text = KEY_BEGINS + secrets.token_urlsafe(32)
    if id is not None:
        # Its first characters are no secret, so they remember the id. The others are 208 random bits.
        text = KEY_BEGINS + urlsafe_b64encode(sha256(id.bytes).digest()[:6]).decode() + text[HINT_LENGTH:]
    key = ApiKey(
        name=name, user=user, hint=text[:HINT_LENGTH], digest=_digest(text), role=role, created=now, expires=expires
    )
    with write_transaction():
        # On PostgreSQL, a form that is sent twice at the same time waits here.
        if User.objects.select_for_update(no_key=True).filter(pk=user.pk).first() is None:
            raise UserNotFound(id=user.get_username())
        if id is not None and ApiKey.objects.filter(hint=key.hint).exists():
            raise MadeAlready(kind="an API key")
        key.save()
    return key, text


def revoke_key(*, key_id: int, now: datetime, user: User | None = None) -> ApiKey:
    """Revoke a key, of this user if one is given. Raises KeyNotFound."""
    keys = ApiKey.objects.filter(pk=key_id, **({"user": user} if user else {}))
    with write_transaction():
        key = keys.select_related("user").first()
        if key is None:
            raise KeyNotFound(id=key_id)
        if key.revoked is None:
            key.revoked = now
            key.save(update_fields=["revoked"])
    return key


def _digest(key: str) -> str:
    return sha256(key.encode(errors="replace")).hexdigest()


def _rows(hint: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [hint])
        rows: list[Any] = cursor.fetchall()
        return rows


def _note_use(found: Recognised, now: datetime) -> None:
    try:
        with transaction.atomic():
            ApiKey.objects.filter(pk__in=[found.actor.key_id]).update(last_used=now)
    except DatabaseError as error:
        # The request itself needs no write to the database.
        logger.debug("The use of a key could not be noted: %s", error)
