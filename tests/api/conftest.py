"""The API through its whole stack: guard, middleware, URLs, DRF, rules and a real database."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

COUNTS = Path(__file__).with_name("query_counts.json")


class Api(Client):
    """Speaks JSON to paths below /api, as a program on this machine."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.generic(
            method,
            f"/api{path}",
            content,
            content_type="application/json",
            headers={"host": "localhost:4200", **headers},
        )

    def read(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def send(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)


@pytest.fixture
def api(db: None) -> Api:
    return Api(raise_request_exception=True)


@pytest.fixture
def counted() -> Callable[[str], AbstractContextManager[None]]:
    """`with counted("what"):` holds the number of queries to the one in query_counts.json.

    UPDATE_QUERY_COUNTS=1 writes the file again.
    """

    @contextmanager
    def count(name: str) -> Iterator[None]:
        with CaptureQueriesContext(connection) as queries:
            yield
        _compare(f"{name} ({connection.vendor})", [query["sql"] for query in queries])

    return count


def _compare(name: str, queries: list[str]) -> None:
    counts = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if os.environ.get("UPDATE_QUERY_COUNTS"):
        COUNTS.write_text(json.dumps({**counts, name: len(queries)}, indent=1, sort_keys=True) + "\n")
    else:
        assert len(queries) == counts.get(name), "\n".join([f"{name}: {len(queries)} queries", *queries])
