"""Execution of a replay: a child process in folders of its own, which are deleted afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orionflow.errors import OrionError
from orionflow.private_files import make_private_folder, private_opener
from orionflow.replay.capsule import LARGEST_FILE, BadCapsule
from orionflow.replay.plan import Plan

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay ended, and the observations of each task."""

    state: str | None
    name: str
    message: str
    error: str
    seen: list[Json] = field(default_factory=list)
    is_over: bool = False

    @property
    def is_completed(self) -> bool:
        return self.state == "COMPLETED"


@contextmanager
def workspace() -> Iterator[Path]:
    """Create a folder that only its owner can enter, and delete it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="orion-replay-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own_copy(file: Path, folder: Path) -> Path:
    """Copy a capsule, so that the code that runs is the code that was shown, even if the file changes meanwhile."""
    copy = folder / "capsule"
    try:
        with open(file, "rb") as source, open(copy, "xb", opener=private_opener) as target:
            shutil.copyfileobj(_Bounded(source), target)
    except OSError as error:
        raise BadCapsule(f"{file} cannot be read: {error.strerror or error}.") from None
    return copy


class _Bounded:
    """A file that is read up to the size limit of capsules only."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, LARGEST_FILE

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(min(size, 1 << 20) if size > 0 else 1 << 20)
        self._left -= len(content)
        if self._left < 0:
            raise BadCapsule("The file has more than 512 MB; a capsule has less.")
        return content


def run_plan(plan: Plan, folder: Path, home: Path | None, *, keeps_stdout: bool = True) -> Outcome:
    """Execute the plan in the child, and read its report. The user has agreed before.

    Output of the code goes to stderr if stdout is reserved for the result.
    """
    results, code, report = folder / "results", folder / "code", folder / "report.json"
    plan.capsule.unpack_results(results)
    if plan.folder is None:
        plan.capsule.unpack_code(code)
    spec: Json = {
        "capsule": str(plan.capsule.path),
        "results": str(results),
        "report": str(report),
        "entrypoint": plan.entrypoint,
        "folder": str(plan.folder or code),
        "parameters": plan.parameters,
        "chosen": [one.id for one in plan.chosen],
        "debugged": (plan.unreached or plan.chosen[0].id)
        if plan.is_debugged and (plan.unreached or plan.chosen)
        else None,
        "until": plan.until if isinstance(plan.until, str | None) else plan.until.id,
        "offline": plan.is_offline,
    }
    spec_file = folder / "spec.json"
    with open(spec_file, "w", encoding="utf-8", opener=private_opener) as file:
        json.dump(spec, file)
    make_private_folder(home or folder / "home")
    _wait_for(
        subprocess.Popen(
            # `-P` keeps the folder off the path: a file with the name of one of Python's modules must not be imported
            # instead.
            [sys.executable, "-P", "-m", "orionflow.replay.child", str(spec_file)],
            env=_environment(home or folder / "home"),
            cwd=plan.folder or code,
            stdout=None if keeps_stdout else sys.stderr.fileno(),
        )
    )
    return _outcome(report)


def _environment(home: Path) -> dict[str, str]:
    """Return the environment without Orion's settings, so that the replay has no server, database or key."""
    from orionflow.settings import current_settings

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "PREFECT_"))}
    return {
        **kept,
        "ORION_HOME": str(home),
        # Set explicitly, so that no file in the folder overrides it.
        "ORION_API_URL": "none",
        "ORION_API_KEY": "none",
        "ORION_BROKER_URL": "none",
        "ORION_PROFILE": "default",
        # Decides whether calls are identified by their inputs.
        "ORION_RESULTS_PERSIST_BY_DEFAULT": str(current_settings().results_persist_by_default).lower(),
    }


def _wait_for(child: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            child.wait()
            return
        except KeyboardInterrupt:
            # The child received the interrupt as well; it ends and reports that.
            continue


def _outcome(report: Path) -> Outcome:
    try:
        outcome: Json = json.loads(report.read_bytes())
    except (OSError, ValueError):
        raise OrionError("The process of the replay ended without a word of how it went.") from None
    return Outcome(
        outcome.get("state"), outcome.get("name") or "", outcome.get("message") or "", outcome.get("error") or "",
        outcome.get("seen") or [], bool(outcome.get("is_over")),
    )  # fmt: skip
