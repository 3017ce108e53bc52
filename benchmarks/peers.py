"""Other products for comparison, from the package index, each in an environment below `.cache/peers`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, installed, report, serving, timed

PREFECT, PREFECT_2, DBOS = "prefect==3.9.1", "prefect==2.20.25", "dbos==3.4.0"
LOCKS = {PREFECT: "prefect3", PREFECT_2: "prefect2", DBOS: "dbos"}
SCRIPT_SECONDS = 900
SCRIPTS = ROOT / "benchmarks" / "peer_scripts"


def python_of(requirement: str) -> Path:
    """Return the interpreter of the peer's environment, which is installed from its lock at the first call."""
    name = LOCKS[requirement]
    lock, home = ROOT / "requirements" / f"{name}.txt", ROOT / ".cache" / "peers" / name
    python, complete = home / "bin" / "python", home / "installed"
    if not complete.exists() or complete.stat().st_mtime < lock.stat().st_mtime:
        print(f"building an environment for {requirement}, once", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
        complete.touch()
    return python


@contextlib.contextmanager
def attempt(requirement: str, *benches: str, **figures: Any) -> Iterator[None]:
    """Report an error of a peer as a row of each benchmark, instead of ending the whole run."""
    try:
        yield
    except Exception as error:
        first_line = str(error).partition("\n")[0][:200]
        for bench in benches:
            report(bench, who=requirement, **figures, failed=f"{type(error).__name__}: {first_line}")


def bare_environment(home: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "PREFECT_", "DBOS_"))}
    quiet = {"PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    return {**kept, **quiet, "PREFECT_HOME": home, "HOME": home}


def run_script(requirement: str, script: str, *arguments: str, **more: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="peer-") as home:
        command = [str(python_of(requirement)), str(SCRIPTS / script), *arguments]
        done = subprocess.run(
            command,
            env={**bare_environment(home), **more},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=SCRIPT_SECONDS,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise RuntimeError(f"{requirement} {script} gave no result: {done.stderr[-500:]}")
        return dict(json.loads(lines[-1]))


@contextlib.contextmanager
def prefect_server(home: str, requirement: str = PREFECT, **more: str) -> Iterator[tuple[str, float]]:
    """Start a Prefect server. Yield the URL of its API, and the seconds until it was healthy."""
    command = [str(python_of(requirement).parent / "prefect"), "server", "start"]
    with serving(command, {**bare_environment(home), **more}) as served:
        yield served


def installation(requirement: str) -> tuple[int, float]:
    """Return the number of packages in the peer's environment except pip and setuptools, and their megabytes."""
    return installed(python_of(requirement))


def prefect_tasks(number: int) -> dict[str, Any]:
    return run_script(PREFECT, "prefect_tasks.py", str(number))


def dbos_tasks(number: int) -> dict[str, Any]:
    return run_script(DBOS, "dbos_tasks.py", str(number))


def hello(requirement: str, script: str) -> tuple[float, float]:
    """Return the seconds of a process that runs one small flow: the first time, and again with the same home."""
    with tempfile.TemporaryDirectory(prefix="peer-") as home:
        command = [str(python_of(requirement)), str(SCRIPTS / script)]
        first = timed(command, bare_environment(home), Path(home))
        return first, timed(command, bare_environment(home), Path(home))


def import_seconds(requirement: str, module: str) -> float:
    with tempfile.TemporaryDirectory(prefix="peer-") as home:
        command = [str(python_of(requirement)), "-c", f"import {module}"]
        timed(command, bare_environment(home))
        return timed(command, bare_environment(home))


def dispatched(way: str, *, singles: int, burst: int, limit: int) -> dict[str, Any]:
    """Measure how Prefect runs a deployment, with a process worker or serve, and a server of its own."""
    numbers = (str(singles), str(burst), str(limit))
    with tempfile.TemporaryDirectory(prefix="peer-") as home, prefect_server(home) as (url, _):
        return run_script(PREFECT, "prefect_dispatch.py", way, *numbers, PREFECT_API_URL=url)
