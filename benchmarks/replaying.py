"""A failed run of a thousand tasks: how long it takes to pull it, to replay it, and to export it as one HTML file."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

from benchmarks.measuring import ORION, QUICK, empty_home, environment, report

TASKS, ROUNDS = (100, 1) if QUICK else (1000, 3)
PROGRAM = """
from orionflow import flow, task


@task(persist_result=True)
def square(number):
    return {"number": number, "square": number * number}


@task
def add(rows):
    return sum(row["squares"] for row in rows)


@flow
def summing(count: int):
    return add([one.result() for one in square.map(range(count))])
"""
COMMANDS = {
    "pull": ("pull", "@last", "-f", "bug.orion", "--force", "--entrypoint", "flows.py:summing"),
    "replay": ("replay", "bug.orion", "--entrypoint", "flows.py:summing", "--yes"),
    "html": ("flow-run", "export", "@last", "--html", "-f", "run.html", "--force"),
}


def main() -> None:
    with empty_home() as home:
        work = home / "work"
        work.mkdir()
        (work / "flows.py").write_text(PROGRAM)
        _orion(home, "run", "flows.py:summing", "-p", f"count={TASKS}")
        figures = {
            f"{name}_seconds": round(statistics.median(_orion(home, *words) for _ in range(ROUNDS)), 2)
            for name, words in COMMANDS.items()
        }
        sizes = {f"{name.suffix[1:]}_kilobytes": round(name.stat().st_size / 1000) for name in _files(work)}
    report("replay", who="orion", tasks=TASKS, **figures, **sizes)


def _files(work: Path) -> tuple[Path, ...]:
    return work / "bug.orion", work / "run.html"


def _orion(home: Path, *words: str) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [ORION, *words], cwd=home / "work", env=environment(home), capture_output=True, text=True, check=False
    )
    # The run failed, and the replay fails again.
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
