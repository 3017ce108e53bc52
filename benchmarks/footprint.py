"""The resources that Orion takes: database per run, installation, memory of the server, the home page."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from benchmarks import peers
from benchmarks.measuring import (
    ORION,
    ROOT,
    empty_home,
    environment,
    installed,
    report,
    running_server,
    serving,
)


def database(flow_runs: int = 1000) -> None:
    """Measure the growth of the database, without its empty size, so that the figure can be multiplied."""
    with empty_home() as home:
        program = str(ROOT / "benchmarks" / "small_flows.py")
        sizes = []
        for number in (1, flow_runs):
            subprocess.run(
                [sys.executable, program, str(number)], env=environment(home), check=True, stderr=subprocess.DEVNULL
            )
            sizes.append(sum(path.stat().st_size for path in home.glob("orion.db*")))
    grown = sizes[1] - sizes[0]
    report("database_size", flow_runs=flow_runs, task_runs=2 * flow_runs, megabytes=round(grown / 1e6, 2))


def installation() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, what in (("sdk", ["./sdk"]), ("whole", ["./sdk", "."])):
            home = Path(folder) / name
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            pip = [str(home / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", *what], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
            packages, megabytes = installed(home / "bin" / "python")
            report("installation", who="orion", what=name, packages=packages, megabytes=megabytes)


def peers_installations() -> None:
    for requirement in (peers.PREFECT, peers.DBOS):
        with peers.attempt(requirement, "installation"):
            packages, megabytes = peers.installation(requirement)
            report("installation", who=requirement, packages=packages, megabytes=megabytes)


def server() -> None:
    with empty_home() as home, running_server(home) as (url, _):
        page = urljoin(url, "/runs")
        sizes = {page: transferred(page)}
        html = urllib.request.urlopen(page).read().decode()
        for link in re.findall(r'(?:href|src)="([^"]+\.(?:css|js|svg|png|ico)[^"]*)"', html):
            sizes[urljoin(page, link)] = transferred(urljoin(page, link))
        report("first_load", page="/runs", kilobytes_gz=round(sum(sizes.values()) / 1000, 1), requests=len(sizes))
        report("server_memory", idle_mb=memory_of_children())


def idle(finished_runs: int = 20_000, seconds: float = 60.0) -> None:
    """Measure the share of a core that server and agent take while idle, with an empty ORION_HOME and a full one."""
    for number in (0, finished_runs):
        with empty_home() as home:
            program = str(ROOT / "benchmarks" / "small_flows.py")
            subprocess.run(
                [sys.executable, program, str(number)], env=environment(home), check=True, capture_output=True
            )
            with serving([ORION, "server", "start"], environment(home)):
                # Until the agent has registered and every service has run once.
                time.sleep(20)
                before = seconds_of_children()
                time.sleep(seconds)
                share = (seconds_of_children() - before) / seconds
        report("idle", finished_runs=number, percent_of_a_core=round(100 * share, 2))


def seconds_of_children() -> float:
    """Return the processor seconds of the server started by this process, and of its child processes."""
    ticks = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            ticks[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    ours, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, row in ticks.items() if int(row[1]) in ours} - ours
        ours, grown = ours | more, bool(more)
    own = ours - {os.getpid()}
    return sum(int(ticks[pid][11]) + int(ticks[pid][12]) for pid in own) / os.sysconf("SC_CLK_TCK")


def transferred(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return len(gzip.compress(answer.read()))


def memory_of_children() -> int:
    """Return the resident megabytes of the server started by this process."""
    listed = subprocess.run(["ps", "-ww", "-eo", "ppid,rss,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return sum(int(rss) for ppid, rss, args in rows if int(ppid) == os.getpid() and "server start" in args) // 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    database()
    server()
    idle()
    installation()
    if asked.peer:
        peers_installations()
