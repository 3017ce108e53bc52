"""Servers and homes for the tests of the client; nothing here touches a database of Django's test runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow.client import OrionClient
from orionflow.reporting import Reporter
from orionflow.settings import Settings, current_settings, override_settings
from tests.sdk_client.scripted_server import ScriptedServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test alone, and no settings from outside."""
    import os

    for name in [name for name in os.environ if name.startswith("ORION_") and name != "ORION_TEST_DATABASE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.stop()


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[OrionClient]:
    with OrionClient(server.url, retry_budget_seconds=5) as speaking:
        yield speaking


def quick_settings(**changes: object) -> Settings:
    """The settings in force, with small bounds and budgets where the test says so."""
    with override_settings(reporting_exit_seconds=0.5, **changes):
        return current_settings()


@pytest.fixture
def reporter(server: ScriptedServer) -> Iterator[Reporter]:
    settings = quick_settings()
    running = Reporter(OrionClient(server.url, settings=settings), settings=settings)
    yield running
    running.close()


@pytest.fixture
def reporter_with(server: ScriptedServer) -> Any:
    made: list[Reporter] = []

    def make(**changes: object) -> Reporter:
        settings = quick_settings(**changes)
        made.append(Reporter(OrionClient(server.url, settings=settings), settings=settings))
        return made[-1]

    yield make
    for reporter in made:
        reporter.close(0.2)
