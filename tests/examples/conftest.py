"""Examples are played as a user plays them: each in a process of its own, in an empty home, and then Orion is asked."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import warm

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Played:
    """An example that has ended: what it printed, and what Orion recorded of it."""

    home: Path
    printed: str

    def ask(self, path: str, **body: Any) -> Any:
        """The API's answer, over a home that no program uses any more."""
        return json.loads(run(self.home, "-m", "orionflow.cli", "api", "POST", path, "--data", json.dumps(body)))

    def states_of_task_run(self, task_run_id: str) -> list[str]:
        """The names of the states that a task run went through, in their order."""
        found = run(self.home, "-m", "orionflow.cli", "api", "GET", f"/task_run_states/?task_run_id={task_run_id}")
        return [state["name"] for state in json.loads(found)]

    def flow_runs(self) -> Counter[str]:
        """How many flow runs ended in which state, by the state's name."""
        return Counter(found["state_name"] for found in self.ask("/flow_runs/filter"))

    def task_runs(self, name: str = "") -> Counter[str]:
        """Count the states of task runs whose name begins with `name`."""
        found = self.ask("/task_runs/filter", task_runs={"name": {"like_": name}} if name else None)
        return Counter(run["state_name"] for run in found)


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    """Run an example to its end; may be called again in the same home."""

    def play(name: str) -> Played:
        return Played(tmp_path, run(tmp_path, str(ROOT / "examples" / name)))

    return play


def run(home: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    finished = warm.run(
        [sys.executable, *arguments],
        env=kept | {"ORION_HOME": str(home), "COLUMNS": "120"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
