"""`orion services`: ticking in a process of its own, and reading what was ticked."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from orion_site.services.registry import services_of_this_server
from tests.site.running import COMMAND, PATIENCE_SECONDS, environment, orion


def test_services_tick_in_a_process_of_their_own_and_can_be_read(tmp_path: Path):
    assert orion(tmp_path, "database", "upgrade").returncode == 0
    ticking = subprocess.Popen(
        [*COMMAND, "services", "start"], env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    try:
        records = _records(tmp_path)
        ticking.send_signal(signal.SIGTERM)
        _, said = ticking.communicate(timeout=PATIENCE_SECONDS)
    finally:
        ticking.kill()

    assert ticking.returncode == 0, said
    assert "The services have stopped." in said
    assert {one["verdict"] for one in records} == {"well"}, records
    assert all(one["ticker"].endswith(f":{ticking.pid}") for one in records)


def _records(home: Path) -> list[dict]:
    expected = {service.name for service in services_of_this_server() if not service.first_after}
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        records = json.loads(orion(home, "services", "ls", "-o", "json").stdout)
        if {one["name"] for one in records} >= expected:
            return records
    raise AssertionError(f"not all services ticked: {records}")


def test_the_list_says_how_to_get_services_ticked(tmp_path: Path):
    answer = orion(tmp_path, "services", "ls")

    assert answer.returncode == 0, answer.stderr
    assert "No services have ticked yet" in answer.stderr


def test_scheduling_for_beat_needs_its_tables(tmp_path: Path):
    answer = orion(tmp_path, "services", "schedule")

    assert answer.returncode == 2
    assert "set ORION_BEAT=true" in answer.stderr


def test_beat_is_given_one_task_for_each_service_and_keeps_what_an_operator_switched_off(tmp_path: Path):
    beat = {"ORION_BEAT": "true"}
    assert orion(tmp_path, "database", "upgrade", **beat).returncode == 0

    answers = [orion(tmp_path, "services", "schedule", **beat) for _ in range(2)]

    assert [answer.returncode for answer in answers] == [0, 0], answers[0].stderr
    assert f"Celery beat ticks {len(services_of_this_server())} services" in answers[1].stderr
