"""Commands over HTTP, against a server of this module's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests import warm
from tests.cli.conftest import environment_of, run_orion
from tests.homes import ready_home
from tests.printed import read_until


@pytest.fixture(scope="module")
def server_url(tmp_path_factory):
    home = ready_home(tmp_path_factory.mktemp("server-home"))
    process = warm.Popen(
        [sys.executable, "-u", "-m", "orionflow.cli", "server", "start", "--port", "0", "--no-agent"],
        env=environment_of(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield announced_address(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def announced_address(process: subprocess.Popen[str]) -> str:
    found = re.search(r"API +(http://\S+)", read_until(process.stdout, "/api (reference"))
    assert found
    return found.group(1)


@pytest.fixture
def orion(server_url, tmp_path):
    return lambda *words, **options: run_orion(tmp_path / "home", "--api-url", server_url, *words, **options)


def test_a_flow_runs_here_and_is_recorded_on_the_server(orion, tmp_path):
    answer = orion("run", "shop.py:greet", "-p", "name=Ada", "-p", "times=4", "--name", "over-http")

    shown = orion("fr", "inspect", "over-http").out
    assert answer.code == 0, answer.err
    assert "4/4 finished" in shown
    assert "hello Ada" in orion("fr", "logs", "over-http").out
    assert not (tmp_path / "home" / "orion.db").exists()


@pytest.mark.long
@pytest.mark.parametrize("more", [(), ("--from", "tick", "--yes")], ids=["as a whole", "from a task"])
def test_a_run_that_is_retried_here_is_not_treated_as_that_of_the_process_before(orion, more):
    name = f"again-{len(more)}"
    # Long enough for a server to look for processes that are gone.
    orion("run", "shop.py:endless", "-p", "at_most=1", "--name", name)
    body = json.dumps({"parameters": {"at_most": 25}})
    run = json.loads(orion("fr", "inspect", name, "-o", "json").out)
    orion("api", "PATCH", f"/flow_runs/{run['id']}", "-d", body)

    answer = orion("fr", "retry", name, "--entrypoint", "shop.py:endless", *more)

    assert answer.code == 0, answer.err
    states = json.loads(orion("api", "GET", f"/flow_run_states/?flow_run_id={run['id']}").out)
    assert "Crashed" not in [state["name"] for state in states]


def test_the_doctor_compares_versions_and_clocks(orion):
    findings = json.loads(orion("doctor", "--json").out)

    given = {finding["check"]: finding["verdict"] for finding in findings}
    assert (given["api"], given["clock"]) == ("ok", "ok")


def test_an_address_can_be_a_setting_of_a_profile(server_url, tmp_path):
    home = tmp_path / "home"
    run_orion(home, "config", "set", f"api_url={server_url}")

    answer = run_orion(home, "api", "GET", "/health")

    assert json.loads(answer.out) is True
