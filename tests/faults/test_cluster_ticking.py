"""Services in a cluster: Celery beat and a worker tick them, and any number of tickers do no harm."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import warm
from tests.brokers import running_redis
from tests.conftest import DATABASE
from tests.homes import ready_home
from tests.postgresql import running_postgresql
from tests.site.running import COMMAND, environment, orion

PATIENCE_SECONDS = 90


@contextmanager
def process(words: Sequence[str], settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    with log.open("ab") as output:
        started = warm.Popen(words, env=settings, stdout=output, stderr=output, start_new_session=True)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return ready_home(tmp_path)


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """Where the cluster keeps its rows; a file of its home, or a PostgreSQL of its own."""
    if DATABASE == "sqlite":
        yield {}
        return
    with running_postgresql(ready=True) as url:
        yield {"ORION_DATABASE_URL": url}


def query(home: Path, settings: dict[str, str], code: str) -> str:
    program = f"import django; django.setup()\n{code}"
    output = warm.run(
        [sys.executable, "-c", program],
        env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert output.returncode == 0, output.stderr
    return output.stdout.strip()


def found(home: Path, settings: dict[str, str], sql: str) -> tuple[Any, ...]:
    """Return the row that a SELECT finds, without starting a process, as it is called again and again."""
    if url := settings.get("ORION_DATABASE_URL"):
        with psycopg.connect(url) as connected:
            return connected.execute(sql).fetchone() or ()
    with closing(sqlite3.connect(home / "orion.db", timeout=20)) as file:
        return tuple(file.execute(sql).fetchone())


def until(came_true: Callable[[], bool], log: Path, *, pause: float = 0.3) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not came_true():
        assert time.monotonic() < give_up, log.read_text()[-5000:]
        time.sleep(pause)


@pytest.mark.turns
def test_celery_ticks_the_services(home: Path, database: dict[str, str]):
    log = home / "log"
    with running_redis() as broker:
        settings = {**database, "ORION_BROKER_URL": broker.url, "ORION_BEAT": "true"}
        assert orion(home, "database", "upgrade", **settings).returncode == 0
        celery = [sys.executable, "-m", "celery", "-A", "orion_site"]
        worker = [*celery, "worker", "-Q", "orion-services", "-P", "threads", "-c", "2", "--without-mingle"]
        beat = [*celery, "beat", "--pidfile=", "--max-interval", "1"]
        whole = environment(home, **settings)
        with process(worker, whole, log), process(beat, whole, log):
            ticked = "SELECT count(*) FROM deployments_servicerecord WHERE ticks > 1"
            until(lambda: found(home, settings, ticked) >= (3,), log)

            assert found(home, settings, FAILED) == (0,)


FAILED = "SELECT count(*) FROM deployments_servicerecord WHERE errors > 0"
LATE_RUNS = 60
MANY_RUNS = f"""
from datetime import timedelta
from django.utils import timezone
from orchestration.core.states import scheduled
from orchestration.new_runs import NewFlowRun
from runs.flow_runs.services import create_flow_run
from runs.flows.services import create_flow
now = timezone.now()
flow, _ = create_flow(name="late", tags=[], now=now)
for number in range({LATE_RUNS}):
    create_flow_run(new=NewFlowRun(flow_id=flow.pk), state=scheduled(now - timedelta(hours=1)), now=now)
"""


@pytest.mark.long
def test_three_tickers_mark_each_late_run_once(home: Path, database: dict[str, str]):
    log = home / "log"
    query(home, database, MANY_RUNS)
    words, whole = [*COMMAND, "services", "start"], environment(home, **database)

    with process(words, whole, log), process(words, whole, log), process(words, whole, log):
        late = "SELECT count(*) FROM runs_flowrun WHERE state_name = 'Late'"
        until(lambda: found(home, database, late) == (LATE_RUNS,), log)
        assert found(home, database, "SELECT count(*) FROM runs_flowrunstate") == (2 * LATE_RUNS,)

    assert found(home, database, FAILED) == (0,)


SCHEDULES = 40
MANY_SCHEDULES = f"""
from django.utils import timezone
from deployments.models import Deployment
from deployments.schedules.services.schedules import NewSchedule, add_schedules
from runs.flows.services import create_flow
now = timezone.now()
flow, _ = create_flow(name="planned", tags=[], now=now)
for number in range({SCHEDULES}):
    deployment = Deployment.objects.create(flow=flow, name=str(number), entrypoint="flows.py:planned")
    add_schedules(deployment_id=deployment.pk, new=[NewSchedule(definition={{"interval": 600 + number}})], now=now)
"""
# How many deployments have runs, and how many runs there are for one time at most.
PLANNED = """
SELECT count(DISTINCT deployment_id), coalesce(max(runs), 0) FROM
(SELECT deployment_id, count(*) AS runs FROM runs_flowrun GROUP BY deployment_id, expected_start_time) AS planned
"""


def test_three_tickers_plan_each_run_once(home: Path, database: dict[str, str]):
    log = home / "log"
    words, whole = [*COMMAND, "services", "start"], environment(home, **database)

    with process(words, whole, log), process(words, whole, log), process(words, whole, log):
        query(home, database, MANY_SCHEDULES)
        until(lambda: found(home, database, PLANNED) == (SCHEDULES, 1), log)

    assert found(home, database, PLANNED) == (SCHEDULES, 1)


CHANGED_RUNS = 400
BULK_ACTION = f"""
from django.utils import timezone
from orchestration.core.states import scheduled
from orchestration.new_runs import NewFlowRun
from orchestration.transactions import write_transaction
from runs.bulk_actions.services import NewBulkAction, begin_bulk_action
from runs.flow_runs.services import create_flow_run
from runs.flows.services import create_flow
from runs.models import FlowRun
now = timezone.now()
flow, _ = create_flow(name="changed", tags=[], now=now)
with write_transaction():
    for number in range({CHANGED_RUNS}):
        create_flow_run(new=NewFlowRun(flow_id=flow.pk), state=scheduled(now), now=now)
runs = list(FlowRun.objects.values_list("pk", "name"))
new = NewBulkAction(action="cancel", runs=runs, filter={{}}, author="ada", entrance="api")
begin_bulk_action(new=new, now=now)
"""


def test_tickers_that_are_killed_leave_the_rest_of_a_bulk_action_to_others(home: Path, database: dict[str, str]):
    log = home / "log"
    words, whole = [*COMMAND, "services", "start"], environment(home, **database)
    query(home, database, BULK_ACTION)
    done = "SELECT done FROM runs_bulkaction"

    # Leaving the block kills both, long before all are changed.
    with process(words, whole, log), process(words, whole, log):
        until(lambda: found(home, database, done) > (0,), log, pause=0.02)
    before = found(home, database, done)
    with process(words, whole, log), process(words, whole, log):
        until(lambda: found(home, database, "SELECT status FROM runs_bulkaction") == ("done",), log)

    cancelled = "SELECT count(*), count(DISTINCT flow_run_id) FROM runs_flowrunstate WHERE type = 'CANCELLED'"
    assert before < (CHANGED_RUNS,)
    assert found(home, database, done) == (CHANGED_RUNS,)
    assert found(home, database, cancelled) == (CHANGED_RUNS, CHANGED_RUNS)
