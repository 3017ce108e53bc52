"""The local owner: the Unix user who runs the server owns it without signing in, also in the admin.

The connection shows which of this machine's users sends a request (`orion_site.http.peers`). The owner has a row like
any user, which the admin's log refers to, but cannot sign in: it has no password, and gets no session. Each request is
checked for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection
from django.http.request import split_domain_port

from orion_site.accounts.guard import LOOPBACK_HOSTS, is_loopback
from orion_site.accounts.proxies import was_handed_on
from orion_site.http.peers import OWN_USER, can_identify_users

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

OWNER_NAME = "local-owner"


class OwnerBy(StrEnum):
    """How a request from this machine without credentials proves that it is from the owner: `ORION_LOCAL_OWNER`."""

    USER = "user"  # its program is run by the Unix user who runs the server
    TOKEN = "token"  # not at all: programs of the owner send the token of ORION_HOME, and browsers use a link
    ANYONE = "anyone"  # every request from this machine is from the owner


def owner_by() -> OwnerBy:
    if settings.ORION_LOCAL_OWNER:
        return OwnerBy(settings.ORION_LOCAL_OWNER)
    return OwnerBy.USER if can_identify_users() else OwnerBy.TOKEN


def is_local_owner(meta: Mapping[str, Any]) -> bool:
    """Whether a request without credentials, given by its WSGI environment, is from the local owner."""
    if not is_from_this_machine(meta):
        return False
    match owner_by():
        case OwnerBy.USER:
            return meta.get(OWN_USER) is True
        case OwnerBy.ANYONE:
            return True
    return False


def is_from_this_machine(meta: Mapping[str, Any]) -> bool:
    """Whether a request has a loopback address and a loopback host, and did not pass through a proxy."""
    if was_handed_on(meta):
        return False
    host, _ = split_domain_port(str(meta.get("HTTP_HOST") or "").lower())
    return host.rstrip(".") in LOOPBACK_HOSTS and is_loopback(meta.get("REMOTE_ADDR") or "")


def local_owner() -> User:
    from django.contrib.auth.models import User

    owner = User.objects.filter(username=OWNER_NAME).first()
    return owner or User.objects.create_superuser(OWNER_NAME)


def who_can_sign_in() -> QuerySet[User]:
    """Return the users who have a password and are not disabled."""
    from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
    from django.contrib.auth.models import User

    with_password = User.objects.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX).exclude(password="")
    return with_password.filter(is_active=True)


def anybody_can_sign_in() -> bool:
    # The statement of `who_can_sign_in().exists()`. Each request without credentials asks it, and would take several
    # times as long to build it.
    with connection.cursor() as cursor:
        cursor.execute(_ANYBODY)
        return cursor.fetchone() is not None


_ANYBODY = "SELECT 1 FROM auth_user WHERE is_active AND password <> '' AND password NOT LIKE '!%' LIMIT 1"
