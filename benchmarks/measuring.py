"""Shared code of the benchmarks: installations of Orion, empty homes, running servers, rows of results, percentiles."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent
BEGAN_WITH = {"pip", "setuptools", "wheel"}
QUICK = bool(os.environ.get("ORION_BENCH_QUICK"))


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment with an installed Orion, and its name in the results."""

    name: str
    python: Path

    @property
    def orion(self) -> str:
        return str(self.python.parent / "orion")


HERE = Installation("here", Path(sys.executable))
ORION = HERE.orion


def report(bench: str, **figures: Any) -> None:
    """Print one result as a line of JSON."""
    print(json.dumps({"bench": bench, **figures}), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextlib.contextmanager
def empty_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="orion-bench-") as home:
        yield Path(home)


class Processors:
    """The processor seconds of a server, a child of this process, and of its database if that is PostgreSQL."""

    def __init__(self, database_url: str = "") -> None:
        self._directory = parse_qs(urlsplit(database_url).query).get("host", [""])[0]
        self._before = self._spent()

    def since(self) -> tuple[float, float]:
        """Return the seconds of the server and of its database since the last call, or since the creation."""
        before, self._before = self._before, self._spent()
        return self._before[0] - before[0], self._before[1] - before[1]

    def _spent(self) -> tuple[float, float]:
        ours = {one.pid: one for one in psutil.Process().children(recursive=True)}
        database = {one.pid: one for one in psutil.process_iter() if self._directory and self._serves(one)}
        return _seconds(ours[pid] for pid in ours.keys() - database.keys()), _seconds(database.values())

    def _serves(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.name() == "postgres" and process.cwd().startswith(self._directory)
        return False


def _seconds(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        # A process that has ended is counted by its parent.
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def on_database(module: str, database: str, *words: str, **settings: str) -> None:
    """Run a module with `--on DATABASE` in a child process, because Django uses one database per process."""
    with empty_home() as home:
        env = environment(home, **settings)
        subprocess.run([ORION, "database", "upgrade"], env=env, check=True, capture_output=True)
        subprocess.run([sys.executable, "-m", module, "--on", database, *words], env=env, cwd=ROOT, check=True)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a child process, without the caller's settings of Orion."""
    hidden = ("ORION_", "PREFECT_", "DJANGO_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, "ORION_HOME": str(home), "ORION_LOGGING_LEVEL": "ERROR", **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_server(home: Path, installation: Installation = HERE, /, **more: str) -> Iterator[tuple[str, float]]:
    """Start Orion's server. Yield the URL of its API, and the seconds until it was healthy."""
    if "ORION_DATABASE_URL" in more:
        # A server does not create tables in an existing PostgreSQL database.
        upgrade = [installation.orion, "database", "upgrade"]
        subprocess.run(upgrade, env=environment(home, **more), check=True, capture_output=True)
    with serving([installation.orion, "server", "start", "--no-agent"], environment(home, **more)) as served:
        yield served


@contextlib.contextmanager
def serving(command: Sequence[str], env: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Start a command that takes `--port`. Yield the URL of its API, and the seconds until it was healthy."""
    port = free_port()
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--port", str(port)],
        env=env,
        # Outside of this tree, so that a server of another one imports nothing from it.
        cwd=env.get("ORION_HOME"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}/api"
            wait_until_healthy(url, server)
            yield url, time.perf_counter() - started
        finally:
            # The whole group, because Prefect's server is a child of its command, which may not stop it.
            os.killpg(server.pid, signal.SIGINT)
            server.wait(20)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {server.returncode} before it was healthy")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{url} was not healthy within {seconds} s")


def installed(python: Path) -> tuple[int, float]:
    """Return the number of packages that an environment has in addition to its initial tools, and their megabytes."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.split()
    packages = [line for line in listed if line.partition("==")[0] not in BEGAN_WITH]
    (site_packages,) = python.parent.parent.glob("lib/*/site-packages")
    files = [file for entry in site_packages.iterdir() if not _began_with(entry) for file in _files(entry)]
    return len(packages), round(sum(file.stat().st_size for file in files) / 1e6, 1)


def _began_with(entry: Path) -> bool:
    return entry.name.partition("-")[0] in {*BEGAN_WITH, "pkg_resources", "_distutils_hack"}


def _files(entry: Path) -> list[Path]:
    return [entry] if entry.is_file() else [file for file in entry.rglob("*") if file.is_file()]


def timed(command: Sequence[str], env: dict[str, str], cwd: Path = ROOT) -> float:
    """Return the seconds that a whole process takes. Raises if it fails."""
    started = time.perf_counter()
    subprocess.run(command, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started
