"""Several workers below one server: one address, one set of services, and nothing lost when any of them is killed."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from orion_site.http.startup import warn_of_few_connections
from orionflow.agent.agent_client import MARGIN, SHORTEST_TIMEOUT
from tests.agents.running import QUICK, Api, eventually, is_alive
from tests.conftest import DATABASE
from tests.faults.cluster import SHORT, own_database, processes_of_home, verified
from tests.faults.test_reporting import THREE_STEPS, Program
from tests.site.running import PATIENCE_SECONDS, RunningServer, orion, running_server
from tests.sockets.wire import connected

pytestmark = pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite is served by one worker")


@contextmanager
def served(
    home: Path, workers: int = 2, agent: bool = False, **more: str
) -> Iterator[tuple[RunningServer, dict[str, str]]]:
    with (
        own_database(home, **more) as (settings, _),
        running_server(home, "--workers", str(workers), agent=agent, **settings) as server,
    ):
        yield server, settings


def parts(home: Path) -> dict[str, dict[str, Any]]:
    (server,) = json.loads(orion(home, "server", "status", "-o", "json").stdout)
    return {part["name"]: part for part in server["processes"]}


def connections_of(pids: list[int], port: int) -> list[int]:
    """How many connections to the port each process has."""
    found = subprocess.run(["ss", "-Htnp", "state", "established", f"sport = :{port}"], capture_output=True, text=True)
    return [len(re.findall(f"pid={pid},", found.stdout)) for pid in pids]


def test_killed_processes_are_restarted_and_all_stop_with_the_server(tmp_path: Path):
    with served(tmp_path) as (server, _):
        before = parts(tmp_path)
        assert before.keys() == {"services", "worker 1", "worker 2"}

        for part in before.values():
            os.kill(part["pid"], signal.SIGKILL)

        def all_again() -> bool:
            now = parts(tmp_path)
            return all(now[name]["pid"] and now[name]["starts"] == 2 for name in before)

        eventually(all_again, lambda: parts(tmp_path))
        assert server.get("/api/health")[0] == 200
        stopped = orion(tmp_path, "server", "stop", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        assert orion(tmp_path, "server", "status").returncode == 1
        _, output = server.process.communicate(timeout=PATIENCE_SECONDS)
        assert server.process.returncode == 0
        for name in before:
            assert f"Process '{name}' of this server was killed by SIGKILL" in output
        assert processes_of_home(tmp_path) == {}
        assert not list((tmp_path / "metrics").rglob("*.prom"))


@pytest.mark.long
def test_the_status_of_a_server_names_its_frozen_workers(tmp_path: Path):
    with served(tmp_path) as (server, _):
        (folder,) = (tmp_path / "metrics").iterdir()
        eventually(lambda: len(list(folder.glob("*.prom"))) == 3, lambda: list(folder.iterdir()))
        pid = parts(tmp_path)["worker 2"]["pid"]

        def status() -> tuple[str, int]:
            # As if it had been frozen for an hour.
            long_ago = time.time() - 3600
            os.utime(folder / "worker-2.prom", (long_ago, long_ago))
            shown = orion(tmp_path, "server", "status")
            return shown.stdout, shown.returncode

        def is_named() -> bool:
            text, code = status()
            return f"worker 2 ({pid}, no sign of life for 36" in text and code == 1

        before = orion(tmp_path, "server", "status").returncode
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(is_named, status)
        finally:
            os.kill(pid, signal.SIGCONT)

        assert before == 0
        eventually(lambda: orion(tmp_path, "server", "status").returncode == 0)


@pytest.mark.django_db
def test_a_server_with_too_few_connections_for_its_workers_warns(capsys: pytest.CaptureFixture[str]):
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        most = int(cursor.fetchone()[0])

    warn_of_few_connections(2)
    few = capsys.readouterr().err
    warn_of_few_connections(most)
    many = capsys.readouterr().err

    assert few == ""
    assert f"{most} workers and the services may use" in many
    assert f"PostgreSQL allows {most}. Raise its max_connections" in many


def test_workers_end_when_their_server_is_killed(tmp_path: Path):
    with served(tmp_path, agent=True) as (server, _):
        # Three of the server, the agent and its launcher.
        eventually(lambda: len(processes_of_home(tmp_path)) >= 6)
        below = [pid for pid in processes_of_home(tmp_path) if pid != server.process.pid]

        server.process.kill()

        eventually(lambda: not any(is_alive(pid) for pid in below), lambda: processes_of_home(tmp_path))


def test_a_deployed_flow_runs_and_may_finish_when_the_server_is_asked_to_stop(tmp_path: Path):
    # On a busy machine no heartbeat may get through for seconds; at the end of a shorter lease the run would be killed.
    with served(tmp_path, agent=True, **QUICK | {"ORION_LEASE_SECONDS": "60"}) as (server, settings):
        api = Api(server)
        witness = tmp_path / "witness"
        run = api.run_of("flows.py:napping", "default", seconds=2, witness=str(witness))
        api.until(run, "Running")

        code, output = server.interrupt()

        assert code == 0
        assert witness.exists(), output
        assert witness.read_text() == "awake"
        assert verified(tmp_path, settings) == ""


class OpenPage:
    """The socket of a page of one run: it reads the run again when it is told to, and at no other time."""

    def __init__(self, server: RunningServer, run: str) -> None:
        self._api, self._port, self._run = Api(server), server.port, run
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.shows: dict[str, Any] = {}
        self.connections = 0
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        at = ""
        topics = [f"run:{self._run}", f"run:{self._run}:tasks"]
        while not self._over.is_set():
            # As in a browser: what is cut off is connected again, from the last change that was named.
            with suppress(OSError, EOFError, AssertionError), connected(self._port, "/live") as socket:
                self.connections += 1
                socket.send_json({"topics": topics, "since": at})
                while not self._over.is_set():
                    message = socket.next_json()
                    if message.get("all") or message.get("changed"):
                        self._read()
                    at = message["at"]
            time.sleep(0.05)

    def _read(self) -> None:
        criteria = {
            "flow_runs": {"id": {"any_": [self._run]}},
            "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        }
        state = self._api.get(f"/flow_runs/{self._run}")["state"]["type"]
        self.shows = {"state": state, "tasks": self._api.post("/task_runs/count", criteria)}


@pytest.mark.long
def test_nothing_acknowledged_is_lost_while_workers_are_killed(tmp_path: Path):
    """This holds for reports of programs and for changes that open pages show."""
    tasks, killed = 600, 0
    with served(tmp_path / "server", workers=3) as (server, settings), ExitStack() as stack:
        program = Program(tmp_path / "program", str(tasks), "0.15", ORION_API_URL=f"http://127.0.0.1:{server.port}/api")
        page = stack.enter_context(closing(OpenPage(server, str(program.flow_run))))

        while program.process.poll() is None:
            there = [part["pid"] for name, part in parts(tmp_path / "server").items() if part["pid"]]
            if there:
                with suppress(ProcessLookupError):
                    os.kill(random.choice(there), signal.SIGKILL)
                    killed += 1
            time.sleep(1)
        *acknowledged, completed = program.finish()

        assert killed > 4
        assert int(completed) == tasks
        assert len(" ".join(acknowledged).split()) == tasks
        eventually(lambda: page.shows == {"state": "COMPLETED", "tasks": tasks}, lambda: page.shows)
        assert page.connections > 1
        api = Api(server)
        for run in random.sample(" ".join(acknowledged).split(), 20):
            history = api.get(f"/task_run_states/?task_run_id={run}")
            assert [state["name"] for state in history] == THREE_STEPS
        assert verified(tmp_path / "server", settings) == ""


class Claimer:
    """An agent that asks for runs over HTTP, and reports each as running and as completed, whatever happens to workers.

    It keeps what was acknowledged: claims by run and epoch, and the ends of runs.
    """

    def __init__(self, server: RunningServer, name: str, over: threading.Event) -> None:
        self._server, self._over = server, over
        self._who = {"name": name, "incarnation": str(uuid4())}
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self.claimed: list[tuple[str, int]] = []
        self.completed: list[str] = []
        self.surprises: list[str] = []
        registered = self._insist("/agents/", {**self._who, "work_queues": ["default"], "host": "here"})
        self._id = registered["id"]
        # As Orion's agent: an answer after the end of the lease is of no use.
        self._claim_seconds = registered["lease_seconds"] * (1 - MARGIN)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._work, self._beat)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            status, claims = self._ask(
                f"/agents/{self._id}/claim", {**self._incarnation, "limit": 3}, seconds=self._claim_seconds
            )
            for claim in claims if status == 200 else []:
                run, epoch = claim["flow_run"]["id"], claim["epoch"]
                self.claimed.append((run, epoch))
                with self._lock:
                    self._held[run] = epoch
                if self._reports(run, epoch, "RUNNING") and self._reports(run, epoch, "COMPLETED"):
                    self.completed.append(run)
                with self._lock:
                    del self._held[run]

    def _reports(self, run: str, epoch: int, state: str) -> bool:
        """Report with one id until there is an answer, as the SDK does. Return whether the attempt still counts."""
        own = {"Orion-Run-Epoch": str(epoch), "Orion-Proposal-Id": str(uuid4())}
        answer = self._insist(f"/flow_runs/{run}/set_state", {"state": {"type": state}}, own)
        if answer and answer["status"] != "ACCEPT":
            self.surprises.append(f"{run} {epoch} {state}: {answer}")
        return bool(answer)

    def _beat(self) -> None:
        while not self._over.wait(0.3):
            with self._lock:
                runs = [{"id": run, "epoch": epoch} for run, epoch in self._held.items()]
            self._ask(f"/agents/{self._id}/heartbeat", {**self._incarnation, "runs": runs}, seconds=SHORTEST_TIMEOUT)

    @property
    def _incarnation(self) -> dict[str, str]:
        return {"incarnation": self._who["incarnation"]}

    def _insist(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """Return the answer, or nothing if the attempt has been replaced."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            status, answer = self._ask(path, body, headers)
            if status == 409:
                return None
            if 200 <= status < 300:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{path} was never answered")

    def _ask(
        self,
        path: str,
        body: dict[str, Any],
        headers: dict[str, str] | None = None,
        seconds: float = PATIENCE_SECONDS,
    ) -> tuple[int, Any]:
        """Ask on a new connection, which may reach any worker. Return 0 without an answer."""
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=seconds)) as connection,
        ):
            given = {"Content-Type": "application/json", **(headers or {})}
            connection.request("POST", f"/api{path}", json.dumps(body), given)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 500 and answer.status != 503:
                self.surprises.append(f"{path}: {answer.status} {text[:300]!r}")
            return answer.status, json.loads(text) if text else None
        return 0, None


