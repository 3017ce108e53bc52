"""The door of websockets: the same guard and the same rights as for requests, before anything is accepted.

Websockets never pass Django's middleware. So each handshake is made into the request that it is, and judged by the
functions that judge requests. What is not listed in `SOCKETS` does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIRequest

from orion_site.accounts.guard import refusal
from orion_site.accounts.permissions import actor_of, may
from orion_site.http.bridge import Receive, Scope, Send, refuse_socket, wsgi_environ
from orion_site.http.close_codes import TRY_AGAIN_LATER

if TYPE_CHECKING:
    from orchestration.api.sockets import Conversation

# The conversations are imported when somebody first asks for them: most servers never hear of one.
SOCKETS: Mapping[str, tuple[str, str]] = {
    "/api/events/in": ("events.recording.api.sockets", "ReportEventsLive"),
    "/api/events/out": ("events.recording.api.sockets", "FollowEvents"),
    "/api/task_runs/subscriptions/scheduled": ("runs.background_tasks.api", "ServeTasks"),
}


def conversation_at(path: str) -> type[Conversation] | None:
    if path not in SOCKETS:
        return None
    module, name = SOCKETS[path]
    found: type[Conversation] = getattr(import_module(module), name)
    return found


class SocketDoor:
    """An ASGI application that lets conversations in, and no more of them than the server can bear."""

    def __init__(self, *, base_path: str, most: int) -> None:
        self._base_path = base_path.rstrip("/")
        self._most = most
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        conversation = admitted(WSGIRequest(wsgi_environ(scope, b"", self._base_path)))
        if conversation is None:
            await refuse_socket(scope, receive, send)
        elif self._open >= self._most:
            await turn_away(scope, receive, send)
        else:
            await self._converse(conversation, scope, receive, send)

    async def _converse(self, conversation: type[Conversation], scope: Scope, receive: Receive, send: Send) -> None:
        self._open += 1
        try:
            await conversation()(scope, receive, send)
        finally:
            self._open -= 1


def admitted(request: WSGIRequest) -> type[Conversation] | None:
    """The conversation that a handshake asks for, if it may be had by whoever asks."""
    if refusal(request.META, method="GET", path=request.path_info) is not None:
        return None
    conversation = conversation_at(request.path_info)
    try:
        actor = actor_of(request)
    except PermissionDenied:
        return None
    return conversation if conversation and may(actor, conversation.action_required) else None


async def turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept and close: a refused handshake would look like missing rights, and clients would not come again."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope.get("subprotocols", ())), None)})
    reason = "Too many open sockets; try again later"
    await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reason})
