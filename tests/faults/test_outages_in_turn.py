"""Servers, services, Redis and PostgreSQL are killed in turn and several at once: nobody else may notice in the end.

No agent and no program is harmed here, so that everything completes, once: runs of deployments, planned ones, programs
that report by batches, and tasks on task workers. `ORION_CHAOS_ROUNDS` says how much happens, and `ORION_CHAOS_SEED`
repeats what was done to whom.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests import warm
from tests.agents.running import below, eventually
from tests.conftest import DATABASE
from tests.faults.calling_program import TASKS as CALLS
from tests.faults.cluster import Cluster, Part, running_cluster
from tests.faults.harm import Chronicle, StallWatch
from tests.faults.load import HERE, TASK_RUNS, UNFINISHED, Load
from tests.faults.test_reporting import THREE_STEPS
from tests.rounds import rounds
from tests.site.running import COMMAND, environment
from tests.upgrades.reporting_flows import TASKS

ROUNDS = rounds(2)
SEED = int(os.environ.get("ORION_CHAOS_SEED") or random.randrange(10**6))
QUEUE = "in-turn"
EVERY = timedelta(seconds=3)
# Longer than what is done here by far: a lease that runs out would be harm.
LEASES = {"ORION_LEASE_SECONDS": "30", "ORION_TASK_KEY": "a key of the tests"}
ROOT = Path(__file__).parents[2]
REPORTED = 60

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.skipif(DATABASE == "sqlite", reason="about PostgreSQL and Redis"),
    pytest.mark.timeout(400 + 20 * ROUNDS),
]


class Outages:
    """Kills parts of a cluster, and starts them again after a while."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.done: list[str] = []
        self._cluster, self._rng = cluster, rng
        self._ways: dict[str, Callable[[float], None]] = {
            **{part.name: self._kill(part) for part in [*cluster.servers, cluster.services]},
            "a worker": self._kill_a_worker,
            "redis": self._kill_redis,
            "postgresql": self._kill_postgresql,
        }
        self._turn: list[str] = []

    def round(self, number: int) -> None:
        """One of them alone, each in its turn; or several, which come and go at moments of their own."""
        if number % 2:
            self._turn = self._turn or self._rng.sample([*self._ways], len(self._ways))
            names = [self._turn.pop()]
        else:
            names = self._rng.sample([*self._ways], self._rng.randint(2, len(self._ways)))
        self.done.append(" + ".join(names))
        plans = [(self._ways[name], self._rng.uniform(0, 2), self._rng.uniform(0.1, 6)) for name in names]
        threads = [threading.Thread(target=_after, args=plan) for plan in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(self._rng.uniform(0, 1))

    def _kill(self, part: Part) -> Callable[[float], None]:
        def away(seconds: float) -> None:
            part.kill()
            time.sleep(seconds)
            part.start()

        return away

    def _kill_a_worker(self, _: float) -> None:
        """It is started again by its server."""
        workers = [pid for pid in below(self._cluster.servers[-1].process.pid) if _is_worker(pid)]
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._rng.choice(sorted(workers)), signal.SIGKILL)

    def _kill_redis(self, seconds: float) -> None:
        assert self._cluster.broker is not None
        self._cluster.broker.kill()
        time.sleep(seconds)
        self._cluster.broker.start()

    def _kill_postgresql(self, seconds: float) -> None:
        assert self._cluster.database is not None
        self._cluster.database.stop()
        time.sleep(seconds)
        self._cluster.database.start()


def _after(away: Callable[[float], None], wait: float, seconds: float) -> None:
    time.sleep(wait)
    away(seconds)


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"orion_site.http.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Program:
    """A process that is not part of the cluster, with its output in files."""

    def __init__(self, folder: Path, name: str, words: Sequence[str], settings: dict[str, str]) -> None:
        self.name, self._out, self._errors = name, folder / f"{name}.out", folder / f"{name}.errors"
        with self._out.open("ab") as out, self._errors.open("ab") as errors:
            env = environment(folder, PYTHONPATH=str(ROOT), ORION_LOGGING_LEVEL="WARNING", **settings)
            self.process = warm.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, cwd=ROOT)

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def output(self) -> str:
        return f"--- {self.name}: {self.process.poll()}\n{self._errors.read_text()[-6000:]}"

    def ended_well(self) -> None:
        eventually(lambda: self.process.poll() is not None, lambda: self.output)
        assert self.process.returncode == 0, self.output


