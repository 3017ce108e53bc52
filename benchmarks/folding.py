"""How long `orion database upgrade` takes to fold the states that an earlier version stored, on both databases.

100,000 task runs, each with three rows of states as in that version; a million with `--full`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, report
from benchmarks.postgresql import postgresql

RUNS = 10_000 if QUICK else 100_000
FULL = 1_000_000
BATCH = 5_000
KINDS = ("PENDING", "RUNNING", "COMPLETED")
TRAILS = (
    '[["MarkLostResults","accept",""]]',
    '[["ReuseCachedResults","accept",""],["StartTasksOfRunningFlowsOnly","accept",""],'
    '["TakeConcurrencySlots","accept",""],["WaitForScheduledTime","accept",""],["NameRepeatedTries","accept",""],'
    '["RememberFlowAttempt","amend","attempt 1 of its flow run"]]',
    '[["RememberResultsByCacheKey","accept",""]]',
)


def fill(number: int) -> None:
    """Store completed task runs like a version that folded no states."""
    from orion_site.http.startup import settings_ready

    settings_ready()
    from django.db import transaction

    from orchestration.tables import dialect, insert_rows
    from orchestration.writes import STATE_COLUMNS
    from runs.models import Flow, FlowRun, TaskRun

    flow_run = FlowRun.objects.create(flow=Flow.objects.create(name="flow"), name="run", state_type="COMPLETED")
    same = TaskRun(
        flow_run=flow_run, task_key="task", seq=3, state_type="COMPLETED", state_name="Completed", run_count=1
    )
    columns, values = _stored(same)
    db = dialect()
    for begin in range(0, number, BATCH):
        runs, states = [], []
        for place in range(begin, min(begin + BATCH, number)):
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=10 * place)
            times = [at + timedelta(milliseconds=one) for one in range(3)]
            ids = [_an_id(moment, 4 * place + one) for one, moment in enumerate(times)]
            run_id = _an_id(at, 4 * place + 3)
            own = {
                "id": db.uuid(run_id),
                "dynamic_key": str(place),
                "name": f"task-{place}",
                "state_id": db.uuid(ids[-1]),
                "state_timestamp": db.moment(times[2]),
                "expected_start_time": db.moment(times[0]),
                "start_time": db.moment(times[1]),
                "end_time": db.moment(times[2]),
            }
            runs.append([own.get(column, value) for column, value in zip(columns, values, strict=True)])
            states += [(run_id, *one) for one in zip(ids, (1, 2, 3), KINDS, times, TRAILS, strict=True)]
        with transaction.atomic():
            insert_rows("runs_taskrun", columns, runs)
            insert_rows("runs_taskrunstate", (*STATE_COLUMNS, "task_run_id"), [_row(*one) for one in states])


def _stored(run: Any) -> tuple[list[str], list[Any]]:
    """Return the columns of a row and its values for the database. A model for each run would take twice as long."""
    from django.db import connection

    from orchestration.tables import dialect

    fields = [field for field in run._meta.concrete_fields if not field.generated]
    values = [field.get_db_prep_save(field.pre_save(run, True), connection) for field in fields]
    uuid = dialect().uuid
    return [field.column for field in fields], [uuid(one) if isinstance(one, UUID) else one for one in values]


def _an_id(at: datetime, number: int) -> UUID:
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62) | number)


def _row(run_id: UUID, id: UUID, seq: int, kind: str, at: datetime, trail: str) -> list[object]:
    from orchestration.tables import dialect

    db = dialect()
    own = (db.uuid(id), seq, kind, kind.capitalize(), db.moment(at), None, None, "{}", trail, "ACCEPT")
    return [*own, None, None, 0, None, db.uuid(run_id)]


def measure(number: int, database: str, **where: str) -> None:
    with empty_home() as home:
        env, upgrade = environment(home, **where), [ORION, "database", "upgrade"]
        subprocess.run([*upgrade, "--later"], env=env, check=True, capture_output=True)
        command = [sys.executable, "-m", "benchmarks.folding", "--fill", str(number)]
        subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True)
        began, cpu = time.perf_counter(), _cpu_of_children()
        subprocess.run(upgrade, env=env, check=True, capture_output=True)
        seconds, cpu = time.perf_counter() - began, _cpu_of_children() - cpu
    # Processor time of the command, without that of a PostgreSQL server.
    spent = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    report("folding", database=database, runs=number, **spent, seconds_for_a_million=round(seconds / number * 1e6))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="a million task runs")
    parser.add_argument("--runs", type=int, help="so many task runs")
    parser.add_argument("--fill", type=int, metavar="RUNS", help="store them in the database of this environment")
    asked = parser.parse_args()
    if asked.fill:
        fill(asked.fill)
    else:
        size = asked.runs or (FULL if asked.full else RUNS)
        measure(size, "sqlite")
        with postgresql() as url:
            measure(size, "postgresql", ORION_DATABASE_URL=url)
