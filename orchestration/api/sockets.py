"""Consumers of the API's websockets: who may open one, what is sent on it, and where database queries run.

A socket keeps no database connection: its queries run on a few threads that all sockets share, because an event loop
that waits for a slow query would delay every client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, ParamSpec, TypeVar

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import DatabaseError
from pydantic import ValidationError
from rest_framework.exceptions import AuthenticationFailed

from orchestration.api.parsing import UnreadableBody, refuse_unstorable
from orchestration.api.rendering import encoded
from orchestration.errors import RunLost
from orchestration.sight import seeing
from orchestration.transactions import with_usable_connection
from orion_site.accounts.authentication import actor_with_key, read_again
from orion_site.accounts.permissions import WITHOUT_CREDENTIALS, Action, Actor, DenyUndeclared, may, may_in_part
from orionflow.contract.masking import known
from orionflow.contract.sockets import Introduction
from orionflow.contract.wire import Wire

P = ParamSpec("P")
T = TypeVar("T")
Model = TypeVar("Model", bound=Wire)

logger = logging.getLogger("orion.sockets")

# Close codes of websockets: those of RFC 6455, and two from the range for applications.
NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
# Prefect's clients know this code.
UNEXPECTED_MESSAGE = 4001
# Sent before a socket is accepted; the client sees a plain 403.
REFUSED = 4403

SUBPROTOCOL = "prefect"
# The client must send its request within this time.
PATIENCE_SECONDS = 10.0
# How often the rights are checked again: a revoked key closes its sockets within this time.
RIGHTS_EVERY_SECONDS = 5.0

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="orion-sockets")


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the threads that sockets share."""
    call = partial(work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, with_usable_connection, call)


def _seen_by(actor: Actor, action: Action | None, work: Callable[[], T]) -> T:
    if not actor.objects:
        return work()
    from orion_site.accounts.objects import sight_of

    with seeing(sight_of(actor, action)):
        return work()


