"""Folders at any address that fsspec supports (s3://, gs://, az://, memory:// …), copied file by file."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from orionflow.errors import CodeUnavailable, OrionError
from orionflow.extras import install_command
from orionflow.storage.commands import Bounds
from orionflow.storage.git import shown
from orionflow.storage.safe_paths import checked_part

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}


def copy_here(url: str, target: Path, bounds: Bounds, options: Mapping[str, Any]) -> None:
    """Copy all files below an address into a folder. Stop if that takes too long or too much space."""
    copying = _Copying(url, target, bounds, options)
    # The file systems have no common way to set a time limit.
    thread = threading.Thread(target=copying.run, name="orion-storage", daemon=True)
    thread.start()
    thread.join(bounds.seconds)
    if thread.is_alive():
        copying.given_up.set()
        raise CodeUnavailable(
            f"Copying {shown(url)} did not end within {bounds.seconds:g} s; ORION_STORAGE_TIMEOUT_SECONDS allows more."
        )
    if isinstance(copying.error, OrionError):
        raise copying.error
    if copying.error is not None:
        kind = type(copying.error).__name__
        raise CodeUnavailable(f"Copying {shown(url)} failed: {kind}: {copying.error}") from copying.error


class _Copying:
    """The work of one copy, in a thread that can be abandoned."""

    def __init__(self, url: str, target: Path, bounds: Bounds, options: Mapping[str, Any]) -> None:
        self.url, self.target, self.bounds, self.options = url, target, bounds, options
        self.given_up = threading.Event()
        self.error: Exception | None = None
        self.until = time.monotonic() + bounds.seconds

    def run(self) -> None:
        try:
            self._copy()
        except Exception as error:
            self.error = error

    def _copy(self) -> None:
        files, root = file_system(self.url, self.options)
        found = files.find(root, detail=True)
        if not found:
            raise CodeUnavailable(f"There is nothing at {shown(self.url)}.")
        # By the sizes that are listed, before anything is copied; not all file systems list them.
        self._check_size(sum(int(entry.get("size") or 0) for entry in found.values()))
        brought = 0
        for name in sorted(found):
            # A file that is being copied cannot be interrupted, but no other is begun in a folder that may be gone.
            if self.given_up.is_set():
                return
            brought += self._copy_one(files, name, root)
            self._check_size(brought)

    def _copy_one(self, files: Any, name: str, root: str) -> int:
        part = PurePosixPath(name).name if name == root else name.removeprefix(root).lstrip("/")
        place = self.target / checked_part(part, "The file")
        place.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(name, str(place))
        return place.stat().st_size if place.exists() else 0

    def _check_size(self, size: int) -> None:
        if size > self.bounds.bytes:
            raise CodeUnavailable(
                f"{shown(self.url)} holds more than {self.bounds.bytes // (1024 * 1024)} MB; "
                "ORION_STORAGE_MAX_MEGABYTES allows more."
            )


def file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it; say what to install if the file system is missing."""
    scheme = url.partition("://")[0].lower()
    extra = EXTRAS.get(scheme)
    try:
        url_to_fs: Any = import_module("fsspec.core").url_to_fs
    except ImportError:
        raise CodeUnavailable(_to_install(url, extra)) from None
    try:
        files, path = url_to_fs(url, **options)
    except ImportError:
        raise CodeUnavailable(_to_install(url, extra)) from None
    except ValueError as error:
        raise CodeUnavailable(f"{shown(url)} cannot be read: {error}") from None
    return files, str(path).rstrip("/") or "/"


def _to_install(url: str, extra: str | None) -> str:
    wanted = install_command(extra) if extra else "pip install fsspec and the package for its scheme"
    return f"Reading {shown(url)} needs a package that is not installed on this machine: {wanted}."
