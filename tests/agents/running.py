"""Real agents in processes of their own, and deployments for them to run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests import warm
from tests.site.running import COMMAND, PATIENCE_SECONDS, RunningServer, environment

HERE = Path(__file__).parent
# Short times, so that tests take seconds where production takes minutes.
QUICK = {
    "ORION_LEASE_SECONDS": "4",
    "ORION_HEARTBEAT_SECONDS": "0.5",
    "ORION_LEASE_GRACE_SECONDS": "0.5",
    "ORION_RECONCILE_SECONDS": "0.5",
    "ORION_AGENT_POLL_SECONDS": "0.5",
}

Json = dict[str, Any]


class Api:
    """A client for the API of a test's server, with shortcuts for what tests ask most."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}/api"

    def post(self, path: str, body: object = None) -> Any:
        content = json.dumps({} if body is None else body).encode()
        status, _, text = self.server.request("POST", f"/api{path}", content, {"Content-Type": "application/json"})
        assert status < 400, (path, status, text)
        return json.loads(text) if text else None

    def get(self, path: str) -> Any:
        status, _, text = self.server.get(f"/api{path}")
        assert status < 400, (path, status, text)
        return json.loads(text)

    def deploy(self, entrypoint: str, queue: str | None = None, **fields: object) -> str:
        flow = self.post("/flows/", {"name": entrypoint.rpartition(":")[2] or "flow"})
        body = {
            "flow_id": flow["id"],
            "name": f"d-{uuid4().hex[:12]}",
            "entrypoint": entrypoint,
            "path": str(HERE),
            **({"work_queue_name": queue} if queue else {}),
        }
        return str(self.post("/deployments/", {**body, **fields})["id"])

    def run(self, deployment: str, **parameters: object) -> str:
        return str(self.post(f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})["id"])

    def run_of(self, entrypoint: str, queue: str | None = None, **parameters: object) -> str:
        return self.run(self.deploy(entrypoint, queue), **parameters)

    def state(self, run: str) -> Json:
        return dict(self.get(f"/flow_runs/{run}")["state"])

    def history(self, run: str) -> list[str]:
        return [state["name"] for state in self.get(f"/flow_run_states/?flow_run_id={run}")]

    def logs(self, run: str) -> str:
        lines = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
        return "\n".join(line["message"] for line in lines)

    def until(self, run: str, *names: str) -> Json:
        """Wait until the run's state has one of these names, and return it."""
        eventually(lambda: self.state(run)["name"] in names, lambda: self.history(run))
        return self.state(run)

    def until_ended(self, run: str) -> Json:
        return self.until(run, "Completed", "Failed", "Crashed", "Cancelled", "TimedOut")


def eventually(is_so: Callable[[], object], describe: Callable[[], object] = lambda: None) -> None:
    """Wait until `is_so()` is true, or fail with `told()`. The pauses between questions grow, to spare the server."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, 0.02
    while not is_so():
        assert time.monotonic() < until, describe()
        time.sleep(pause)
        pause = min(1.4 * pause, 0.25)


class Agent:
    """A running `orion agent start` and its log."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def children(self) -> set[int]:
        """Every process below the agent."""
        return below(self.process.pid)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running_agent(
    home: Path, api: Api, queue: str | None, *options: str, cold_launcher: bool = False, **more: str
) -> Iterator[Agent]:
    """Start an agent, wait until it serves, and finally kill it with all its processes.

    `cold_launcher`: for tests that look for its launcher, or at the environment with which processes were started.
    """
    log = home / f"agent-{uuid4().hex[:8]}.log"
    popen = warm.Popen if cold_launcher else warm.AgentPopen
    with log.open("w") as file:
        process = popen(
            [*COMMAND, "agent", "start", *(["-q", queue] if queue else []), *options],
            env=environment(home, **{"ORION_API_URL": api.url, **more}),
            stderr=file,
            stdout=file,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    agent = Agent(process, log)
    try:
        eventually(lambda: "serves" in agent.output or process.poll() is not None, lambda: agent.output)
        assert process.poll() is None, agent.output
        yield agent
    finally:
        _end(agent)


def _end(agent: Agent) -> None:
    left = agent.children()
    if agent.process.poll() is None:
        agent.process.kill()
    agent.process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in left), lambda: left)


def is_alive(pid: int) -> bool:
    return _status(pid) not in ("", "Z")


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, as after SIGSTOP."""
    return _status(pid) == "T"


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def below(pid: int) -> set[int]:
    """The descendants of a process. Those that were handed to init are found by their run's id instead."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def processes_of(run: str) -> set[int]:
    """Processes that a run started and that still live: they have its id in their environment."""
    wanted = f"ORION_FLOW_RUN_ID={run}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes() and is_alive(int(entry.name)):
                found.add(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def launcher_of(agent: Agent) -> int:
    return next(
        pid for pid in agent.children() if b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes() and _is_leader(pid)
    )


def run_process(agent: Agent) -> int:
    """The one process that executes a run now."""
    eventually(lambda: len(_run_processes(agent)) == 1, lambda: agent.output)
    return _run_processes(agent)[0]


def _run_processes(agent: Agent) -> list[int]:
    return [pid for pid in agent.children() if name_of(pid) == "orion-run"]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_leader(pid: int) -> bool:
    return name_of(pid) not in ("orion-run", "orion-spare", "orion-guard")


__all__ = ["QUICK", "Agent", "Api", "eventually", "is_alive", "processes_of", "run_process", "running_agent", "signal"]
