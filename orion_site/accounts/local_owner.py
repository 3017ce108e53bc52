"""The operator of a server without users: a person on this machine is its owner, in the admin too.

The owner is a row like any user, so that the admin's own log has somebody to name, but nobody can sign in as it: it
has no password, and no session is opened. Each request is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from orion_site.accounts.guard import LOOPBACK_HOSTS, is_loopback

OWNER_NAME = "local-owner"
# Whoever comes through a proxy may come from anywhere, whatever address the proxy has.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


class LocalOwnerMiddleware:
    """Below the admin's address, let requests from this machine act as the local owner."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and is_from_this_machine(request):
            request.user = cast(User, SimpleLazyObject(local_owner))
        return self._get_response(request)


def is_from_this_machine(request: HttpRequest) -> bool:
    """Asked by a loopback address, for a loopback name, and not by way of a proxy."""
    if any(header in request.META for header in FORWARDED):
        return False
    return _host_name(request.get_host()) in LOOPBACK_HOSTS and is_loopback(request.META.get("REMOTE_ADDR", ""))


def local_owner() -> User:
    owner = User.objects.filter(username=OWNER_NAME).first()
    return owner or User.objects.create_superuser(OWNER_NAME)


def anybody_can_sign_in() -> bool:
    """Whether there is a user with a password, made by `createsuperuser`."""
    return User.objects.exclude(username=OWNER_NAME).exists()


def _host_name(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
