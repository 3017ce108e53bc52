"""The census of census.py, handed over to Orion: on a cron line, by a calendar, and once at once, run by an agent.

    python examples/deployed_census.py

Starts a server with an agent for as long as it takes, unless ORION_API_URL names one that is running already.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from census import census

from orionflow import OrionClient, run_deployment
from orionflow.deployments import Cron, ICalendar

HERE = Path(__file__).parent
ADDRESS = re.compile(r"http://[\w.:]+/api")


def deploy() -> None:
    """Every working day at six, and on the first Tuesday of a month as a calendar program exported it."""
    census.deploy(
        "planned",
        description="Counts what is installed where the agent runs.",
        tags=["census"],
        schedules=[
            Cron("0 6 * * 1-5", timezone="Europe/Berlin", misfire="latest"),
            ICalendar.from_file(HERE / "census.ics"),
        ],
        overlap="skip",
        must_finish_within=600,
    )


def show_plan() -> None:
    with OrionClient() as client:
        deployment = client.read_deployment_by_name("census/planned")
        for one in deployment.schedules:
            kind = next(kind for kind in ("cron", "ics") if kind in one.schedule)
            print(f"schedule: {kind} in {one.schedule['timezone'] or 'the zones that it names'}")
        planned = client.read_flow_runs(
            flow_runs={"deployment_id": {"any_": [deployment.id]}}, sort="EXPECTED_START_TIME_ASC"
        )
    for run in planned[:3]:
        print(f"planned: {run.expected_start_time:%a %Y-%m-%d %H:%M} UTC")


@contextmanager
def server() -> Iterator[None]:
    """A server with an agent of its own, on a free port."""
    if os.environ.get("ORION_API_URL"):
        yield
        return
    orion = Path(sys.executable).with_name("orion")
    process = subprocess.Popen([orion, "server", "start", "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        os.environ["ORION_API_URL"] = next(found[0] for line in process.stderr if (found := ADDRESS.search(line)))
        # What it says from now on is read away, or it would wait for a reader.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    with server():
        deploy()
        show_plan()
        run = run_deployment("census/planned", tags=["by-hand"], timeout=120, poll_interval=0.2)
    print(f"{run.name} ended {run.state_name}")
    return 0 if run.state_name == "Completed" else 1


if __name__ == "__main__":
    sys.exit(main())
