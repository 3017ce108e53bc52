"""What the websockets of the API have in common: who may open one, what is said on it, and where the database is asked.

A socket keeps no database connection: what it needs runs on a few threads that all sockets share, and an event loop
that waits for a slow query would be late for everybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import close_old_connections
from pydantic import ValidationError

from orchestration.api.parsing import UnreadableBody, refuse_unstorable
from orchestration.api.rendering import encoded
from orion_site.accounts.permissions import Action
from orion_site.http.close_codes import INTERNAL_ERROR, POLICY_VIOLATION, PROTOCOL_ERROR
from orionflow.contract.wire import Wire

P = ParamSpec("P")
T = TypeVar("T")
Model = TypeVar("Model", bound=Wire)

logger = logging.getLogger("orion.sockets")

SUBPROTOCOL = "prefect"
# Whoever opens a socket says what it is for within this time.
PATIENCE_SECONDS = 10.0

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="orion-sockets")


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on the threads of sockets."""
    call = partial(work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, _with_usable_connection, call)


def _with_usable_connection(call: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()


class Conversation(AsyncWebsocketConsumer):
    """One open websocket. Subclasses declare what it asks of an actor, and may work beside what is received."""

    action_required: ClassVar[Action | None] = None
    _work: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.stop_working()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels would ask a thread to close old connections before each message; sockets have none.
        await getattr(self, get_handler_name(message))(message)

    async def websocket_ping(self, message: dict[str, Any]) -> None:
        """Our own server leaves pongs to the conversation: they may confirm what came before the ping."""
        await self.base_send({"type": "websocket.pong", "payload": message["payload"]})

    def work(self, going_on: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin what goes on until the socket closes; an error in it closes the socket."""
        self._work = asyncio.create_task(self._guarded(going_on))
        return self._work

    async def _guarded(self, going_on: Awaitable[None]) -> None:
        try:
            await going_on
        except Exception:
            logger.exception("A websocket at %s is closed after an error.", self.scope["path"])
            await self.close(INTERNAL_ERROR, "The server failed")

    async def stop_working(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work

    async def tell(self, content: Any) -> None:
        await self.send(text_data=encoded(content).decode())


class IntroducedConversation(Conversation):
    """A socket of the sub-protocol `prefect`: the client introduces itself, says what it wants, and is told things.

    Its token is not looked at: who may open the socket was settled before it was accepted.
    """

    _introduced = False
    _deadline: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        if SUBPROTOCOL not in self.scope["subprotocols"]:
            await self.close(PROTOCOL_ERROR)
            return
        await self.accept(SUBPROTOCOL)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PATIENCE_SECONDS, self._lose_patience, loop)

    def _lose_patience(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work = loop.create_task(self.close(POLICY_VIOLATION, "Nothing was asked for in time"))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or ""
        if self._work is not None:
            await self.receive_more(text)
        elif self._introduced:
            await self.receive_wish(text)
        elif read_message(Introduction, text) is None:
            await self.close(POLICY_VIOLATION, "Expected 'auth' message")
        else:
            self._introduced = True
            await self.tell({"type": "auth_success"})

    async def receive_wish(self, text: str) -> None:
        """What the client wants. Whoever understands it begins to `work`."""
        raise NotImplementedError

    async def receive_more(self, text: str) -> None:
        """What the client says after that."""

    def work(self, going_on: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._forget_deadline()
        return super().work(going_on)

    async def stop_working(self) -> None:
        self._forget_deadline()
        await super().stop_working()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


class Introduction(Wire):
    type: Literal["auth"]


def read_message(model: type[Model], text: str) -> Model | None:
    """The message, with the validation that bodies of requests meet; None when it does not fit."""
    try:
        return read_strictly(model, text)
    except ValueError:
        return None


def read_strictly(model: type[Model], text: str) -> Model:
    """Raises ValueError with a sentence that fits into the reason of a closed socket."""
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
