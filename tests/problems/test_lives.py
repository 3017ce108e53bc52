"""The life of a problem of real flows: it fails, is mended, closes by itself, and comes back with another version."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from orionflow import flow, task
from orionflow.cli import main
from runs.models import Problem
from runs.problems.services.counting import work_on_problems


@task
def load_rows(works: bool) -> int:
    rows = [{"price": 1}] if works else [{}]
    return rows[0]["price"]


def run(version: str, *, works: bool) -> None:
    @flow(name="shop", version=version)
    def shop() -> int:
        return load_rows(works)

    shop(return_state=True)


def later(minutes: int) -> None:
    work_on_problems(timezone.now() + timedelta(minutes=minutes))


@pytest.mark.long
def test_a_problem_closes_when_runs_complete_and_comes_back_with_another_version(
    capsys: pytest.CaptureFixture[str],
):
    run("1", works=False)
    run("1", works=False)
    later(0)
    assert Problem.objects.get().status == "new"

    for _ in range(3):
        run("2", works=True)
    later(1)

    problem = Problem.objects.get()
    assert problem.status == "resolved"
    assert problem.resolution.startswith("3 later runs of shop completed, such as ")

    Problem.objects.update(since=timezone.now() - timedelta(seconds=1))
    run("3", works=False)
    capsys.readouterr()
    assert main(["problem", "ls", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert [(one["status"], one["runs"], one["versions"]) for one in found] == [("regressed", 3, ["1", "3"])]