def worker_pids(home: Path) -> list[int]:
    return [part["pid"] for name, part in parts(home).items() if name != "services" and part["pid"]]


@contextmanager
def every_run_completes_once(home: Path, number: int) -> Iterator[None]:
    """Agents claim and complete so many runs from a server with two workers, to which the block does something."""
    over = threading.Event()
    # A lease lasts long enough for a heartbeat on a busy machine.
    patient = {**SHORT, "ORION_LEASE_SECONDS": "8", "ORION_LOST_STARTS": "100"}
    with served(home, workers=2, **patient) as (server, settings), ExitStack() as stack:
        stack.callback(over.set)
        api = Api(server)
        deployment = api.deploy("flows.py:napping", "default")
        runs = [api.run(deployment) for _ in range(number)]
        agents = [Claimer(server, f"agent-{n}", over) for n in range(5)]

        def unfinished() -> int:
            waiting_or_held = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
            return int(api.post("/flow_runs/count", {"flow_runs": waiting_or_held}))

        yield
        eventually(lambda: unfinished() == 0, lambda: (unfinished(), [one.surprises for one in agents]))
        over.set()
        for agent in agents:
            agent.join()

        claimed = Counter(claim for agent in agents for claim in agent.claimed)
        completed = sorted(run for agent in agents for run in agent.completed)
        assert [claim for claim, times in claimed.items() if times > 1] == []
        assert completed == sorted(runs), {run: api.history(run) for run in set(runs).difference(completed)}
        assert [one for agent in agents for one in agent.surprises] == []
        assert verified(home, settings) == ""


