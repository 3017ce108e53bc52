"""Entries for sign-ins, sign-outs and failed sign-ins, from Django's signals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import DatabaseError
from django.http import HttpRequest

from orion_site.audit.acting import RecordedAct, Who
from orion_site.audit.entrances import NOBODY, who_of
from orion_site.audit.models import Entry

logger = logging.getLogger("orion.audit")
ACTION = "session"


def connect() -> None:
    user_logged_in.connect(_came, dispatch_uid="audit")
    user_logged_out.connect(_left, dispatch_uid="audit")
    user_login_failed.connect(_failed, dispatch_uid="audit")


def _came(request: HttpRequest, user: User, **_: Any) -> None:
    _act(request, user, "LogIn").done()


def _left(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        _act(request, user, "LogOut").done()


def _failed(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # A name that no user has may be a password typed into the wrong field, so it is not recorded.
    name = str(credentials.get("username") or "")
    user = User.objects.filter(username=name).first()
    try:
        _act(request, user, "LogIn").refused("unknown user or wrong password")
    except DatabaseError:
        logger.exception("A failed log-in of %s could not be recorded", user)


def _act(request: HttpRequest | None, user: User | None, operation: str) -> RecordedAct:
    name = user.get_username() if user else NOBODY
    who = Who(actor=name, entrance=Entry.Entrance.PAGE)
    if request is not None:
        who = who_of(request, Entry.Entrance.PAGE, None, name)
    return RecordedAct(who, ACTION, operation, ("user", str(user.pk) if user else ""))
