"""Two ways to call `orion`: as a process of its own in a home of its own, or here when no API is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orionflow.cli import main
from orionflow.settings import forget_settings
from tests import warm
from tests.homes import ready_home
from tests.printed import NotPrinted, read_answer

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Answer:
    """The output and the exit code of a command."""

    code: int
    out: str
    err: str


Orion = Callable[..., Answer]


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """Return what a command needs; settings in the environment of the tests must not reach it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_", "PYTHON"))}
    return {**kept, "ORION_HOME": str(home), "TZ": "UTC", "COLUMNS": "200", "PYTHONWARNINGS": "default", **more}


def run_orion(home: Path, *words: str, stdin: str = "", **environment: str) -> Answer:
    done = warm.run(
        [sys.executable, "-m", "orionflow.cli", *words],
        capture_output=True, text=True, input=stdin, env=environment_of(home, **environment), cwd=PROGRAMS,
        timeout=120, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def orion_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Orion]:
    """`orion` in this process, for commands that ask no API; its home is empty."""
    for name in [name for name in os.environ if name.startswith("ORION_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    forget_settings()

    def call(*words: str) -> Answer:
        code = main(list(words))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    yield call
    forget_settings()


@pytest.fixture
def orion(tmp_path: Path) -> Orion:
    """`orion` as a process, in an empty home."""
    return lambda *words, **options: run_orion(tmp_path / "home", *words, **options)


class Companion:
    """Calls `orion` in an interpreter that stays, in a home whose database is ready; see companion.py."""

    def __init__(self, home: Path, cwd: Path, **environment: str) -> None:
        # Log to a file: a pipe that is not read would fill up with the log lines of flows, and block them.
        ready_home(home)
        self.log = (home / "companion.log").open("w+")
        self.process = warm.Popen(
            [sys.executable, "-m", "tests.cli.companion"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment_of(home, PYTHONPATH=str(PROGRAMS.parents[2]), **environment), cwd=cwd,
        )  # fmt: skip

    def __call__(self, *words: str, stdin: str = "", **environment: str) -> Answer:
        assert self.process.stdin is not None
        request = {"words": words, "stdin": stdin, "environment": environment}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        try:
            return Answer(*json.loads(read_answer(self.process.stdout)))
        except NotPrinted as complaint:
            self.log.seek(0)
            raise AssertionError(f"{complaint}; its log says: {self.log.read()}") from None

    def close(self) -> None:
        self.process.communicate(timeout=30)
        self.log.close()


@contextmanager
def companion(home: Path, cwd: Path = PROGRAMS, **environment: str) -> Iterator[Companion]:
    session = Companion(home, cwd, **environment)
    try:
        yield session
    finally:
        session.close()
