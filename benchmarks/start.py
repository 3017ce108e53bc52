"""The time to start: the import, the smallest flow as a whole process, the command line, the server."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks import peers
from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, report, running_server, timed

TIMES = 3 if QUICK else 7


def ours() -> None:
    with empty_home() as home:
        env = environment(home)
        bare = statistics.median(timed([sys.executable, "-c", "pass"], env) for _ in range(TIMES))
        imported = statistics.median(timed([sys.executable, "-c", "import orionflow"], env) for _ in range(TIMES))
        used = [sys.executable, "-c", "from orionflow import flow, task"]
        decorators = statistics.median(timed(used, env) for _ in range(TIMES))
        shown = statistics.median(timed([ORION, "--help"], env) for _ in range(TIMES))
    report(
        "import", who="orion", import_seconds=round(imported - bare, 3), with_flow_and_task=round(decorators - bare, 3)
    )
    report("orion_help", who="orion", seconds=round(shown, 3))
    with empty_home() as home:
        command = [sys.executable, str(ROOT / "benchmarks" / "hello.py")]
        first = timed(command, environment(home))
        warm = statistics.median(timed(command, environment(home)) for _ in range(TIMES))
    report("hello_world", who="orion", first_seconds=round(first, 2), warm_seconds=round(warm, 2))


def server() -> None:
    with empty_home() as home:
        with running_server(home) as (_, fresh):
            pass
        existing = []
        for _ in range(TIMES):
            with running_server(home) as (_, seconds):
                existing.append(seconds)
    figures = {"fresh_seconds": round(fresh, 2), "existing_seconds": round(statistics.median(existing), 2)}
    report("server_start", who="orion", **figures)


def beside_peers() -> None:
    for requirement, script, module in (
        (peers.PREFECT, "prefect_hello.py", "prefect"),
        (peers.DBOS, "dbos_hello.py", "dbos"),
    ):
        with peers.attempt(requirement, "import", "hello_world"):
            report("import", who=requirement, import_seconds=round(peers.import_seconds(requirement, module), 2))
            first, warm = peers.hello(requirement, script)
            report("hello_world", who=requirement, first_seconds=round(first, 2), warm_seconds=round(warm, 2))
    with peers.attempt(peers.PREFECT, "server_start"), empty_home() as home:
        with peers.prefect_server(str(home)) as (_, fresh):
            pass
        with peers.prefect_server(str(home)) as (_, existing):
            pass
        figures = {"fresh_seconds": round(fresh, 2), "existing_seconds": round(existing, 2)}
        report("server_start", who=peers.PREFECT, **figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    ours()
    server()
    if asked.peer:
        beside_peers()
