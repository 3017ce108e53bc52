"""Programs in a folder and a home of each test's own, and `orion` as a process there."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import warm
from tests.cli.conftest import Answer, environment_of
from tests.homes import ready_home

ETL = """
from orionflow import flow, task


@task(persist_result=True)
def extract(n):
    return [{"id": i, "customer": f"c{i}"} for i in range(n)]


@task(persist_result=True)
def transform(row):
    if row["id"] == 2:
        return row["customer_id"]
    return row["customer"]


@task
def load(rows):
    print("loading", len(rows))


@flow
def etl(n: int = 4):
    rows = extract(n)
    done = transform.map(rows)
    load([one.result() for one in done])
"""
MENDED = ETL.replace('row["customer_id"]', 'row["customer"]')


@dataclass(frozen=True)
class Place:
    """A folder with code, and a home."""

    folder: Path
    home: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def orion(self, *words: str, stdin: str = "", **environment: str) -> Answer:
        done = warm.run(
            [sys.executable, "-m", "orionflow.cli", *words],
            capture_output=True, text=True, input=stdin, env=environment_of(self.home, **environment), cwd=self.folder,
            timeout=120, check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def capsule(self, *words: str, file: str = "bug.orion", **environment: str) -> Path:
        """Pull the newest run."""
        answer = self.orion("pull", "@last", "-f", file, *words, **environment)
        assert answer.code == 0, answer.err
        return self.folder / file


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "work").mkdir()
    return Place(tmp_path / "work", ready_home(tmp_path / "home"))


@pytest.fixture
def failed(place: Place) -> Place:
    """The pipeline has failed at its third row."""
    place.write("flows.py", ETL)
    assert place.orion("run", "flows.py:etl").code == 1
    return place
