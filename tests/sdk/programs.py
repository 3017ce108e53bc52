"""Scripts as users write them, run in processes of their own against a database of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests import warm
from tests.homes import ready_home
from tests.printed import PATIENCE_SECONDS, read_until

# The beginning of a program with a task runner that calls functions as workers of Dask, Ray and Celery do.
WORKER = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from orionflow.task_runners import ConcurrentTaskRunner, ProcessTaskRunner
from orionflow.task_runners.child import call_with_lines, pack, unpack_outcome
from orionflow.task_runners.child_lines import show_lines

class Worker(ConcurrentTaskRunner):
    def __init__(self, max_workers=1):
        super().__init__(max_workers)
        self.call = self._call

    def start(self):
        super().start()
        self.pool = ProcessPoolExecutor(1, get_context("fork"))

    def stop(self, *, wait=True):
        super().stop(wait=wait)
        self.pool.shutdown()

    def _call(self, *call):
        outcome, lines = self.pool.submit(call_with_lines, pack(*call)).result()
        show_lines(lines)
        return unpack_outcome(outcome)
"""


class Program:
    """One script in one home, where a database is ready unless a test is about the first start."""

    def __init__(self, folder: Path, source: str, *, ready: bool = True) -> None:
        self.file = folder / "program.py"
        self.file.write_text(textwrap.dedent(source))
        self.home = ready_home(folder / "home") if ready else folder / "home"
        self.process: subprocess.Popen[str] | None = None

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
        return {**kept, "ORION_HOME": str(self.home), "PYTHONUNBUFFERED": "1", **more}

    def start(self, words: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        self.process = warm.Popen(
            [sys.executable, str(self.file), *words],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def run(
        self, timeout: float = 60, words: tuple[str, ...] = (), cold: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        run = subprocess.run if cold else warm.run
        return run(
            [sys.executable, str(self.file), *words],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def wait_for_output(self, word: str, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until the running program has printed a line with this word."""
        assert self.process is not None
        read_until(self.process.stdout, word, timeout, errors=self.process.stderr)

    def flow_run(self) -> tuple[str, str]:
        """The state of the only flow run, and its message."""
        sql = "SELECT r.state_name, s.message FROM runs_flowrun r JOIN runs_flowrunstate s ON s.id = r.state_id"
        ((name, message),) = self.query(sql)
        return name, message

    def task_runs(self) -> list[tuple[str, str]]:
        """Names and states of all task runs."""
        return self.query("SELECT name, state_name FROM runs_taskrun ORDER BY id")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the program's database, as another process would."""
        with sqlite3.connect(f"file:{self.home / 'orion.db'}?mode=ro", uri=True) as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows
