"""`orion run` loads a flow, calls it with parameters, and its exit code says how the run ended."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.conftest import companion, run_orion


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("run-home")


@pytest.fixture(scope="module")
def orion(home):
    with companion(home) as session:
        yield session


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["shop.py:greet", "-p", "name=Ada"], 0),
        (["shop:greet", "-p", "name=Ada"], 0),
        (["shop.py:quiet"], 0),
        (["shop.py:broken"], 1),
        (["shop.py:crashing"], 7),
        (["shop.py:cancelling"], 8),
        (["shop.py:greet"], 2),
        (["shop.py:greet", "-p", "name=Ada", "-p", "tims=2"], 2),
        (["shop.py:greet", "-p", "name"], 2),
        (["shop.py:greet", "--params", "[1]"], 2),
        (["shop.py:greet", "-p", "name=Ada", "-p", "times=many"], 1),
        (["shop.py"], 5),
        (["shop.py:gret"], 5),
        (["shop.py:not_a_flow"], 5),
        (["nowhere.py:greet"], 5),
        (["nowhere:greet"], 5),
        (["damaged.py:greet"], 2),
    ],
)
def test_the_exit_code_reflects_the_outcome(orion, words, code):
    answer = orion("run", *words)

    assert answer.code == code, answer.err
    if code in (2, 5):
        assert answer.err.startswith("error: ") or "\nerror: " in answer.err
        assert "Traceback" not in answer.err


def test_the_finished_run_is_printed_as_the_object_of_the_api(orion):
    answer = orion(
        "run",
        "shop.py:greet",
        "-p",
        "name=12",
        "-p",
        "times=3",
        "--name",
        "try-7",
        "--tag",
        "a",
        "--tag",
        "b",
        "-o",
        "json",
    )

    run = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert (run["name"], run["state_type"], run["parameters"]) == ("try-7", "COMPLETED", {"name": "12", "times": 3})
    assert set(run["tags"]) == {"a", "b"}
    assert "try-7 is Completed" in answer.err


def test_parameters_come_from_a_file_or_stdin_and_single_ones_win(orion, home, tmp_path):
    file = tmp_path / "greet.json"
    file.write_text(json.dumps({"name": "Ada", "times": 2}))

    from_file = orion("run", "shop.py:greet", "--params", f"@{file}", "-p", "name=Bob", "--json")
    from_stdin = run_orion(home, "run", "shop.py:greet", "--params", "@-", "--json", stdin='{"name": "Eve"}')

    assert json.loads(from_file.out)["parameters"] == {"name": "Bob", "times": 2}
    assert json.loads(from_stdin.out)["parameters"]["name"] == "Eve"


def test_watching_without_a_screen_prints_no_progress_line(orion):
    answer = orion("run", "shop.py:greet", "-p", "name=Ada", "--watch")

    assert answer.code == 0
    assert "\x1b" not in answer.err + answer.out
    assert "tasks" not in answer.out


def test_a_file_that_cannot_be_imported_is_reported_with_its_line(orion):
    answer = orion("run", "damaged.py:greet")

    assert "ZeroDivisionError" in answer.err
    assert "damaged.py, line 5" in answer.err


def test_a_wrong_name_proposes_the_right_one(orion):
    flow = orion("run", "shop.py:gret")
    parameter = orion("run", "shop.py:greet", "-p", "nam=Ada")

    assert "shop.py:greet" in flow.err
    assert "did you mean name?" in parameter.err


def test_quiet_prints_data_and_errors_alone(orion):
    # The first command in a home says that it created the database there.
    orion("fr", "ls")
    done = orion("run", "shop.py:greet", "-p", "name=Ada", "-q")
    failed = orion("run", "shop.py:chatty", "-q", "-o", "name")
    listed = orion("fr", "ls", "-q", "-o", "name")

    assert (done.code, done.out, done.err) == (0, "", "")
    assert failed.err == ""
    assert len(listed.out.splitlines()) >= 2


def test_the_duration_of_a_retry_is_that_of_the_attempt(orion):
    orion("run", "shop.py:greet", "-p", "name=Ada", "--name", "again")
    run = json.loads(orion("fr", "inspect", "again", "-o", "json").out)
    old = {"state": {"type": "RUNNING", "timestamp": "2020-01-01T00:00:00+00:00"}, "force": True}
    orion("api", "POST", f"/flow_runs/{run['id']}/set_state", "-d", json.dumps(old))
    orion(
        "api",
        "POST",
        f"/flow_runs/{run['id']}/set_state",
        "-d",
        json.dumps({"state": {"type": "FAILED"}, "force": True}),
    )

    retried = orion("fr", "retry", "again", "--entrypoint", "shop.py:greet")

    assert retried.code == 0
    took = re.search(r"again is Completed after ([0-9.]+)(ms|s)", retried.err)
    assert took, retried.err
