"""`orion database purge`, and what the settings of retention mean."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from orion_site.services.registry import retention_ages
from tests import warm
from tests.homes import ready_home
from tests.site.running import environment, orion


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A database with one run that has just ended."""
    program = "from orionflow import flow\n@flow\ndef small(): pass\nsmall()"
    warm.run([sys.executable, "-c", program], env=environment(ready_home(tmp_path)), check=True, capture_output=True)
    return tmp_path


def purged(home: Path, *words: str) -> dict[str, int]:
    answer = orion(home, "database", "purge", "-o", "json", *words)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_dry_run_lists_what_would_be_deleted(home: Path):
    assert purged(home, "--older-than", "1h", "--dry-run") == {}
    assert purged(home, "--older-than", "0.001s", "--dry-run")["flow runs"] == 1


def test_old_rows_are_deleted_once(home: Path):
    first = purged(home, "--older-than", "0.001s", "--yes")
    second = purged(home, "--older-than", "0.001s", "--yes")

    assert first["flow runs"] == 1
    assert second == {}


def test_without_a_terminal_and_yes_nothing_is_deleted(home: Path):
    answer = orion(home, "database", "purge", "--older-than", "0.001s")

    assert answer.returncode == 2
    assert "--yes" in answer.stderr
    assert purged(home, "--older-than", "0.001s", "--dry-run")["flow runs"] == 1


@pytest.mark.parametrize("period", ["0s", "yesterday"])
def test_invalid_periods_are_refused(tmp_path: Path, period: str):
    answer = orion(tmp_path, "database", "purge", "--older-than", period, "--dry-run")

    assert answer.returncode == 2


@pytest.mark.django_db
def test_retention_is_on_by_default_and_zero_days_are_forever(settings):
    assert retention_ages().runs == timedelta(days=90)

    settings.ORION_RETENTION_DAYS_RUNS = 0

    assert retention_ages().runs is None
    assert retention_ages().logs == timedelta(days=30)