class SocketConsumer(AsyncJsonWebsocketConsumer):
    """One open websocket. Subclasses declare the action that it needs, and may `work` while they receive messages."""

    action_required: ClassVar[Action | None] = None
    # No layer has this name, so Channels gives the consumer none: a socket that only serves its own client continues
    # while Redis cannot be reached. Consumers that join groups name "default".
    channel_layer_alias = "none"
    _work: asyncio.Task[None] | None = None
    _watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in `disconnect`: an error in a handler ends the consumer without calling it.
            await self.stop_working()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels would close old connections in a thread before each message. Sockets have no connections
        # (`in_database`), and switching to that thread reduces the rate of events to a fifth (decision 0033).
        await getattr(self, get_handler_name(message))(message)

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        if not self.is_admitted():
            await self.close(REFUSED)
            raise StopConsumer
        self.watch_rights()
        await super().websocket_connect(message)

    def is_admitted(self) -> bool:
        """Whether the handshake is accepted."""
        return self.is_allowed(self.scope.get("user"))

    def is_allowed(self, actor: Actor | None) -> bool:
        """Whether the actor may have the socket. Rights on some objects are enough for a socket that only reads."""
        action = self.action_required
        in_part = action is not None and action.is_reading and may_in_part(actor, action)
        return in_part or may(actor, action)

    async def read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read rows with the sight of the user who opened the socket."""
        call = partial(work, *args, **kwargs)
        return await in_database(lambda: _seen_by(self.scope["user"], self.action_required, call))

    def watch_rights(self) -> None:
        """Close the socket soon after its key is revoked or its user loses the right to it."""
        actor: Actor | None = self.scope.get("user")
        if actor is not None and (actor.user_id is not None or actor.run_id is not None):
            self._watch = asyncio.create_task(self._close_without(actor))

    async def _close_without(self, actor: Actor) -> None:
        while True:
            await asyncio.sleep(RIGHTS_EVERY_SECONDS)
            try:
                current = await in_database(read_again, actor)
            except DatabaseError:
                continue
            if not self.is_allowed(current):
                await self.close(POLICY_VIOLATION, DenyUndeclared.message)
                return
            self.scope["user"] = current

    async def websocket_ping(self, message: dict[str, Any]) -> None:
        """Answer a ping. Our server leaves this to the consumer: a pong may confirm the messages before the ping."""
        await self.base_send({"type": "websocket.pong", "payload": message["payload"]})

    async def send_json(self, content: Any, close: bool = False) -> None:
        text = encoded(content)
        # Mask as in HTTP responses (`orion_site.http.middleware`): the text may have been stored before the secret was
        # known.
        if known and not may(self.scope.get("user"), Action.READ_SECRETS):
            text = known.masked_answer(text)
        await self.send(text_data=text.decode(), close=close)

    def work(self, going_on: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that runs until the socket closes. An error in it closes the socket."""
        self._work = asyncio.create_task(self._guarded(going_on))
        return self._work

    async def _guarded(self, going_on: Awaitable[None]) -> None:
        try:
            await going_on
        except Exception:
            logger.exception("A websocket at %s is closed after an error.", self.scope["path"])
            await self.close(INTERNAL_ERROR, "The server failed")

    async def stop_working(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work


class IntroducedConsumer(SocketConsumer):
    """A socket of the subprotocol `prefect`: the client introduces itself, sends a request, and receives the answers.

    The introduction may contain a key, which then authenticates the socket. A client without credentials in the
    handshake must send one.
    """

    _introduced = False
    _deadline: asyncio.TimerHandle | None = None

    def is_admitted(self) -> bool:
        return self.scope.get("user") is None or super().is_admitted()

    async def connect(self) -> None:
        if SUBPROTOCOL not in self.scope["subprotocols"]:
            await self.close(PROTOCOL_ERROR)
            return
        await self.accept(SUBPROTOCOL)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PATIENCE_SECONDS, self._time_out, loop)

    def _time_out(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work = loop.create_task(self.close(POLICY_VIOLATION, "Nothing was asked for in time"))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or ""
        if self._work is not None:
            await self.receive_more(text)
        elif self._introduced:
            await self.receive_request(text)
        elif (introduction := read_message(Introduction, text)) is None:
            await self.close(POLICY_VIOLATION, "Expected 'auth' message")
        elif refusal := await self._refusal_of(introduction.token):
            await self.close(POLICY_VIOLATION, refusal)
        else:
            self._introduced = True
            await self.send_json({"type": "auth_success"})

    async def _refusal_of(self, token: Any) -> str | None:
        """Return why the client is refused, or None. A valid token authenticates the socket from now on."""
        if isinstance(token, str) and token:
            try:
                self.scope["user"] = await in_database(actor_with_key, token, self.scope.get("address", ""))
            except AuthenticationFailed as error:
                return str(error.detail)
            except RunLost as error:
                return str(error)
            if self._watch is not None:
                self._watch.cancel()
            self.watch_rights()
        if self.scope.get("user") is None:
            return WITHOUT_CREDENTIALS
        return None if self.is_allowed(self.scope["user"]) else DenyUndeclared.message

    async def receive_request(self, text: str) -> None:
        """Read the client's request, and start to `work` if it is valid."""
        raise NotImplementedError

    async def receive_more(self, text: str) -> None:
        """Read further messages of the client."""

    def work(self, going_on: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._forget_deadline()
        return super().work(going_on)

    async def stop_working(self) -> None:
        self._forget_deadline()
        await super().stop_working()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


def read_message(model: type[Model], text: str) -> Model | None:
    """Return the message, validated like the body of a request; None if it does not fit."""
    try:
        return read_strictly(model, text)
    except ValueError:
        return None


def read_strictly(model: type[Model], text: str) -> Model:
    """Return the message. Raises ValueError with a sentence that fits into the close reason of a websocket."""
    body = text.encode(errors="replace")
    try:
        refuse_unstorable(body)
        return model.model_validate_json(body)
    except UnreadableBody as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        raise ValueError(first_complaint(error)) from None


def first_complaint(error: ValidationError) -> str:
    one = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
