"""The environment in which a run executes: Python, the installed packages, and the version of the code.

Read once per process and folder of code, when a run has started: from names of folders and a few small files, without
metadata of packages and without a child process. Addresses of package indexes and environment variables are not read.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.contract.ids import environment_id
from orionflow.private_files import make_private_folder, private_opener

MOST_PACKAGES = 2_000
# The digest of the code covers at most this many files, each up to this size in bytes.
MOST_FILES, LARGEST_FILE = 500, 1_000_000
PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[A-Za-z0-9.+!_]+)(?:-py\d[\d.]*)?\.(?:dist|egg)-info")
INSTALLED = ("site-packages", "dist-packages")
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Seconds after which an environment is reported again, as the server may have deleted it.
REPORTED_FOR_SECONDS = 24 * 3600


def environment_of(code: str | None) -> tuple[UUID, dict[str, Any]]:
    """Return the environment of this process for code in this file, and its id."""
    return _environment(os.path.dirname(os.path.abspath(code)) if code and not code.startswith("<") else "")


@lru_cache(maxsize=32)
def _environment(folder: str) -> tuple[UUID, dict[str, Any]]:
    content = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": f"{sys.platform} {os.uname().machine if hasattr(os, 'uname') else ''}".strip(),
        "commit": commit_of(Path(folder)) if folder else "",
        "files": _digest(_files_below(folder)) if folder else "",
        "packages": installed_packages(),
    }
    return environment_id(content), content


def installed_packages(folders: Iterable[str] | None = None) -> dict[str, str]:
    """Return the versions of installed packages by name, read from the names of the folders that installers create."""
    found: dict[str, str] = {}
    for folder in sys.path if folders is None else folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith("-info") and (match := PACKAGE.fullmatch(name)):
                found.setdefault(match["name"].replace("_", "-").lower(), match["version"])
    return dict(sorted(found.items())[:MOST_PACKAGES])


def commit_of(folder: Path) -> str:
    """Return the Git commit of the folder's repository; empty if there is no repository or it cannot be read."""
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        try:
            if git.is_file():
                # A worktree or a submodule: the file names the folder.
                git = (parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()).resolve()
            if git.is_dir():
                return _head_of(git)
        except (OSError, ValueError):
            return ""
    return ""


def _head_of(git: Path) -> str:
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return head if COMMIT.fullmatch(head) else ""
    name = head.partition(":")[2].strip()
    if not name.startswith("refs/") or ".." in name:
        return ""
    shared = git / "commondir"
    places = [git, (git / shared.read_text(encoding="utf-8").strip()).resolve()] if shared.is_file() else [git]
    for place in places:
        if (place / name).is_file():
            found = (place / name).read_text(encoding="utf-8").strip()
            return found if COMMIT.fullmatch(found) else ""
    for place in places:
        if (place / "packed-refs").is_file():
            for line in (place / "packed-refs").read_text(encoding="utf-8").splitlines():
                commit, _, ref = line.partition(" ")
                if ref == name and COMMIT.fullmatch(commit):
                    return commit
    return ""


def _files_below(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the names and paths of the user's modules that were loaded from this folder or a folder below it."""
    begin = folder.rstrip(os.sep) + os.sep
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    own = sorted(path for path in paths if path and path.startswith(begin) and path.endswith(".py"))
    for path in own[:MOST_FILES]:
        name = path[len(begin) :]
        if not any(part in INSTALLED for part in Path(name).parts):
            yield name, path


def _digest(files: Iterable[tuple[str, str]]) -> str:
    digest, number = hashlib.sha256(), 0
    for name, path in files:
        try:
            if os.path.getsize(path) > LARGEST_FILE:
                continue
            content = Path(path).read_bytes()
        except OSError:
            continue
        number += 1
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest() if number else ""


def must_be_reported(api_url: str, home: Path, id: UUID) -> bool:
    """Whether the API may not know this environment; the home remembers which ones were reported."""
    note = home / "environments" / f"{hashlib.sha256(api_url.encode()).hexdigest()[:12]}-{id.hex}"
    try:
        if time.time() - note.stat().st_mtime < REPORTED_FOR_SECONDS:
            return False
    except OSError:
        pass
    try:
        make_private_folder(note.parent)
        with open(note, "wb", opener=private_opener):
            os.utime(note)
    except OSError:
        # The home is not writable, so each process reports the environment.
        pass
    return True
