"""The API of a program without a server, in which requests also detect runs of programs that were killed."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http.response import HttpResponseBase

from orchestration.database_clock import current_time
from orionflow.processes import is_gone

logger = logging.getLogger("orion.services")

# Seconds between checks; shorter programs never check.
LOOK_EVERY_SECONDS = 5.0
# Task runs left open by finished runs are searched among all open ones. The interval varies between programs.
LOOK_AT_TASK_RUNS_EVERY_SECONDS = 60.0


class ApplicationWithoutServer(WSGIHandler):
    """Crashes runs of dead programs now and then before a request, because their slots may be needed."""

    def __init__(self) -> None:
        super().__init__()
        self._began: datetime | None = None
        self._next_look = time.monotonic() + LOOK_EVERY_SECONDS
        self._next_look_at_task_runs = time.monotonic() + random.uniform(0, LOOK_AT_TASK_RUNS_EVERY_SECONDS)
        self._has_failed = False
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
        """Look for such runs. An error must not fail the request, which is about something else."""
        try:
            self._crash_runs_of_the_dead()
        except Exception as problem:
            if self._has_failed:
                logger.debug("Runs of dead programs could not be looked for: %s", problem)
            else:
                logger.warning("Runs of dead programs could not be looked for: %s", problem, exc_info=True)
            self._has_failed = True

    def _crash_runs_of_the_dead(self) -> None:
        # Imported here, because short programs do not need it.
        from deployments.dispatch.services import dead_processes

        now = current_time()
        began = self._began = self._began or now
        # As with a server: processes that ended before the first check may still be reported.
        is_early = now - began < timedelta(seconds=settings.ORION_CRASH_GRACE_SECONDS)
        made_after = began if is_early else None
        if time.monotonic() >= self._next_look_at_task_runs:
            pause = LOOK_AT_TASK_RUNS_EVERY_SECONDS * random.uniform(1, 1.5)
            self._next_look_at_task_runs = time.monotonic() + pause
            dead_processes.crash_task_runs_of_dead_processes(now, is_gone=is_gone, made_after=made_after)
        dead_processes.crash_open_runs_of_dead_processes(now, is_gone=is_gone, made_after=made_after)
