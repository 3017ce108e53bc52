"""Websockets in the way of Channels: routes to consumers, behind the guard and the authentication of requests.

Websockets never pass Django's middleware. So each handshake is made into the request that it is, and judged by the
functions that judge requests. Channels' own `AllowedHostsOriginValidator` would refuse programs, which send no Origin,
and would let in the pages of another port.
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
    """Close before accepting, which is a plain 403 for the client."""
    await receive()
    await send({"type": "websocket.close", "code": REFUSED})


# Of programs.
routes = [
    path("api/events/in", ReportEventsLive.as_asgi()),
    path("api/events/out", FollowEvents.as_asgi()),
    path("api/task_runs/subscriptions/scheduled", ServeTasks.as_asgi()),
]


class SocketGuard(BaseMiddleware):  # type: ignore[misc]  # Channels has no types
    """Let in what the guard lets in, and put who asks into the scope, where consumers look for `user`."""

    def __init__(self, inner: Any, *, base_path: str) -> None:
        super().__init__(inner)
        self._base_path = base_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        environ = wsgi_environ(scope, b"", self._base_path)
        read_forwarding(environ)
        request = WSGIRequest(environ)
        try:
            # Otherwise nothing is to be looked up.
            is_plain = _is_plainly_local(request)
            user = _judged(request) if is_plain else await in_database(_judged, request)
        except PermissionDenied:
            return await refuse(scope, receive, send)
        # The path without the base path, which a proxy may have taken off already; daphne takes a `root_path` from a
        # header that any client may send.
        inner = {**scope, "user": user, "address": address_of(request), "path": request.path_info, "root_path": ""}
        return await self.inner(inner, receive, send)


def _is_plainly_local(request: WSGIRequest) -> bool:
    has_credentials = "HTTP_AUTHORIZATION" in request.META or settings.SESSION_COOKIE_NAME in request.COOKIES
    return not has_credentials and is_local_owner(request.META)


def _judged(request: WSGIRequest) -> Actor | None:
    """Return who asks; None where the first message may still say so. Raises PermissionDenied."""
    refused = refusal(request.META, method="GET", path=request.path_info)
    if refused is not None:
        raise PermissionDenied(refused.detail)
    return recognised(request)


# The counts of this process, for whoever measures it.
counted: WeakSet[OpenSockets] = WeakSet()


class OpenSockets(BaseMiddleware):  # type: ignore[misc]  # Channels has no types
    """Keep no more sockets open than the server can bear, and of one key, user or stranger's address half of that."""

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
        # Accept and close: a refused handshake would look like missing rights, and clients would not come again.
        await receive()
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope.get("subprotocols", ())), None)})
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reason})


def _holder(scope: Scope) -> str:
    user: Actor | None = scope["user"]
    return user.identity if user is not None else f"address {scope['address']}"


def websockets(*, base_path: str, most: int, most_pages: int = 200) -> SocketGuard:
    """The ASGI application of all websockets. What has no route does not exist.

    Pages and programs are counted apart: somebody's many tabs must not keep agents out.
    """
    anything_else = re_path("", refuse)  # type: ignore[arg-type]  # a view to Django, an application to Channels
    of_programs = OpenSockets(URLRouter([*routes, anything_else]), most=most)
    of_pages = OpenSockets(LivePages.as_asgi(), most=most_pages, of="pages")
    router = URLRouter([path("live", of_pages), re_path("", of_programs)])
    return SocketGuard(router, base_path=base_path)
