"""Sessions of signed-in users: those of Django, which end when the password or the roles change."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from orion_site.accounts.permissions import Actor
from orion_site.accounts.users import actor_of_user

RIGHTS = "orion_rights"


def actor_of_session(request: HttpRequest) -> Actor | None:
    """Return the user who signed in with the browser of the request; None if none did, or the session has ended."""
    if not hasattr(request, "session"):
        # A websocket, for which no middleware runs.
        engine = import_module(settings.SESSION_ENGINE)
        request.session = engine.SessionStore(request.COOKIES[settings.SESSION_COOKIE_NAME])
    # Django checks a hash of the password, and that the user is active.
    user = get_user(request)
    if not isinstance(user, User):
        return None
    actor, rights = actor_of_user(user)
    if request.session.get(RIGHTS) != rights:
        request.session.flush()
        request.user = AnonymousUser()
        return None
    return actor


@receiver(user_logged_in, dispatch_uid="orion-rights")
def _remember_rights(request: HttpRequest, user: User, **_: Any) -> None:
    # Compared at each request: a session does not survive a change of roles.
    request.session[RIGHTS] = actor_of_user(user)[1]
    # No other code deletes expired sessions.
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
