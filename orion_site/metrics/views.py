"""`/metrics` for Prometheus. Requests within a few seconds share the figures of the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client.exposition import choose_encoder

from orion_site.accounts.permissions import Action, requires
from orion_site.metrics import siblings
from orion_site.metrics.database import DatabaseFigures, database_figures
from orion_site.metrics.exposition import Collected, families_of_database

SHARED_SECONDS = 5.0


class Shared:
    """The newest figures of the database; requests that arrive while they are read wait for them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: DatabaseFigures | None = None
        self._until = 0.0

    def figures(self) -> DatabaseFigures:
        with self._lock:
            if self._found is None or time.monotonic() >= self._until:
                self._found = database_figures()
                # Counted from the end, as a busy database takes seconds to answer.
                self._until = time.monotonic() + SHARED_SECONDS
            return self._found

    def forget(self) -> None:
        with self._lock:
            self._found = None


shared = Shared()


@requires(Action.READ_METRICS)
def metrics(request: HttpRequest) -> HttpResponse:
    encode, content_type = _encoder(request.headers.get("Accept", ""))
    families = [*families_of_database(shared.figures()), *siblings.siblings.families()]
    return HttpResponse(encode(Collected(families)), content_type=content_type)


def _encoder(accept: str) -> tuple[Callable[[Any], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        # An invalid version, such as `text/plain; version=latest`.
        return choose_encoder("")
