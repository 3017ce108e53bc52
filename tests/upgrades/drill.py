"""The upgrade drill: from an older version of Orion to this one, while agents and programs of the old one work on.

python -m tests.upgrades.drill                          the newest of the older versions, small, both shapes
python -m tests.upgrades.drill --from all               each of them
python -m tests.upgrades.drill --runs 1000000           a million runs from before

One machine (SQLite): the file is copied ahead, the old server stopped, the database upgraded, the new server started at
the same port; an agent and a program of the old version go on before, during and after it; then the agent is replaced.
Two servers (PostgreSQL): the database is upgraded while both old servers serve; then each is taken out of the balancer
and replaced.

Asked for in the end: each run that was acknowledged has completed with all its task runs, nothing of what there was
before is gone, `orion database verify` finds nothing, and how long nobody answered. Results are lines of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.copying import copy_runs
from benchmarks.measuring import HERE, Installation, environment, free_port, report
from benchmarks.postgresql import postgresql
from benchmarks.revisions import installed_revision
from tests.agents.running import Api
from tests.faults.balancer import running_balancer
from tests.faults.load import TASK_RUNS, Load
from tests.site.running import RunningServer
from tests.upgrades.reporting_flows import TASKS

# Schemas that are out there, oldest first; the last one is what `make upgrade-drill` begins with.
OLDER = {
    "9e08862": "the first whose databases are upgraded",
    "6b2d254f": "users, roles and keys",
    "7bfd31e7": "problems, sealed results, retries from a task",
    "b4bf6de8": "compact records, held calls, runs limited by who decides their code",
}
LONGEST_OUTAGE_SECONDS = {"one machine": 60.0, "two servers": 0.0}
QUEUE = "drill"
# Leases are as they come: an outage is shorter, so no run may be lost by it.
SHORT = {"ORION_AGENT_POLL_SECONDS": "1"}
# Runs that the old version records itself, and that are copied by SQL.
FLOWS_TO_COPY = 50


class DrillFailed(Exception):
    """Something that was promised did not hold."""


class Program:
    """A process of one installation, with its output in a file."""

    def __init__(self, home: Path, name: str, command: Sequence[str], settings: dict[str, str]) -> None:
        self.name, self.log = name, home / f"{name}.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment(home, **settings), cwd=home, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, *, seconds: float = 60, by: signal.Signals = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(by)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise DrillFailed(f"{self.name} did not end within {seconds:.0f} s: {self.output[-2000:]}") from None


class Prober:
    """Sends requests all the time, and notes how long there was no answer."""

    def __init__(self, url: str) -> None:
        self.refused = 0
        self.last_error = ""
        self.longest = 0.0
        self._url, self._over = url, threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        answered = time.monotonic()
        body = json.dumps({"limit": 1}).encode()
        request = urllib.request.Request(
            f"{self._url}/flow_runs/filter", body, {"Content-Type": "application/json"}, method="POST"
        )
        while not self._over.wait(0.05):
            try:
                with urllib.request.urlopen(request, timeout=10):
                    pass
            except (OSError, urllib.error.HTTPError) as error:
                self.refused += 1
                self.last_error = f"{type(error).__name__}: {error}"
                self.longest = max(self.longest, time.monotonic() - answered)
            else:
                if self.refused:
                    self.longest = max(self.longest, time.monotonic() - answered)
                answered = time.monotonic()


class Site:
    """A home with its database, what works on it, and what it had before."""

    def __init__(self, home: Path, old: Installation, settings: dict[str, str]) -> None:
        self.home, self.old, self.settings = home, old, {**SHORT, **settings}
        self.programs: list[Program] = []
        self.orion(old, "database", "upgrade")

    def orion(self, who: Installation, *words: str) -> str:
        env = environment(self.home, **self.settings)
        done = subprocess.run([who.orion, *words], env=env, cwd=self.home, capture_output=True, text=True)
        if done.returncode:
            raise DrillFailed(f"{who.name}: orion {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def fill(self, runs: int) -> None:
        """Have the old version record some runs, and copy them into the days before."""
        port = free_port()
        server = self.serve(self.old, "server-that-fills", port)
        enough = self.home / "filled"
        flows = [str(self.old.python), str(Path(__file__).with_name("reporting_flows.py")), str(enough)]
        where = {**self.settings, "ORION_API_URL": f"http://127.0.0.1:{port}/api"}
        program = Program(self.home, "program-that-fills", flows, where)
        while len(program.output.split()) < FLOWS_TO_COPY:
            time.sleep(0.2)
        enough.touch()
        program.end(by=signal.SIGCONT)
        server.end()
        there = len(program.output.split()) * (1 + TASKS)
        with self._connected() as connection:
            copy_runs(connection, max(runs // there - 1, 0))
        # Counts of runs are added up as they are in a database that was in use.
        self.orion(self.old, "database", "upgrade")

    def _connected(self) -> Any:
        if url := self.settings.get("ORION_DATABASE_URL"):
            return closing(psycopg.connect(url, autocommit=True))
        return closing(sqlite3.connect(self.home / "orion.db", isolation_level=None))

    def start(self, who: Installation, name: str, *words: str, **more: str) -> Program:
        program = Program(self.home, name, [who.orion, *words], {**self.settings, **more})
        self.programs.append(program)
        return program

    def serve(self, who: Installation, name: str, port: int, *words: str) -> Program:
        program = self.start(who, name, "server", "start", "--no-agent", "--port", str(port), *words)
        until_it_answers(port, program)
        return program

    def agent(self, who: Installation, name: str, url: str) -> Program:
        words = ["agent", "start", "-q", QUEUE, "--concurrency", "2", "--name", name]
        return self.start(who, name, *words, ORION_API_URL=url)

    def counted(self, api: Api) -> dict[str, int]:
        return {kind: int(api.post(f"/{kind}/count", {})) for kind in ("flow_runs", "task_runs", "flows")}


def until_it_answers(port: int, program: Program, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
                return
        except OSError:
            time.sleep(0.02)
    raise DrillFailed(f"{program.name} did not answer within {seconds:.0f} s: {program.output[-3000:]}")


@contextmanager
def at_work(site: Site, api: Api, seconds: float) -> Iterator[Load]:
    """Run an agent and a program of the old version, and a client that creates runs, until the block ends."""
    enough = site.home / "enough"
    rng = random.Random(1)
    flows = [str(site.old.python), str(Path(__file__).with_name("reporting_flows.py")), str(enough)]
    program = Program(site.home, "old-program", flows, {**site.settings, "ORION_API_URL": api.url})
    agent = site.agent(site.old, "old-agent", api.url)
    with Load(api, QUEUE, site.home / "witness", rng) as load:
        time.sleep(seconds)
        yield load
        time.sleep(seconds)
        # Programs of the old version go on: only the agent is replaced.
        agent.end()
        site.agent(HERE, "new-agent", api.url)
        time.sleep(seconds)
    enough.touch()
    program.end(by=signal.SIGCONT)
    until = time.monotonic() + 120
    while set(load.ends()) - {"COMPLETED"} and time.monotonic() < until:
        time.sleep(0.5)


def judged(site: Site, api: Api, load: Load, before: dict[str, int], shape: str, prober: Prober, **more: Any) -> None:
    """Report, and raise DrillFailed if anything that was promised did not hold."""
    wrong = [f"the API answered otherwise than it should: {surprise}" for surprise in load.surprises]
    wrong += [f"runs that were acknowledged ended as {dict(load.ends())}"] if set(load.ends()) - {"COMPLETED"} else []
    for run, flow in load.runs.items():
        states = load.task_runs_of(run)
        if len(states) != TASK_RUNS[flow] or set(states) - {"COMPLETED"}:
            wrong.append(f"the run {run} of {flow} has task runs in {states}")
    program = (site.home / "old-program.log").read_text().split("\n")
    reported = [line for line in program if len(line) == 36]
    wrong += [f"the program of the old version said: {line}" for line in program if line and len(line) != 36]
    for run in reported:
        if load.state_of(run) != "COMPLETED" or load.task_runs_of(run) != ["COMPLETED"] * TASKS:
            wrong.append(f"the run {run} of the old program is not recorded as it was")
    after = site.counted(api)
    wrong += [f"{kind}: {before[kind]} before, {after[kind]} now" for kind in before if after[kind] < before[kind]]
    site.orion(HERE, "database", "verify")
    if prober.longest > LONGEST_OUTAGE_SECONDS[shape]:
        wrong.append(f"nobody answered for {prober.longest:.1f} s ({prober.refused} requests, {prober.last_error})")
    report(
        "upgrade_drill",
        since=site.old.name,
        shape=shape,
        runs_before=before["flow_runs"] + before["task_runs"],
        runs_of_agents=len(load.runs),
        runs_of_the_program=len(reported),
        longest_outage_seconds=round(prober.longest, 2),
        requests_refused=prober.refused,
        wrong=wrong,
        **more,
    )
    if wrong or not load.runs or not reported:
        logs = "\n".join(f"--- {one.name}\n{one.output[-1500:]}" for one in site.programs)
        raise DrillFailed("\n".join([*wrong, logs]))


def one_machine(old: Installation, runs: int, seconds: float) -> None:
    with made_site(old, {}) as site:
        if runs:
            site.fill(runs)
        port = free_port()
        api = Api(RunningServer(None, port, ""))  # type: ignore[arg-type]
        server = site.serve(old, "old-server", port)
        before = site.counted(api)
        with Prober(api.url) as prober, at_work(site, api, seconds) as load:
            site.orion(HERE, "database", "upgrade", "--ahead")
            server.end()
            began = time.monotonic()
            site.orion(HERE, "database", "upgrade", "--later")
            took = time.monotonic() - began
            site.serve(HERE, "new-server", port)
            # What earlier versions stored is made compact while everybody works.
            began = time.monotonic()
            site.orion(HERE, "database", "upgrade")
            folding = time.monotonic() - began
        spent = {"upgrade_seconds": round(took, 2), "folding_seconds": round(folding, 2)}
        judged(site, api, load, before, "one machine", prober, **spent)


def two_servers(old: Installation, runs: int, seconds: float) -> None:
    with postgresql() as url, made_site(old, {"ORION_DATABASE_URL": url}) as site:
        if runs:
            site.fill(runs)
        ports = [free_port(), free_port()]
        with running_balancer(ports) as balancer:
            api = Api(RunningServer(None, balancer.port, ""))  # type: ignore[arg-type]
            servers = [site.serve(old, f"old-server-{n}", port) for n, port in enumerate(ports, 1)]
            before = site.counted(api)
            with Prober(api.url) as prober, at_work(site, api, seconds) as load:
                began = time.monotonic()
                site.orion(HERE, "database", "upgrade", "--later")
                took = time.monotonic() - began
                for number, port in enumerate(ports, 1):
                    time.sleep(seconds)
                    # Earlier versions reset a connection that comes in the moment in which they end.
                    balancer.leave_out(port)
                    time.sleep(1)
                    servers[number - 1].end()
                    site.serve(HERE, f"new-server-{number}", port)
                    balancer.take_in(port)
                # No server of the old version is left, which would miss the rows of states.
                began = time.monotonic()
                site.orion(HERE, "database", "upgrade")
                folding = time.monotonic() - began
            spent = {"upgrade_seconds": round(took, 2), "folding_seconds": round(folding, 2)}
            judged(site, api, load, before, "two servers", prober, **spent)


@contextmanager
def made_site(old: Installation, settings: dict[str, str]) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="orion-drill-") as folder:
        site = Site(Path(folder), old, settings)
        try:
            yield site
        finally:
            for program in site.programs:
                program.end()


SHAPES = {"one machine": one_machine, "two servers": two_servers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    newest = list(OLDER)[-1]
    parser.add_argument("--from", dest="older", default=newest, help="a revision, or `all`")
    parser.add_argument("--shape", choices=list(SHAPES))
    parser.add_argument("--runs", type=int, default=0, help="runs from before")
    parser.add_argument("--seconds", type=float, default=4, help="between two steps")
    asked = parser.parse_args()
    failed = 0
    for revision in OLDER if asked.older == "all" else [asked.older]:
        old = installed_revision(revision)
        for shape in [asked.shape] if asked.shape else SHAPES:
            try:
                SHAPES[shape](old, asked.runs, asked.seconds)
            except DrillFailed as failure:
                failed += 1
                print(f"{revision}, {shape}:\n{failure}", file=sys.stderr)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    os.environ.pop("ORION_API_URL", None)
    main()
