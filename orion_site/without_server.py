"""The API of a program that has no server, and therefore nobody who looks after runs of programs that were killed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import Error
from django.http.response import HttpResponseBase

from orchestration.database_clock import current_time
from orionflow.processes import is_gone

logger = logging.getLogger("orion.services")

# Programs that end sooner never look.
LOOK_EVERY_SECONDS = 5.0


class ApplicationWithoutServer(WSGIHandler):
    """Now and then, before it answers, crashes the runs of dead programs: their slots are what others wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._began: datetime | None = None
        self._next_look = time.monotonic() + LOOK_EVERY_SECONDS
        self._looking = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        if time.monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next_look = time.monotonic() + LOOK_EVERY_SECONDS
                self._looking.release()
        return super().__call__(environ, start_response)

    def _look(self) -> None:
        # Short programs need not load it.
        from deployments.dispatch.services.dead_processes import crash_runs_of_dead_processes

        now = current_time()
        began = self._began = self._began or now
        # As with a server: what ended before somebody looked may be reported a while later.
        is_early = now - began < timedelta(seconds=settings.ORION_CRASH_GRACE_SECONDS)
        try:
            crash_runs_of_dead_processes(now, is_gone=is_gone, made_after=began if is_early else None)
        except Error as problem:
            logger.debug("Runs of dead programs could not be looked for: %s", problem)
