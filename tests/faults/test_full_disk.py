"""The disk of the database, of an agent or of a reporting program is full. Work that needs no space continues, other
work gets an error, and everything recovers by itself when there is space again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.agents.running import QUICK, Api, running_agent
from tests.conftest import DATABASE
from tests.faults.cluster import SHORT, own_database, verified
from tests.faults.flow_program import TASKS
from tests.faults.full_disk import small_disk
from tests.faults.test_outages import assert_completed_once
from tests.ports import lasting_port
from tests.site.running import PATIENCE_SECONDS, RunningServer, environment, orion, running_server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# A new PostgreSQL is large.
MEGABYTES = {"sqlite": 12, "postgresql": 160}[DATABASE]
MORE_THAN_FIT = 1000
AT_ONCE = {"ORION_REPORTING_BLOCK_SECONDS": "0.1"}
LEASE = float(SHORT["ORION_LEASE_SECONDS"]) + float(SHORT["ORION_LEASE_GRACE_SECONDS"])

pytestmark = pytest.mark.slow


def create_flow(server: RunningServer, number: int) -> tuple[int, dict[str, str], str]:
    body = {"name": f"flow-{number}", "tags": [f"{number}-{tag}".ljust(250, "x") for tag in range(6)]}
    return server.request("POST", "/api/flows/", json.dumps(body).encode(), {"Content-Type": "application/json"})


def until_refused(server: RunningServer) -> tuple[int, int, dict[str, str], str]:
    """How many flows still fitted, and what the next one was answered."""
    for number in range(MORE_THAN_FIT):
        status, headers, text = create_flow(server, number)
        if status != 201:
            return number, status, headers, text
    raise AssertionError("the disk is not full")


def test_on_a_full_disk_of_the_database_only_writes_are_refused():
    with (
        small_disk(MEGABYTES) as disk,
        own_database(home := disk.folder, disk.folder, **QUICK) as (settings, _),
        running_server(home, **settings) as server,
    ):
        api = Api(server)
        disk.fill()

        stored, status, headers, body = until_refused(server)

        assert (status, headers["retry-after"]) == (503, "1")
        assert "disk below the database is full" in body
        assert {create_flow(server, stored)[0] for _ in range(3)} == {503}
        assert len(api.post("/flows/filter", {"limit": 200})) == min(stored, 200)
        for page in ("/api/health", "/api/ready", "/runs", "/flows"):
            assert server.get(page)[0] == 200
        assert verified(home, settings) == ""

        disk.make_room()
        assert create_flow(server, stored)[0] == 201
        assert int(api.post("/flows/count")) == stored + 1
        assert verified(home, settings) == ""
        assert orion(home, "database", "check", **settings).returncode == 0
        assert server.interrupt()[1].count("is full") == 1


def test_a_run_fails_with_the_reason_if_the_disk_is_full(tmp_path: Path):
    home = tmp_path / "home"
    with (
        small_disk(4) as disk,
        own_database(home, **QUICK) as (settings, _),
        running_server(home, **settings) as server,
        running_agent(disk.folder, api := Api(server), "q"),
    ):
        bulky = api.deploy("chaos_flows.py:bulky", "q", path=str(HERE))
        brief = api.deploy("chaos_flows.py:brief", "q", path=str(HERE))
        disk.fill()

        failed = api.until_ended(api.run(bulky, megabytes=1))
        others = api.until_ended(api.run(brief, witness=str(tmp_path / "witness"), seconds=0))

        assert failed["name"] == "Failed"
        assert "No space left on device" in failed["message"]
        assert others["name"] == "Completed"
        disk.make_room()
        assert api.until_ended(api.run(bulky, megabytes=1))["name"] == "Completed"
        assert verified(home, settings) == ""


@pytest.mark.long
def test_runs_outlast_a_disk_below_the_database_that_is_full_for_longer_than_a_lease(tmp_path: Path):
    witness = tmp_path / "witness"
    with (
        small_disk(MEGABYTES) as disk,
        own_database(home := disk.folder, disk.folder, **SHORT) as (settings, _),
        running_server(home, **settings) as server,
        running_agent(tmp_path, api := Api(server), "q"),
    ):
        run = api.run(api.deploy("chaos_flows.py:stepping", "q", path=str(HERE)), witness=str(witness), seconds=3)
        api.until(run, "Running")

        disk.fill()
        until_refused(server)
        time.sleep(LEASE + 1)
        disk.make_room()

        assert_completed_once(api, [run], witness, tasks=5)
        assert verified(home, settings) == ""


def program(home: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    return warm.Popen(
        [sys.executable, "-m", *words],
        env=environment(home, PYTHONPATH=str(ROOT), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_program_without_an_api_and_without_disk_space_continues_and_reports_later(tmp_path: Path):
    home = tmp_path / "home"
    with small_disk(1) as disk, own_database(home) as (settings, _):
        disk.fill()
        with running_server(home, "--port", str(lasting_port()), **settings) as server:
            more = {"ORION_API_URL": Api(server).url, "ORION_REPORTING_QUEUE_SIZE": "20", **AT_ONCE}
            flow = program(disk.folder, "tests.faults.flow_program", str(server.process.pid), **more)
            server.process.wait(PATIENCE_SECONDS)
            time.sleep(0.5)

        with running_server(home, "--port", str(server.port), **settings) as server:
            _, output = flow.communicate(timeout=PATIENCE_SECONDS)

            assert flow.returncode == 0, output
            assert "No space left on device" in output
            completed = {"state": {"type": {"any_": ["COMPLETED"]}}}
            assert Api(server).post("/task_runs/count", {"task_runs": completed}) == TASKS
            assert Api(server).post("/flow_runs/count", {"flow_runs": completed}) == 1
            assert verified(home, settings) == ""


def test_a_program_with_its_database_on_a_full_disk_names_the_disk():
    with small_disk(4) as disk:
        assert orion(disk.folder, "database", "upgrade").returncode == 0
        disk.fill()

        flow = program(disk.folder, "tests.faults.reporting_program", "1")
        _, output = flow.communicate(timeout=PATIENCE_SECONDS)

        assert flow.returncode == 1
        assert f"The disk below the database {disk.folder}/orion.db is full; make room there." in output


def test_on_a_disk_too_small_for_a_database_none_is_created():
    with small_disk(1) as disk:
        upgraded = orion(disk.folder, "database", "upgrade")

        assert upgraded.returncode == 3
        assert (
            upgraded.stderr
            == f"error: The disk below {disk.folder}/orion.db is too full for a database; make room there.\n"
        )
        assert [file.name for file in disk.folder.iterdir()] == ["orion.db.lock"]
