"""The API as commands use it: paths and plain JSON, because what they print with -o json is the API's own object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

Json = dict[str, Any]
PAGE = 200
# Somebody waits at the keyboard: a program may ask for a minute, a command soon says that nobody answers.
PATIENCE_SECONDS = 4.0


def without_none(fields: Mapping[str, Any]) -> Json:
    """Leave out what was not given; the API would take None for a value of its own."""
    return {name: value for name, value in fields.items() if value is not None}


class Backend:
    """Sends raw calls through the SDK's client: over HTTP, or into this process where no server is set."""

    def __init__(self, *, url: str | None = None, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """To the API of the settings, unless another one is named: that one gets no key of ours."""
        from dataclasses import replace

        from orionflow.client import OrionClient
        from orionflow.settings import current_settings

        settings = replace(current_settings(), api_url=url, api_key=None) if url else current_settings()
        self.client = OrionClient(retry_budget_seconds=patience_seconds, settings=settings)

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.request("POST", path, body)

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def text(self, path: str) -> str:
        """An answer that is no JSON, as it came."""
        from orionflow.client import Call

        content: bytes = self.client.send(Call("GET", path, read=bytes))
        return content.decode()

    def request(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON, or None when it has no body."""
        from orionflow.client import Call

        way, _, query = path.partition("?")
        content: bytes = self.client.send(Call(method, way, body, parse_qs(query), bytes, headers or {}))
        return json.loads(content) if content else None

    def pages(self, path: str, body: Json, limit: int | None) -> Iterator[Json]:
        """The objects that a filter finds, page by page, up to a limit (None: all of them)."""
        offset = 0
        while limit is None or offset < limit:
            wanted = PAGE if limit is None else min(PAGE, limit - offset)
            page = self.post(path, {**body, "limit": wanted, "offset": offset})
            yield from page
            if len(page) < wanted:
                return
            offset += len(page)


def backend() -> Backend:
    return Backend()
