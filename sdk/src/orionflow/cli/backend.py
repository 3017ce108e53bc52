"""The API as commands use it: the SDK's calls, and plain JSON, because -o json prints the API's own object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionflow.calls import Call, Collection

Json = dict[str, Any]
PAGE = 200
# Somebody waits at the keyboard: a program may ask for a minute, a command soon says that nobody answers.
PATIENCE_SECONDS = 4.0


def without_none(fields: Mapping[str, Any]) -> Json:
    """Leave out what was not given; the API would take None for a value of its own."""
    return {name: value for name, value in fields.items() if value is not None}


class Backend:
    """Sends calls through the SDK's client: over HTTP, or into this process where no server is set."""

    def __init__(self, *, url: str | None = None, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """To the API of the settings, unless another one is named: that one gets no key of ours."""
        from dataclasses import replace

        from orionflow.client import OrionClient
        from orionflow.settings import current_settings

        settings = replace(current_settings(), api_url=url, api_key=None) if url else current_settings()
        self.client = OrionClient(retry_budget_seconds=patience_seconds, settings=settings)

    def ask(self, call: Call[Any]) -> Any:
        """Return the answer's JSON as it came, with fields that our models do not know; None when it has no body."""
        content = self.raw(call)
        return json.loads(content) if content else None

    def raw(self, call: Call[Any]) -> bytes:
        """Return the answer's bytes."""
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
