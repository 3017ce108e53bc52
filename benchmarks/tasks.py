"""No-op tasks per second, in-process and with a server; with `--peer` also of other products in the same run."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from benchmarks import peers
from benchmarks.measuring import HERE, QUICK, ROOT, Installation, empty_home, environment, report, running_server
from benchmarks.postgresql import postgresql

SIZES = [200, 2000] if QUICK else [200, 2000, 20000, 50000]
ROUNDS = 1 if QUICK else 3


def ours(
    home: Path, mode: str, number: int, installation: Installation = HERE, /, **more: str
) -> dict[str, float | str | None]:
    command = [str(installation.python), str(ROOT / "benchmarks" / "noop_tasks.py"), mode, str(number)]
    done = subprocess.run(command, env=environment(home, **more), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def in_process() -> None:
    for number in SIZES:
        for mode in ("seq", "submit", "map"):
            for _ in range(ROUNDS):
                with empty_home() as home:
                    report("tasks_in_process", who="orion", database="sqlite", **ours(home, mode, number))


def against_server() -> None:
    reported_to("sqlite")
    with postgresql() as database_url:
        reported_to("postgresql", ORION_DATABASE_URL=database_url)


def reported_to(database: str, **more: str) -> None:
    with empty_home() as server_home, running_server(server_home, **more) as (url, _), empty_home() as home:
        for number in SIZES[:2]:
            for mode in ("seq", "submit"):
                for _ in range(ROUNDS):
                    figures = ours(home, mode, number, ORION_API_URL=url)
                    report("tasks_against_server", who="orion", database=database, **figures)


def beside_peers() -> None:
    """Measure all products, interleaved, so that other load on the machine affects all of them."""
    for _ in range(ROUNDS):
        with empty_home() as home:
            report("tasks_beside_peers", who="orion", **ours(home, "seq", 2000))
        for requirement, measured, number in (
            (peers.DBOS, peers.dbos_tasks, 2000),
            (peers.PREFECT, peers.prefect_tasks, 200),
        ):
            with peers.attempt(requirement, "tasks_beside_peers"):
                report("tasks_beside_peers", who=requirement, **measured(number))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    in_process()
    against_server()
    if asked.peer:
        beside_peers()
