"""The code of a run as it is on this machine: the commit, and the files in the folder of the entry point.

Nothing is imported to find them. Only code files are included, within limits; hidden, linked and large files, and those
named like a secret, are left out and listed in the capsule.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from orionflow.code.entrypoints import is_path, split_entrypoint
from orionflow.contract.masking import NAMES_A_SECRET
from orionflow.replay.capsule import CODE, BadCapsule, check_name
from orionflow.replay.secret_names import SecretNames

SUFFIXES = frozenset({".py", ".sql", ".j2", ".jinja", ".jinja2"})
# Sizes are in bytes.
MOST_FILES = 300
LARGEST_FILE = 256 * 1024
LARGEST_CODE = 4 * 1024 * 1024
GIT_SECONDS = 5.0
_NEVER = re.compile(
    r"\.(pem|key|p12|pfx|jks|kdbx|crt)$|^id_(rsa|dsa|ecdsa|ed25519)|^\.|netrc|kubeconfig", re.IGNORECASE
)
_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "env", "site-packages", "build", "dist"})


@dataclass(slots=True)
class Code:
    """Where a flow's code is on this machine: its root, the file of the entry point, and the state in Git."""

    root: Path
    file: Path
    entrypoint: str
    commit: str | None = None
    is_changed: bool | None = None
    remote: str | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The version that a run of this file records, unless its flow sets one."""
        return hashlib.md5(self.file.read_bytes(), usedforsecurity=False).hexdigest()


def find_code(entrypoint: str, folder: Path, *, anywhere: bool = False) -> Code | None:
    """Find the file that an entry point names, without importing anything. Return None if it is not in the folder.

    Entry points come from the API, so they must not select arbitrary files; with `anywhere` the user selects the file.
    """
    where, name = split_entrypoint(entrypoint)
    folder = folder.resolve()
    file = _file_of(where, folder)
    if file is None or not file.is_file() or file.suffix != ".py":
        return None
    if not anywhere and not file.is_relative_to(folder):
        return None
    root = folder if file.is_relative_to(folder) else file.parent
    # A module keeps its name, by which it imports its neighbours.
    place = file.relative_to(root).as_posix() if is_path(where) or (folder / where).is_file() else where
    code = Code(root, file, f"{place}:{name}" if name else place)
    code.commit, code.is_changed, code.remote = _git(file.parent)
    return code


def _file_of(where: str, folder: Path) -> Path | None:
    if is_path(where) or (folder / where).is_file():
        return (folder / where).resolve()
    parts = where.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    base = folder.joinpath(*parts)
    return next((one.resolve() for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()), None)


def _git(folder: Path) -> tuple[str | None, bool | None, str | None]:
    """Return the commit, whether tracked files were changed since, and the address of the remote `origin`."""
    commit = _asked(folder, "rev-parse", "HEAD")
    if not commit:
        return None, None, None
    changes = _asked(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    # Without an answer in time, the code counts as changed.
    return commit, changes is None or bool(changes), _asked(folder, "config", "--get", "remote.origin.url") or None


def _asked(folder: Path, *words: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *words],
            capture_output=True, text=True, timeout=GIT_SECONDS, stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of a capsule. `digest` is that of the file on this machine, before secrets were masked."""

    name: str
    content: bytes
    digest: str
    is_masked: bool


def files_of(code: Code, secrets: SecretNames) -> Iterator[CodeFile]:
    """Yield the files in the folder of the entry point, its own file first, without those that must not be packed."""
    left = LARGEST_CODE
    for number, file in enumerate(_in_order(code)):
        name = file.relative_to(code.root).as_posix()
        if number >= MOST_FILES or left <= 0:
            code.left_out.append(f"{name}: the capsule has {MOST_FILES} files or 4 MB of code already")
            return
        why, content = _content_of(file, name)
        if why:
            code.left_out.append(f"{name}: {why}")
            continue
        masked = secrets.code(content.decode("utf-8", "replace")).encode() if content else content
        left -= len(content)
        yield CodeFile(name, masked, hashlib.sha256(content).hexdigest(), masked != content)


def _content_of(file: Path, name: str) -> tuple[str, bytes]:
    try:
        check_name(CODE + name)
    except BadCapsule:
        return "its name is not a plain one", b""
    if file.is_symlink():
        return "it is a link", b""
    try:
        if file.stat().st_size > LARGEST_FILE:
            return "it is larger than 256 kB", b""
        return "", file.read_bytes()
    except OSError as error:
        return f"it cannot be read ({error.strerror})", b""


def _in_order(code: Code) -> Iterator[Path]:
    # First, so that the limits on number and total size leave others out.
    yield code.file
    for folder, names, files in os.walk(code.file.parent, followlinks=False):
        names[:] = sorted(name for name in names if _is_wanted_folder(Path(folder, name)))
        for name in sorted(files):
            file = Path(folder, name)
            if file == code.file or file.suffix not in SUFFIXES:
                continue
            if _NEVER.search(name) or (NAMES_A_SECRET.search(name) and file.suffix != ".py"):
                code.left_out.append(f"{file.relative_to(code.root).as_posix()}: it is named like a secret")
                continue
            yield file


def _is_wanted_folder(folder: Path) -> bool:
    name = folder.name
    is_environment = (folder / "pyvenv.cfg").exists()
    return not (name.startswith(".") or name in _FOLDERS or is_environment or folder.is_symlink())


def as_recorded(code: Code, files: list[CodeFile], secrets: SecretNames, flow_version: str | None) -> dict[str, Any]:
    """Return the part of the manifest that describes the code."""
    return {
        "entrypoint": code.entrypoint,
        "commit": code.commit,
        "changed_since": code.is_changed,
        "remote": secrets.text(code.remote) if code.remote else None,
        # By default the version of a flow is the digest of its file; other versions are set by users.
        "is_that_of_the_run": code.version == flow_version if is_digest(flow_version) else None,
        "files": {one.name: {"sha256": one.digest, "masked": one.is_masked} for one in files},
        "left_out": code.left_out,
    }


def is_digest(version: str | None) -> bool:
    """Whether the version of a flow is the default one: the digest of its file."""
    return bool(version and re.fullmatch(r"[0-9a-f]{32}", version))


def differing_files(recorded: dict[str, Any], root: Path) -> list[str]:
    """Return the files of a capsule that are missing here, or have another content."""
    found = []
    for name, one in recorded.items():
        file = root.joinpath(*PurePosixPath(name).parts)
        try:
            # Capsules contain no larger files, and a file that is not regular may be endless.
            is_small = file.is_file() and file.stat().st_size <= LARGEST_FILE
            is_same = is_small and hashlib.sha256(file.read_bytes()).hexdigest() == one.get("sha256")
        except OSError:
            is_same = False
        if not is_same:
            found.append(name)
    return found


def file_of_function(first: Path, name: str) -> tuple[Path, int] | None:
    """Return the file and line that define a function of this name, without imports; the entry point comes first."""
    wanted = name.rpartition(".")[2]
    if (line := _line_of(first, wanted)) is not None:
        return first, line
    for folder, names, files in os.walk(first.parent, followlinks=False):
        names[:] = sorted(one for one in names if _is_wanted_folder(Path(folder, one)))
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix == ".py" and (line := _line_of(path, wanted)) is not None:
                return path, line
    return None


def _line_of(path: Path, name: str) -> int | None:
    try:
        # Any file may be found here: deep nesting makes the parser raise RecursionError or MemoryError.
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((node.lineno for node in functions if node.name == name), None)