@pytest.mark.long
@pytest.mark.timeout(400)
def test_no_run_is_lost_or_stuck_if_workers_are_killed_while_claiming(tmp_path: Path):
    """A claim whose answer was lost is given to another agent after its lease has expired."""
    with every_run_completes_once(tmp_path, 150):
        killed = 0
        while killed < 4:
            if workers := worker_pids(tmp_path):
                with suppress(ProcessLookupError):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    killed += 1
            time.sleep(0.7)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_agents_keep_their_runs_if_a_worker_is_frozen_for_longer_than_a_lease(tmp_path: Path):
    """Its transactions hold locks meanwhile, and requests that it has accepted are not answered."""
    with every_run_completes_once(tmp_path, 300):
        time.sleep(random.uniform(0, 0.5))
        frozen = random.choice(worker_pids(tmp_path))
        os.kill(frozen, signal.SIGSTOP)
        try:
            time.sleep(11)
        finally:
            os.kill(frozen, signal.SIGCONT)


@pytest.mark.long
def test_connections_are_spread_over_the_workers(tmp_path: Path):
    with served(tmp_path) as (server, _), ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port)))
            client.request("GET", "/api/health")
            assert client.getresponse().read() == b"true"

        pids = [part["pid"] for name, part in parts(tmp_path).items() if name != "services"]
        assert min(connections_of(pids, server.port)) >= 7


def test_workers_count_together_how_often_a_key_asks(tmp_path: Path):
    with served(tmp_path, ORION_API_REQUESTS_PER_SECOND="0.01", ORION_API_BURST="10") as (server, settings):
        made = orion(tmp_path, "key", "create", "reader", "--role", "viewer", "-o", "json", **settings)
        key = json.loads(made.stdout)["key"]

        # Each on a connection of its own.
        asked = Counter(server.get("/api/version", Authorization=f"Bearer {key}")[0] for _ in range(30))

    assert asked == {200: 10, 429: 20}


def test_a_link_of_orion_open_is_good_at_every_worker_and_once(tmp_path: Path):
    with served(tmp_path, ORION_LOCAL_OWNER="token") as (server, settings):
        way = {**settings, "ORION_API_URL": f"http://127.0.0.1:{server.port}/api"}
        for _ in range(4):
            link = orion(tmp_path, "open", "--no-browser", **way).stdout.strip()
            path = "/" + link.split("/", 3)[3]

            assert [server.get(path)[0] for _ in range(3)] == [302, 401, 401]
