"""The local owner: a person on this machine owns the server, and in the admin, too.

The owner is a row like any user, so that the admin's own log has somebody to name, but nobody can sign in as it: it
has no password, and no session is opened. Each request is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from orion_site.accounts.guard import LOOPBACK_HOSTS, is_loopback

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

OWNER_NAME = "local-owner"
# Whoever comes through a proxy may come from anywhere, whatever address the proxy has.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


class LocalOwnerMiddleware:
    """Below the admin's address, let requests from this machine act as the local owner, unless somebody signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and is_from_this_machine(request) and not _session(request):
            request.user = cast("User", SimpleLazyObject(local_owner))
        return self._get_response(request)


def _session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated


def is_from_this_machine(request: Any) -> bool:
    """Asked by a loopback address, for a loopback name, and not by way of a proxy."""
    if any(header in request.META for header in FORWARDED):
        return False
    return _host_name(request.get_host()) in LOOPBACK_HOSTS and is_loopback(request.META.get("REMOTE_ADDR", ""))


def local_owner() -> User:
    from django.contrib.auth.models import User

    owner = User.objects.filter(username=OWNER_NAME).first()
    return owner or User.objects.create_superuser(OWNER_NAME)


def who_can_sign_in() -> QuerySet[User]:
    """The users who have a password and are not disabled."""
    from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
    from django.contrib.auth.models import User

    with_password = User.objects.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX).exclude(password="")
    return with_password.filter(is_active=True)


def anybody_can_sign_in() -> bool:
    return who_can_sign_in().exists()


def _host_name(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
