"""Commands that change runs: cancel, delete, retry; they never hang and never surprise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.cli.conftest import PROGRAMS, companion, environment_of
from tests.printed import read_line


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def orion(home):
    with companion(home) as orion:
        yield orion


def start_flow(home: Path, *words: str) -> subprocess.Popen[str]:
    return start_orion(home, "run", *words)


def start_orion(home: Path, *words: str) -> subprocess.Popen[str]:
    return warm.Popen(
        [sys.executable, "-u", "-m", "orionflow.cli", *words],
        env=environment_of(home), cwd=PROGRAMS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_state(orion, name: str, state: str) -> None:
    deadline, pause = time.monotonic() + 30, 0.02
    while time.monotonic() < deadline:
        answer = orion("fr", "ls", f"name:{name}", "--json")
        if answer.code == 0 and [run["state_type"] for run in json.loads(answer.out)] == [state]:
            return
        time.sleep(pause)
        pause = min(1.4 * pause, 0.25)
    raise AssertionError(f"{name} did not become {state}")


def test_a_running_run_is_cancelled_and_its_process_ends(home, orion):
    process = start_flow(home, "shop.py:endless", "--name", "long")
    wait_for_state(orion, "long", "RUNNING")

    answer = orion("fr", "cancel", "long")

    _, errors = process.communicate(timeout=60)
    assert answer.code == 0, answer.err
    assert "long is Cancelling" in answer.out
    assert process.returncode == 8, errors
    wait_for_state(orion, "long", "CANCELLED")


def test_watching_follows_a_run_of_another_process(home, orion):
    process = start_flow(home, "shop.py:endless", "-p", "at_most=20", "--name", "short")
    wait_for_state(orion, "short", "RUNNING")

    answer = orion("fr", "watch", "short")

    process.communicate(timeout=60)
    assert answer.code == 0, answer.err
    places = [answer.out.find(words) for words in ("Pending", "Running", "begins", "Ended as", "✓ Completed")]
    assert -1 not in places, answer.out
    assert places == sorted(places), answer.out


def test_watching_ends_with_exit_9_when_its_time_is_up(home, orion):
    process = start_flow(home, "shop.py:endless", "-p", "at_most=100", "--name", "slow")
    wait_for_state(orion, "slow", "RUNNING")

    answer = orion("fr", "watch", "slow", "--timeout", "1s")

    process.terminate()
    process.communicate(timeout=60)
    assert answer.code == 9


def test_a_finished_run_cannot_be_cancelled_and_the_rule_explains_why(orion):
    orion("run", "shop.py:greet", "-p", "name=Ada", "--name", "done")

    answer = orion("fr", "cancel", "done")

    assert answer.code == 6
    assert "Completed" in answer.err
    assert "why:" in answer.err


def test_deleting_is_refused_without_yes_on_no_terminal(orion):
    orion("run", "shop.py:greet", "-p", "name=Ada", "--name", "done")

    refused = orion("fr", "delete", "done")
    planned = orion("fr", "delete", "done", "--dry-run")

    assert refused.code == 2
    assert "--yes" in refused.err
    assert planned.code == 0
    assert "done" in planned.out
    assert orion("fr", "ls", "-o", "name").out.split() == ["done"]

    assert orion("fr", "delete", "done", "--yes").code == 0
    assert orion("fr", "ls", "-o", "name").out.split() == []
    assert orion("fr", "delete", "done", "--yes").code == 5


def test_bulk_actions_are_guarded(orion):
    for number in range(3):
        orion("run", "shop.py:greet", "-p", "name=Ada", "--name", f"bulk-{number}")

    refused = orion("fr", "delete", "--query", "bulk", "--max", "2", "--yes")
    done = orion("fr", "delete", "--query", "bulk", "--yes")

    assert refused.code == 2
    assert "3 runs" in refused.err
    assert done.code == 0
    assert "3 runs" in done.err


def test_naming_runs_and_giving_a_query_at_once_is_refused(orion):
    assert orion("fr", "cancel").code == 2
    assert orion("fr", "cancel", "x", "--query", "y").code == 2


def test_a_query_in_place_of_a_run_gets_a_hint_at_the_option(orion):
    answer = orion("fr", "cancel", "flow:nothing state:running")

    assert answer.code == 5
    assert '--query "flow:nothing state:running"' in answer.err


def test_a_failed_run_is_retried_as_the_same_run(orion, tmp_path):
    file = tmp_path / "needed.txt"
    orion("run", "shop.py:mending", "-p", f"path={file}", "--name", "mend-me")
    file.write_text("here")

    answer = orion("fr", "retry", "mend-me", "--entrypoint", "shop.py:mending", "-o", "json")

    run = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert (run["name"], run["state_type"], run["run_count"]) == ("mend-me", "COMPLETED", 2)
    assert orion("fr", "ls", "-o", "name").out.split() == ["mend-me"]


def test_a_retried_run_does_only_what_it_did_not_do_before(orion, tmp_path):
    items, log = tmp_path / "list", tmp_path / "log"
    items.write_text("hat coat shoe")
    orion("run", "shop.py:packing", "-p", f"list={items}", "-p", f"log={log}", "--name", "pack-me")
    items.write_text("shoe hat last hat")

    answer = orion("fr", "retry", "pack-me", "--entrypoint", "shop.py:packing")

    assert answer.code == 0, answer.err
    assert log.with_suffix(".result").read_text() == "SHOE HAT LAST HAT"
    assert log.read_text().split() == ["hat", "coat", "shoe", "last", "hat"]


def test_watching_a_retried_run_shows_its_attempts_in_order(orion, tmp_path):
    file = tmp_path / "needed.txt"
    orion("run", "shop.py:mending", "-p", f"path={file}", "--name", "twice")
    file.write_text("here")
    orion("fr", "retry", "twice", "--entrypoint", "shop.py:mending")

    places = orion("fr", "watch", "twice").out

    ends = [places.find("✗ Failed"), places.rfind("▶ Running"), places.find("✓ Completed")]
    assert -1 not in ends, places
    assert ends == sorted(ends), places


def test_retry_explains_what_it_needs(orion):
    orion("run", "shop.py:broken", "--name", "bad")

    elsewhere = orion("fr", "retry", "bad", "--entrypoint", "shop.py:greet")
    nowhere = orion("fr", "retry", "bad", "--entrypoint", "")

    assert elsewhere.code == 2
    assert "'broken'" in elsewhere.err
    assert nowhere.code in (2, 5)


def test_ctrl_c_ends_a_run_as_crashed_with_exit_130(home, orion):
    process = start_flow(home, "shop.py:endless", "--name", "stopped")
    wait_for_state(orion, "stopped", "RUNNING")

    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    wait_for_state(orion, "stopped", "CRASHED")


def test_ctrl_c_while_watching_leaves_the_run_alive_and_explains_how_to_cancel(home, orion):
    run = start_flow(home, "shop.py:endless", "-p", "at_most=100", "--name", "alive")
    wait_for_state(orion, "alive", "RUNNING")
    watching = start_orion(home, "fr", "watch", "alive")
    read_line(watching.stdout)

    watching.send_signal(signal.SIGINT)

    _, errors = watching.communicate(timeout=60)
    wait_for_state(orion, "alive", "RUNNING")
    assert watching.returncode == 130
    assert "orion flow-run cancel alive" in errors
    run.terminate()
    run.communicate(timeout=60)
