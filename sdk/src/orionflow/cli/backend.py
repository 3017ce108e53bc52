"""The API as used by commands: the SDK's calls, with plain JSON, because -o json prints the API's own object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionflow.calls import Call, Collection

Json = dict[str, Any]
PAGE = 200
# Seconds. A user waits at the keyboard, so a command reports sooner than a program that the API does not answer.
PATIENCE_SECONDS = 4.0


def without_none(fields: Mapping[str, Any]) -> Json:
    """Leave out fields that were not given; the API would treat None as a value."""
    return {name: value for name, value in fields.items() if value is not None}


class Backend:
    """Sends calls through the SDK's client: over HTTP, or into this process if no server is set."""

    def __init__(self, *, url: str | None = None, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Connect to the API of the settings, or to the named one, which does not get our key."""
        from dataclasses import replace

        from orionflow.client import OrionClient
        from orionflow.settings import current_settings

        settings = replace(current_settings(), api_url=url, api_key=None) if url else current_settings()
        self.client = OrionClient(retry_budget_seconds=patience_seconds, settings=settings)

    def ask(self, call: Call[Any]) -> Any:
        """Return the answer's unchanged JSON, including fields that our models do not know; None if it has no body."""
        content = self.raw(call)
        return json.loads(content) if content else None

    def raw(self, call: Call[Any]) -> bytes:
        """Return the bytes of the answer."""
        from dataclasses import replace

        content: bytes = self.client.send(replace(call, read=bytes))
        return content

    def pages(self, collection: Collection[Any], body: Json, limit: int | None) -> Iterator[Json]:
        """Yield the objects that a filter finds, page by page, up to a limit (None: all of them)."""
        offset = 0
        while limit is None or offset < limit:
            wanted = PAGE if limit is None else min(PAGE, limit - offset)
            page = self.ask(collection.find({**body, "limit": wanted, "offset": offset}))
            yield from page
            if len(page) < wanted:
                return
            offset += len(page)
