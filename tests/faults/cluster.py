"""A whole cluster of real processes: three API servers behind one address, services apart from them, three agents, a
broker and a database.

Each part can be killed, frozen and started again. The output of all of them is kept, to explain a failure.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from tests import warm
from tests.agents.running import Api, below, eventually, is_alive
from tests.brokers import Redis, running_redis
from tests.conftest import DATABASE
from tests.faults.balancer import running_balancer
from tests.homes import ready_home
from tests.ports import lasting_port
from tests.postgresql import Postgresql, running_postgresql_server
from tests.site.running import COMMAND, RunningServer, environment, orion

# Everything that takes minutes in the field takes seconds here.
SHORT = {
    "ORION_LEASE_SECONDS": "2",
    "ORION_HEARTBEAT_SECONDS": "0.5",
    "ORION_LEASE_GRACE_SECONDS": "0.5",
    "ORION_RECONCILE_SECONDS": "0.25",
    "ORION_AGENT_POLL_SECONDS": "1",
}
MOST_SHOWN_OF_EACH = 3000
# How many workers each API server has; on SQLite always one.
WORKERS = (1, 1, 1 if DATABASE == "sqlite" else 2)


class Part:
    """One process of the cluster. Its log is continued when it is started again."""

    def __init__(self, home: Path, name: str, words: Sequence[str], settings: dict[str, str]) -> None:
        self.name, self.log = name, home / f"{name}.log"
        self._words, self._environment = [*COMMAND, *words], environment(home, **settings)
        self._lock, self._is_wanted = threading.Lock(), False

    def start(self) -> None:
        with self._lock:
            self._is_wanted = True
            self._begin()

    def kill(self) -> None:
        with self._lock:
            self._is_wanted = False
            self.process.kill()
            self.process.wait()

    def start_again_if_it_ended(self) -> None:
        with self._lock:
            if self._is_wanted and not self.is_up:
                self._begin()

    def _begin(self) -> None:
        with self.log.open("ab") as output:
            self.process = warm.Popen(
                self._words, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def with_all_below(self) -> list[int]:
        return [self.process.pid, *below(self.process.pid)]

    @property
    def is_up(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


def processes_of_home(home: Path) -> dict[int, str]:
    """Every process that was started below this home, also by user code, with its name."""
    ours = f"ORION_HOME={home}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if ours in (entry / "environ").read_bytes().split(b"\0") and is_alive(int(entry.name)):
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found


def run_processes(home: Path) -> list[int]:
    return sorted(pid for pid, name in processes_of_home(home).items() if name in ("orion-run", "sleep"))


class Cluster:
    """The parts, and the API as a client of it sees it."""

    def __init__(self, home: Path, settings: dict[str, str], queue: str, ports: Sequence[int], address: int) -> None:
        self.home, self.settings = home, settings
        # The processes of the servers change; who asks only needs the address before them.
        self.api = Api(RunningServer(None, address, ""))  # type: ignore[arg-type]
        far = {**settings, "ORION_API_URL": self.api.url}
        serving = ["server", "start", "--no-agent", "--no-services", "--workers"]
        agent = ["agent", "start", "-q", queue, "--concurrency", "2", "--stop-timeout", "1", "--name"]
        self.servers = [
            Part(home, f"server-{n}", [*serving, str(workers), "--port", str(port)], settings)
            for n, (port, workers) in enumerate(zip(ports, WORKERS, strict=True), 1)
        ]
        self.services = Part(home, "services", ["services", "start"], settings)
        self.agents = [Part(home, f"agent-{n}", [*agent, f"agent-{n}"], far) for n in range(1, 4)]
        self.broker: Redis | None = None
        self.database: Postgresql | None = None
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    @property
    def parts(self) -> list[Part]:
        return [*self.servers, self.services, *self.agents]

    def start(self) -> None:
        for part in self.parts:
            part.start()
        self._watching.start()

    def _watch(self) -> None:
        """As systemd and compose do: a part that ended by itself is started again."""
        while not self._over.wait(0.5):
            for part in self.parts:
                part.start_again_if_it_ended()

    def until_it_answers(self) -> None:
        eventually(self._answers, self.description)
        eventually(lambda: all("Ctrl-C stops" in server.output for server in self.servers), self.description)
        eventually(lambda: all("serves" in agent.output for agent in self.agents), self.description)

    def share_fairly(self, key: str) -> None:
        body = json.dumps({"fair_share": key}).encode()
        status, _, text = self.api.server.request(
            "PATCH", "/api/work_pools/default-agent-pool", body, {"Content-Type": "application/json"}
        )
        assert status == 204, text

    def limit_queue(self, name: str, places: int) -> None:
        queue = self.api.get(f"/work_queues/name/{name}")["id"]
        body = json.dumps({"concurrency_limit": places}).encode()
        status, _, text = self.api.server.request(
            "PATCH", f"/api/work_queues/{queue}", body, {"Content-Type": "application/json"}
        )
        assert status == 204, text

    def verified(self) -> str:
        return verified(self.home, self.settings)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.api.server.get("/api/health")[0] == 200
        return False

    def run_processes(self) -> list[int]:
        """List the processes that execute runs now, and those that they left behind."""
        return run_processes(self.home)

    def description(self) -> str:
        return "\n".join(
            f"--- {part.name}, up: {part.is_up}\n{part.output[-MOST_SHOWN_OF_EACH:]}" for part in self.parts
        )

    def end(self) -> None:
        self._over.set()
        self._watching.join()
        for part in self.parts:
            if part.is_up:
                part.thaw()
                part.kill()
        until = time.monotonic() + 20
        while (left := processes_of_home(self.home)) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def own_database(
    home: Path, disk: Path | None = None, **settings: str
) -> Iterator[tuple[dict[str, str], Postgresql | None]]:
    """An empty database of the kind that the session is about: the settings with it, and its server if it has one."""
    if DATABASE == "sqlite":
        ready_home(home)
        yield settings, None
        return
    home.mkdir(parents=True, exist_ok=True)
    with running_postgresql_server(disk, ready=True) as server:
        settings["ORION_DATABASE_URL"] = server.url
        yield settings, server


@contextmanager
def database_away(home: Path, server: Postgresql | None) -> Iterator[None]:
    """Meanwhile PostgreSQL is down, or another connection holds the write lock of the SQLite file."""
    if server is not None:
        server.stop()
        yield
        server.start()
        return
    with closing(sqlite3.connect(home / "orion.db", isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def running_cluster(home: Path, queue: str, **more: str) -> Iterator[Cluster]:
    """On PostgreSQL with Redis, or on SQLite with a folder as broker, by what the session is about."""
    with ExitStack() as stack:
        settings, database = stack.enter_context(own_database(home, **{**SHORT, **more}))
        broker = stack.enter_context(running_redis()) if database else None
        settings["ORION_BROKER_URL"] = broker.url if broker else f"filesystem://{home}/broker"
        ports = [lasting_port() for _ in WORKERS]
        balancer = stack.enter_context(running_balancer(ports))
        cluster = Cluster(home, settings, queue, ports, balancer.port)
        cluster.broker, cluster.database = broker, database
        cluster.start()
        stack.callback(cluster.end)
        cluster.until_it_answers()
        yield cluster


def verified(home: Path, settings: dict[str, str]) -> str:
    """Return the checker's findings in the database; empty if all laws hold."""
    answer = orion(home, "database", "verify", **settings)
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr
