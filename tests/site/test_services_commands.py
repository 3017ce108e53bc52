"""`orion services`: ticking in a process of its own, and reading what was ticked."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from orion_site.services.registry import services_of_this_server
from tests import warm
from tests.homes import ready_home
from tests.site.running import COMMAND, PATIENCE_SECONDS, environment, orion, running_server

ROOT = Path(__file__).parents[2]


def test_services_tick_in_a_process_of_their_own_and_can_be_read(tmp_path: Path):
    ready_home(tmp_path)
    ticking = warm.Popen([*COMMAND, "services", "start"], env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
    try:
        records = _records(tmp_path)
        ticking.send_signal(signal.SIGTERM)
        _, output = ticking.communicate(timeout=PATIENCE_SECONDS)
    finally:
        ticking.kill()

    assert ticking.returncode == 0, output
    assert "The services have stopped." in output
    assert {one["verdict"] for one in records} == {"well"}, records
    assert all(one["ticker"].endswith(f":{ticking.pid}") for one in records)


def _records(home: Path) -> list[dict]:
    expected = {service.name for service in services_of_this_server() if not service.first_after}
    ticked: set[str] = set()
    until = time.monotonic() + PATIENCE_SECONDS
    while not ticked >= expected:
        assert time.monotonic() < until, f"not all services ticked: {ticked}"
        time.sleep(0.1)
        with closing(sqlite3.connect(home / "orion.db", timeout=20)) as file:
            ticked = {name for (name,) in file.execute("SELECT name FROM deployments_servicerecord")}
    return json.loads(orion(home, "services", "ls", "-o", "json").stdout)


def test_the_list_explains_how_to_run_services(tmp_path: Path):
    answer = orion(ready_home(tmp_path), "services", "ls")

    assert answer.returncode == 0, answer.stderr
    assert "No services have ticked yet" in answer.stderr


def test_scheduling_for_beat_needs_its_tables(tmp_path: Path):
    answer = orion(ready_home(tmp_path), "services", "schedule")

    assert answer.returncode == 2
    assert "set ORION_BEAT=true" in answer.stderr


@pytest.mark.long
def test_beat_is_given_one_task_for_each_service_and_keeps_what_an_operator_switched_off(tmp_path: Path):
    beat = {"ORION_BEAT": "true"}
    assert orion(ready_home(tmp_path), "database", "upgrade", **beat).returncode == 0

    answers = [orion(tmp_path, "services", "schedule", **beat) for _ in range(2)]

    assert [answer.returncode for answer in answers] == [0, 0], answers[0].stderr
    assert f"Celery beat ticks {len(services_of_this_server())} services" in answers[1].stderr


EDIT = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
hourly = IntervalSchedule.objects.create(every=1, period="hours")
PeriodicTask.objects.filter(name="orion: planning").update(interval=hourly, enabled=False)
PeriodicTask.objects.create(name="orion: gone", task="orion.tick", interval=hourly)
"""
READ = """
import json
from django.test import Client
from django_celery_beat.models import PeriodicTask
from orion_site.services.beat import tick
from deployments.models import ServiceRecord
tick("planning")
tasks = {task.name: [task.schedule.run_every.total_seconds(), task.enabled] for task in PeriodicTask.objects.all()}
admin, one = "/admin/django_celery_beat/periodictask/", PeriodicTask.objects.get(name="orion: planning").pk
browser = Client(HTTP_HOST="127.0.0.1")
page, form = browser.get(admin).content.decode(), browser.get(f"{admin}{one}/change/")
every_seconds = ServiceRecord.objects.get(pk="planning").every_seconds
print(json.dumps([tasks, "orion: planning" in page, form.status_code, every_seconds]))
"""
COUNT = """
from django_celery_beat.models import PeriodicTask
print(PeriodicTask.objects.filter(task="orion.tick").count())
"""


def run_code(home: Path, code: str, **more: str) -> str:
    command = [sys.executable, "-W", "ignore", "manage.py", "shell", "--verbosity", "0", "-c", code]
    done = warm.run(command, cwd=ROOT, env=environment(home, **more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_beat_keeps_the_interval_that_an_operator_chose_and_follows_the_settings_else(tmp_path: Path):
    beat = {"ORION_BEAT": "true"}
    assert orion(ready_home(tmp_path), "database", "upgrade", **beat).returncode == 0
    assert orion(tmp_path, "services", "schedule", **beat).returncode == 0
    run_code(tmp_path, EDIT, **beat)

    orion(tmp_path, "services", "schedule", **beat, ORION_RECONCILE_SECONDS="9")

    tasks, is_in_the_admin, form, every_seconds = json.loads(
        run_code(tmp_path, READ, **beat, ORION_LOCAL_OWNER="anyone")
    )
    assert tasks["orion: planning"] == [3600, False]
    assert tasks["orion: reconciliation"] == [9, True]
    assert "orion: gone" not in tasks
    assert (is_in_the_admin, form, every_seconds) == (True, 200, 3600)


def test_a_server_writes_the_tasks_of_beat_when_it_starts(tmp_path: Path):
    with running_server(tmp_path, "--no-services", ORION_BEAT="true"):
        tasks = run_code(tmp_path, COUNT, ORION_BEAT="true")

    assert int(tasks) == len(services_of_this_server())
