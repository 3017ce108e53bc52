"""Programs without a server look for runs of dead programs while they work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_started
from django.db import close_old_connections, connection
from django.test import RequestFactory

from orion_site import without_server
from orion_site.without_server import ApplicationWithoutServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApplicationWithoutServer]:
    """One that looks before every request, on the connection of the test."""
    monkeypatch.setattr(without_server, "LOOK_EVERY_SECONDS", 0.0)
    request_started.disconnect(close_old_connections)
    yield ApplicationWithoutServer()
    request_started.connect(close_old_connections)


def answer(application: ApplicationWithoutServer) -> str:
    messages: list[str] = []
    application(
        RequestFactory().get("/api/health", headers={"host": "localhost"}).environ,
        lambda status, headers, *error: messages.append(status),
    )
    return messages[0]


def test_an_error_while_looking_for_a_server_fails_no_request_and_is_logged_once(
    application: ApplicationWithoutServer, settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.ORION_CRASH_GRACE_SECONDS = "no number"
    caplog.set_level(logging.INFO, logger="orion.services")

    answers = [answer(application) for _ in range(3)]

    assert answers == ["200 OK"] * 3
    assert len([one for one in caplog.records if "dead programs" in one.message]) == 1


def test_all_open_task_runs_are_looked_at_far_less_often(application: ApplicationWithoutServer):
    asked: list[str] = []

    def noted(execute: Any, sql: str, *arguments: Any) -> Any:
        asked.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(noted):
        for _ in range(5):
            answer(application)

    asked = [sql for sql in asked if '."process"' in sql]
    assert len([sql for sql in asked if 'FROM "runs_flowrun"' in sql]) == 5
    assert len([sql for sql in asked if 'FROM "runs_taskrun"' in sql]) <= 1
