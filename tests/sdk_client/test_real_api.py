"""The client and the reporter against the real API: in a process, and behind a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm
from tests.homes import ready_home
from tests.site.running import running_server

ROOT = Path(__file__).parents[2]


def run(*words: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ORION_HOME": str(ready_home(home)), "PYTHONPATH": str(ROOT), **more}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    return warm.run(
        [sys.executable, "-W", "error", *words], env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this module alone."""
    with running_server(tmp_path_factory.mktemp("served")) as server:
        yield f"http://127.0.0.1:{server.port}/api"


def test_every_method_of_both_clients_works_in_this_process(home: Path):
    ended = run("-m", "tests.sdk_client.tour", home=home)

    assert ended.stdout == "the tour is over\n", ended.stderr


def test_every_method_of_both_clients_works_against_a_server(home: Path, address: str):
    ended = run("-m", "tests.sdk_client.tour", home=home, ORION_API_URL=address)

    assert ended.stdout == "the tour is over\n", ended.stderr


def test_a_session_for_raw_calls_knows_both_ways(home: Path, address: str):
    program = """
from orionflow.client import OrionClient
client = OrionClient()
with client.session() as session:
    answer = session.post(client.api_url + "/flows/", json={"name": "raw"})
    print(answer.status_code, answer.json()["name"], answer.headers["content-type"])
"""
    outputs = [run("-c", program, home=home, **more).stdout for more in ({}, {"ORION_API_URL": address})]

    assert outputs == ["201 raw application/json\n"] * 2


def test_reports_in_this_process_are_stored_after_the_drain(home: Path):
    ended = run("-m", "tests.faults.reporting_program", "500", home=home)

    assert ended.stdout.split()[-1] == "500", ended.stderr


def test_reports_to_a_server_are_stored_after_the_drain(home: Path, address: str):
    ended = run("-m", "tests.faults.reporting_program", "500", home=home, ORION_API_URL=address)

    assert ended.stdout.split()[-1] == "500", ended.stderr


def test_a_run_whose_key_exists_is_reported_under_its_stored_id(home: Path):
    program = """
from tests.faults.reporting_program import start_flow_run, task_of_three_steps
from orionflow.client import OrionClient
from orionflow.reporting import get_reporter
client = OrionClient()
run = start_flow_run(client)
first, second = task_of_three_steps(1, flow_run=run), task_of_three_steps(1, flow_run=run)
reporter = get_reporter(client)
reporter.stream(first[0])
stored = reporter.ask(second[0]).result().task_run_id
reporter.stream(second[1])
reporter.ask(second[2]).result()
reporter.drain(run)
print(stored == first[0].task_run_id, client.read_task_run(stored).state_name, reporter.refused(run))
"""

    ended = run("-c", program, home=home)

    assert ended.stdout == "True Completed []\n", ended.stderr


def test_threads_that_end_close_their_connections(home: Path):
    program = """
import gc, sqlite3, threading
from orionflow.client import OrionClient
client = OrionClient()
client.create_flow("a")
def is_open(connection):
    try:
        return connection.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False
gc.disable()
threads = [threading.Thread(target=client.create_flow, args=(f"flow-{n}",)) for n in range(30)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(is_open(one) for one in gc.get_objects() if type(one) is sqlite3.Connection), client.count_flows())
"""

    ended = run("-c", program, home=home)

    assert ended.stdout == "1 31\n", ended.stderr


def test_a_forked_child_works_on_the_same_database(home: Path):
    program = """
import os
from orionflow.client import OrionClient
client = OrionClient()
client.create_flow("parent")
child = os.fork()
client.create_flow("child" if child == 0 else "parent again")
if child == 0:
    os._exit(0)
print(os.waitpid(child, 0)[1], sorted(flow.name for flow in client.read_flows()))
"""

    ended = run("-c", program, home=home)

    assert ended.stdout == "0 ['child', 'parent', 'parent again']\n", ended.stderr


def test_a_damaged_database_is_reported_in_one_sentence(home: Path):
    home.mkdir()
    (home / "orion.db").write_bytes(b"this is no database" * 100)

    ended = run("-c", "from orionflow.client import OrionClient; OrionClient().check_health()", home=home)

    assert ended.stderr.strip().splitlines()[-1].startswith("orionflow.errors.DatabaseNotReady: ")
    assert (home / "orion.db").read_bytes() == b"this is no database" * 100
