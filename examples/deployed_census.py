"""The census of census.py as a deployment: run by an agent on a cron schedule, by a calendar, and once right now.

    python examples/deployed_census.py

It starts a server with an agent until the run has ended, unless ORION_API_URL names a server that is running already.
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
    """Plan runs every working day at six, and on the first Tuesday of a month, as a calendar program exported it."""
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
    """Run a server with its own agent on a free port until the block ends."""
    if os.environ.get("ORION_API_URL"):
        yield
        return
    orion = Path(sys.executable).with_name("orion")
    process = subprocess.Popen([orion, "server", "start", "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        os.environ["ORION_API_URL"] = next(found[0] for line in process.stderr if (found := ADDRESS.search(line)))
        # Keep reading its output: the server would block when the pipe is full.
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
