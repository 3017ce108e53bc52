"""A home, a database and a reporter for one block of code."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orionflow.client import OrionClient
from orionflow.client.ephemeral import in_process_server
from orionflow.clock import SystemClock, use_clock
from orionflow.engine.effects import end_threads
from orionflow.engine.event_loops import running_loop, set_aside
from orionflow.errors import UsageError
from orionflow.logging import ROOT, set_up
from orionflow.reporting import close_reporters
from orionflow.settings import override_settings
from orionflow.testing.virtual_clock import VirtualClock

PREFIX = "ORION_"


@dataclass(frozen=True, slots=True)
class Isolated:
    """The place where runs of a block are recorded: `with isolated() as here:` yields it.

    - `home`: the temporary home.
    - `clock`: the clock by which runs wait.
    """

    home: Path
    clock: VirtualClock | SystemClock

    @property
    def client(self) -> OrionClient:
        """A client of the API of this block."""
        return OrionClient()


@contextmanager
def isolated(*, clock: VirtualClock | None = None, **settings: Any) -> Iterator[Isolated]:
    """Run flows of this block in this process, with an empty database in a temporary home, whatever the settings say.

    - `clock`: a `VirtualClock()` makes retries and pauses take no time (default: the real one).
    - `settings`: settings of the block, as in `isolated(logging_level=10)`.

    Yields an object with `home`, `clock` and `client`. In coroutines, use `with isolated():` as well.

    Raises `UsageError` if the installed server is older than the SDK.
    """
    with ExitStack() as stack:
        with _no_loop_in_sight():
            here = stack.enter_context(_isolated(clock, settings))
        try:
            yield here
        finally:
            with _no_loop_in_sight():
                stack.close()


def _no_loop_in_sight() -> AbstractContextManager[None]:
    """Hide the event loop: the database is created and closed here, which Django refuses if a loop runs."""
    loop = running_loop()
    return nullcontext() if loop is None else set_aside(loop)


@contextmanager
def _isolated(clock: VirtualClock | None, settings: dict[str, Any]) -> Iterator[Isolated]:
    with tempfile.TemporaryDirectory(prefix="orion-test-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        # Existing reporters belong to another database.
        close_reporters()
        with _environment(home), override_settings(**settings), _served_from(home, clock), _waiting_by(clock):
            try:
                with _lines_for_everybody():
                    yield Isolated(home, clock or SystemClock())
            finally:
                close_reporters()
                end_threads()
                in_process_server().end_threads()


@contextmanager
def _environment(home: Path) -> Iterator[None]:
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    for name in before:
        del os.environ[name]
    os.environ["ORION_HOME"] = str(home)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _served_from(home: Path, clock: VirtualClock | None) -> Iterator[None]:
    application: Any = in_process_server().application()
    if not hasattr(application, "at_home"):
        raise UsageError(
            "The installed Orion server is too old for orionflow.testing; install the same version of both."
        )
    with application.at_home(home, clock.now if clock else None):
        yield


@contextmanager
def _lines_for_everybody() -> Iterator[None]:
    """Pass the log lines of runs to the program's handlers as well, as test runners capture lines there."""
    set_up()
    root = logging.getLogger(ROOT)
    before, root.propagate = root.propagate, True
    try:
        yield
    finally:
        root.propagate = before


def _waiting_by(clock: VirtualClock | None) -> Any:
    return use_clock(clock) if clock else nullcontext()
