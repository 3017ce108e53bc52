"""Programs that fetch code, each with a limit of time and size; a program that exceeds one is killed with its group."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orionflow.errors import CodeUnavailable
from orionflow.settings import current_settings

LOOK_SECONDS = 0.2
_LAST_WORDS = 2000
_MEGABYTE = 1024 * 1024


class BeyondBounds(CodeUnavailable):
    """A step that fetches code took too long or too much disk space, so another attempt would as well."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a fetching step may take, and how much disk space it may use."""

    seconds: float
    bytes: int


def current_bounds(seconds: float | None = None) -> Bounds:
    """Return the limits in the settings, or with this time limit."""
    settings = current_settings()
    return Bounds(seconds or settings.storage_timeout_seconds, settings.storage_max_megabytes * _MEGABYTE)


def run_command(
    words: Sequence[str],
    *,
    title: str,
    bounds: Bounds,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    watched: Path | None = None,
) -> str:
    """Return the output of a program. Raise CodeUnavailable if it fails, and BeyondBounds if it was stopped."""
    # Files instead of pipes: if a child of the program kept a pipe open, reading would block.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start(words, title, folder, environment, (out.fileno(), err.fileno()))
        try:
            _wait(process, title, bounds, watched)
        finally:
            _kill_group(process)
        if process.returncode != 0:
            raise CodeUnavailable(f"{title} failed (exit code {process.returncode}): {_text(err) or _text(out)}")
        return _text(out)


def _start(
    words: Sequence[str],
    title: str,
    folder: Path | None,
    environment: Mapping[str, str] | None,
    streams: tuple[int, int],
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(words),
            cwd=folder,
            # Git and its like need it.
            env={**os.environ, **(environment or {})},  # nosemgrep: whole-environment-for-a-process
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            # A group of its own, which can be killed without this process.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        missing = words[0] if folder is None or folder.is_dir() else folder
        raise CodeUnavailable(f"{title} failed: there is no {missing} on this machine.") from error
    except (OSError, ValueError) as error:
        raise CodeUnavailable(f"{title} failed: {error}") from error


def _wait(process: subprocess.Popen[bytes], title: str, bounds: Bounds, watched: Path | None) -> None:
    until = time.monotonic() + bounds.seconds
    pause = 0.005
    while not _has_ended(process):
        if time.monotonic() > until:
            raise BeyondBounds(
                f"{title} did not end within {bounds.seconds:g} s and was stopped; "
                "ORION_STORAGE_TIMEOUT_SECONDS allows more."
            )
        time.sleep(pause)
        pause = min(pause * 2, LOOK_SECONDS)
        if watched is not None and pause == LOOK_SECONDS:
            check_size(watched, title, bounds)
    if watched is not None:
        check_size(watched, title, bounds)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # It is not collected, so that its id cannot be reused before its group is killed.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def check_size(folder: Path, title: str, bounds: Bounds) -> None:
    """Raise BeyondBounds if a folder is larger than allowed."""
    if size_of(folder) > bounds.bytes:
        raise BeyondBounds(
            f"{title} brought more than {bounds.bytes // _MEGABYTE} MB and was stopped; "
            "ORION_STORAGE_MAX_MEGABYTES allows more."
        )


def size_of(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder that may be changing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(stream: object) -> str:
    stream.seek(0)  # type: ignore[attr-defined]
    content: bytes = stream.read()  # type: ignore[attr-defined]
    text = content.decode("utf-8", "replace").strip()
    return text if len(text) <= _LAST_WORDS else "…" + text[-_LAST_WORDS:]
