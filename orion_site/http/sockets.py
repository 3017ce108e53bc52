"""Websockets with Channels: routes to consumers, behind the guard and the authentication of requests.

Django's middleware does not run for websockets. So each handshake is converted to a request, and checked by the
functions that check requests. Channels' `AllowedHostsOriginValidator` would refuse programs, which send no Origin, and
would accept pages of another port.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakSet

from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIRequest
from django.urls import path, re_path

from events.recording.api.sockets import FollowEvents, ReportEventsLive
from orchestration.api.sockets import REFUSED, TRY_AGAIN_LATER, in_database
from orion_site.accounts.attempts import address_of
from orion_site.accounts.guard import refusal
from orion_site.accounts.local_owner import is_local_owner
from orion_site.accounts.permissions import LOCAL_OWNER, Actor, recognised
from orion_site.accounts.proxies import read_forwarding
from orion_site.http.wsgi_adapter import Receive, Scope, Send, wsgi_environ
from orion_site.live.socket import LivePages
from runs.background_tasks.api import ServeTasks


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Close before accepting, which the client sees as a 403."""
    await receive()
    await send({"type": "websocket.close", "code": REFUSED})


# Websockets of programs.
routes = [
    path("api/events/in", ReportEventsLive.as_asgi()),
    path("api/events/out", FollowEvents.as_asgi()),
    path("api/task_runs/subscriptions/scheduled", ServeTasks.as_asgi()),
]


class SocketGuard(BaseMiddleware):  # type: ignore[misc]  # Channels has no types
    """Applies the guard, and puts the actor into the scope, where consumers look for `user`."""

    def __init__(self, inner: Any, *, base_path: str) -> None:
        super().__init__(inner)
        self._base_path = base_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        environ = wsgi_environ(scope, b"", self._base_path)
        read_forwarding(environ)
        request = WSGIRequest(environ)
        try:
            # Only other requests need the database to be checked.
            is_plain = _is_plainly_local(request)
            user = _judged(request) if is_plain else await in_database(_judged, request)
        except PermissionDenied:
            return await refuse(scope, receive, send)
        # The path without the base path, which a proxy may have removed already. daphne takes `root_path` from a header
        # that any client may send.
        inner = {**scope, "user": user, "address": address_of(request), "path": request.path_info, "root_path": ""}
        return await self.inner(inner, receive, send)


def _is_plainly_local(request: WSGIRequest) -> bool:
    has_credentials = "HTTP_AUTHORIZATION" in request.META or settings.SESSION_COOKIE_NAME in request.COOKIES
    return not has_credentials and is_local_owner(request.META)


def _judged(request: WSGIRequest) -> Actor | None:
    """Return the actor; None if the first message may still authenticate it. Raises PermissionDenied."""
    refused = refusal(request.META, method="GET", path=request.path_info)
    if refused is not None:
        raise PermissionDenied(refused.detail)
    return recognised(request)


# The limits of this process, for metrics.
counted: WeakSet[OpenSockets] = WeakSet()


class OpenSockets(BaseMiddleware):  # type: ignore[misc]  # Channels has no types
    """Limits the number of open websockets, in total, and to half of that for one key, user or unknown address."""

    def __init__(self, inner: Any, *, most: int, of: str = "programs") -> None:
        super().__init__(inner)
        self.of, self.most = of, most
        self._of_one = max(1, most // 2)
        self._open = Counter[str]()
        counted.add(self)

    @property
    def open(self) -> int:
        return self._open.total()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        who = _holder(scope)
        if self.open >= self.most:
            return await self._turn_away("Too many open sockets; try again later", scope, receive, send)
        if who != LOCAL_OWNER.identity and self._open[who] >= self._of_one:
            return await self._turn_away("You have too many open sockets; close one", scope, receive, send)
        self._open[who] += 1
        try:
            return await self.inner(scope, receive, send)
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    async def _turn_away(self, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
        # Accept and close: clients would take a refused handshake for missing rights, and not try again.
        await receive()
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope.get("subprotocols", ())), None)})
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reason})


def _holder(scope: Scope) -> str:
    user: Actor | None = scope["user"]
    return user.identity if user is not None else f"address {scope['address']}"


def websockets(*, base_path: str, most: int, most_pages: int = 200) -> SocketGuard:
    """Return the ASGI application of all websockets; paths without a route are refused.

    Pages and programs are counted separately, so that a user's many tabs cannot keep out agents.
    """
    anything_else = re_path("", refuse)  # type: ignore[arg-type]  # a view to Django, an application to Channels
    of_programs = OpenSockets(URLRouter([*routes, anything_else]), most=most)
    of_pages = OpenSockets(LivePages.as_asgi(), most=most_pages, of="pages")
    router = URLRouter([path("live", of_pages), re_path("", of_programs)])
    return SocketGuard(router, base_path=base_path)