class Programs:
    """A program of flows, one that calls tasks on a task worker, and short ones that report what they made up."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        folder.mkdir()
        assert cluster.broker is not None
        settings = {
            "ORION_API_URL": cluster.api.url,
            "ORION_BROKER_URL": cluster.broker.url,
            "ORION_TASK_KEY": LEASES["ORION_TASK_KEY"],
        }
        self._folder, self._enough, self.witness = folder, folder / "enough", folder / "calls"
        self._start = lambda name, *words: Program(folder, name, words, settings)
        worker = [*COMMAND, "task-worker", "start", "-q", QUEUE, "-c", "2", "--name", "task-worker"]
        self.task_worker = self._start("task-worker", *worker)
        eventually(lambda: "serves" in self.task_worker.output, lambda: self.task_worker.output)
        flows = [sys.executable, str(ROOT / "tests" / "upgrades" / "reporting_flows.py"), str(self._enough)]
        self.flows = self._start("flows", *flows)
        calling = [sys.executable, "-m", "tests.faults.calling_program", str(self._enough), str(self.witness)]
        self.calls = self._start("calls", *calling)
        self.reports: list[Program] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> Programs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._enough.touch()

    def end(self) -> None:
        for program in [*self.reports, self.flows, self.calls]:
            if program.process.poll() is None:
                program.process.kill()
        self.task_worker.process.terminate()
        self.task_worker.process.wait(30)

    @property
    def output(self) -> str:
        return "\n".join(one.output for one in (self.task_worker, self.flows, self.calls, *self.reports[-1:]))

    def _report(self) -> None:
        while not self._over.is_set():
            words = [sys.executable, "-m", "tests.faults.reporting_program", str(REPORTED), "0.1"]
            self.reports.append(self._start(f"reports-{len(self.reports)}", *words))
            while self.reports[-1].process.poll() is None and not self._over.wait(0.2):
                pass


@contextmanager
def running_programs(folder: Path, cluster: Cluster) -> Iterator[Programs]:
    programs = Programs(folder, cluster)
    try:
        yield programs
    finally:
        programs.end()


def test_servers_redis_and_postgresql_die_in_turn_and_everything_completes_once(tmp_path: Path):
    print(f"ORION_CHAOS_SEED={SEED} ORION_CHAOS_ROUNDS={ROUNDS}")
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(tmp_path / "home", QUEUE, **LEASES))
        programs = stack.enter_context(running_programs(tmp_path / "programs", cluster))
        load = Load(cluster.api, QUEUE, tmp_path / "witness", random.Random(SEED), flows=("brief", "stepping"))
        planned = planned_deployment(cluster, tmp_path / "planned")
        outages, chronicle = Outages(cluster, random.Random(SEED)), Chronicle()

        def describe() -> str:
            return f"seed {SEED}: {outages.done}\n{unfinished(cluster)}\n{programs.output}\n{cluster.description()}"

        with load, programs, StallWatch(chronicle):
            eventually(lambda: load.starts() and programs.calls.lines and programs.flows.lines, describe)
            for number in range(1, ROUNDS + 1):
                outages.round(number)
        load.insist(f"/deployments/{planned}/pause_deployment", {})

        eventually(lambda: load.unfinished() == 0, describe)
        for program in [*programs.reports, programs.flows, programs.calls]:
            program.ended_well()
        assert cluster.verified() == "", describe()
        assert load.surprises == [], describe()
        assert load.ends() == {"COMPLETED": len(load.runs)}, describe()
        assert_each_run_completed_once(load)
        assert_each_planned_run_completed_once(cluster, planned, tmp_path / "planned")
        assert_flows_are_recorded(load, programs.flows.lines, TASKS)
        assert_flows_are_recorded(load, programs.calls.lines, CALLS)
        assert set(Counter(programs.witness.read_text().split()).values()) == {1}
        for program in programs.reports:
            assert_acknowledged_reports_are_there(cluster, program)
        print("done", outages.done, "completed", load.ends(), len(programs.flows.lines), len(programs.calls.lines))


def unfinished(cluster: Cluster) -> str:
    lines = []
    for run in cluster.api.post("/flow_runs/filter", {"flow_runs": UNFINISHED, "limit": 20}):
        lines.append(f"{run['id']} of the deployment {run['deployment_id']}")
        for state in cluster.api.get(f"/flow_run_states/?flow_run_id={run['id']}"):
            lines.append(f"  {state['timestamp']} {state['name']}: {state['message']}")
    return "\n".join(lines)


def planned_deployment(cluster: Cluster, witness: Path) -> str:
    schedule = {"interval": EVERY.total_seconds()}
    return cluster.api.deploy(
        "chaos_flows.py:brief",
        QUEUE,
        path=str(HERE),
        parameters={"witness": str(witness), "seconds": 0.1},
        schedules=[{"schedule": schedule, "active": True}],
    )


def assert_each_run_completed_once(load: Load) -> None:
    assert load.starts() == dict.fromkeys(load.runs, 1)
    for run, flow in load.runs.items():
        assert load.task_runs_of(run) == ["COMPLETED"] * TASK_RUNS[flow], run


def assert_each_planned_run_completed_once(cluster: Cluster, deployment: str, witness: Path) -> None:
    """Every time that came has its run, and each run completed."""
    criteria = {"flow_runs": {"deployment_id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    runs = cluster.api.post("/flow_runs/filter", criteria)
    assert {run["state"]["type"] for run in runs} == {"COMPLETED"}
    times = [datetime.fromisoformat(run["expected_start_time"].replace("Z", "+00:00")) for run in runs]
    assert {later - time for time, later in zip(times, times[1:], strict=False)} <= {EVERY}
    assert sorted(witness.read_text().split()) == sorted(run["id"] for run in runs)


def assert_flows_are_recorded(load: Load, runs: Sequence[str], tasks: int) -> None:
    assert runs
    for run in runs:
        assert load.state_of(run) == "COMPLETED", run
        assert load.task_runs_of(run) == ["COMPLETED"] * tasks, run


def assert_acknowledged_reports_are_there(cluster: Cluster, program: Program) -> None:
    run, *batches, completed = program.lines
    assert int(completed) == REPORTED
    assert cluster.api.state(run)["type"] == "COMPLETED"
    acknowledged = " ".join(batches).split()
    assert len(acknowledged) == REPORTED
    for task_run in acknowledged[::10]:
        states = cluster.api.get(f"/task_run_states/?task_run_id={task_run}")
        assert [state["name"] for state in states] == THREE_STEPS, task_run
