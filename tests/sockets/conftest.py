"""Websockets as the server routes them, and the API, in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from channels.testing import WebsocketCommunicator

from orion_site.http.sockets import SocketGuard, websockets

PATIENCE = 20.0
OWN_HOST = (b"host", b"localhost:4200")
PREFECT = ("prefect",)


class Talk(WebsocketCommunicator):  # type: ignore[misc]  # channels has no types
    """A client that waits longer than a busy machine needs."""

    async def connect(self, timeout: float = PATIENCE) -> Any:
        return await super().connect(timeout)

    async def next_message(self) -> Any:
        return await self.receive_json_from(timeout=PATIENCE)

    async def close_code(self) -> int:
        closed = await self.receive_output(timeout=PATIENCE)
        assert closed["type"] == "websocket.close", closed
        code: int = closed["code"]
        return code

    async def introduce(self, request: dict[str, Any]) -> None:
        await self.send_json_to({"type": "auth", "token": None})
        assert await self.next_message() == {"type": "auth_success"}
        await self.send_json_to(request)

    async def ping(self) -> None:
        """Ping, and wait for the pong: what was sent before has been dealt with."""
        await self.send_input({"type": "websocket.ping", "payload": b"here"})
        assert await self.receive_output(timeout=PATIENCE) == {"type": "websocket.pong", "payload": b"here"}


def talk_to(
    path: str,
    *,
    subprotocols: tuple[str, ...] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (OWN_HOST,),
    client: str = "127.0.0.1",
    application: SocketGuard | None = None,
) -> Talk:
    talk = Talk(application or websockets(base_path="", most=10), path, list(headers), list(subprotocols))
    talk.scope["client"] = [client, 5000]
    return talk


@asynccontextmanager
async def talking(path: str, *, subprotocols: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Talk]:
    """An accepted socket, until the end of the block."""
    talk = talk_to(path, subprotocols=subprotocols, **options)
    assert await talk.connect(timeout=PATIENCE) == (True, subprotocols[0] if subprotocols else None)
    try:
        yield talk
    finally:
        await talk.disconnect(timeout=PATIENCE)


def event(name: str = "ice.melted", resource: str = "cup.1", **fields: Any) -> dict[str, Any]:
    """An event as a client sends it."""
    return {
        "occurred": "2026-11-21T12:00:00Z",
        "event": name,
        "resource": {"prefect.resource.id": resource},
        "id": str(fields.pop("id", None) or uuid4()),
        **fields,
    }


def text_of(one: dict[str, Any]) -> str:
    return json.dumps(one)


def ids_of(events: list[dict[str, Any]]) -> list[UUID]:
    return [UUID(one["event"]["id"]) for one in events]
