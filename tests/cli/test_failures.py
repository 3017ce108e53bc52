"""Failures are three lines on stderr, with an exit code that scripts can rely on."""

from __future__ import annotations

import sqlite3

import click
import pytest

from orionflow import errors
from orionflow.cli.errors import MEANINGS, CommandFailed, ExitCode, exit_code_of_state, explained, guarded
from orionflow.cli.root import server_group
from orionflow.cli.terminal import Terminal
from orionflow.client.responses import Reply, error_from_reply


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("no"), 2),
        (click.ClickException("port in use"), 1),
        (errors.SettingsError("no"), 2),
        (errors.ProfileMissing("no"), 5),
        (errors.ParameterError("no"), 2),
        (errors.FailedRun("no"), 1),
        (errors.OrchestrationRefused("no"), 6),
        (errors.ApiUnreachable("no"), 3),
        (errors.DatabaseNotReady("no"), 3),
        (errors.Overloaded("no", status=503), 3),
        (errors.NotAllowed("no", status=403), 4),
        (errors.NotFound("no", status=404), 5),
        (errors.Conflict("no", status=409), 6),
        (errors.InvalidRequest("no", status=422), 2),
        (errors.ServerFailed("no", status=500), 1),
        (CommandFailed(ExitCode.TIMED_OUT, "no"), 9),
        (PermissionError(13, "Permission denied", "a.py"), 1),
        (FileNotFoundError(2, "No such file or directory", "a.py"), 5),
        (RuntimeError("no"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_kind_of_failure_has_its_exit_code(error, code):
    assert explained(error).code == code


@pytest.mark.parametrize("words", [("run",), ("deploy",), ("replay",), ("result", "seal"), ("deployment", "apply")])
def test_an_impossible_path_is_an_error_of_one_sentence(orion, words):
    answer = orion(*words, "x" * 5000)

    assert answer.code == 2
    assert "File name too long." in answer.err
    assert "foresee" not in answer.err
    assert len(answer.err) < 1000


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("variable", "unset", ""), 5, "There is no variable ''."),
        (("work-pool", "pause", "/"), 5, "There is no work pool '/'."),
        (("work-pool", "inspect", "\udcff"), 2, "not UTF-8"),
        (("work-queue", "set-concurrency-limit", "\udcff", "1"), 2, "not UTF-8"),
    ],
)
def test_impossible_names_are_errors_of_one_sentence(orion, words, code, expected):
    answer = orion(*words)

    assert answer.code == code
    assert expected in answer.err


@pytest.mark.parametrize(
    ("state", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CRASHED", 7), ("CANCELLED", 8), ("PAUSED", 0), (None, 0)]
)
def test_the_end_of_a_run_has_its_exit_code(state, code):
    assert exit_code_of_state(state) == code


def test_every_exit_code_is_explained():
    assert set(MEANINGS) == set(ExitCode)


def test_an_interruption_ends_with_130(capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert guarded(interrupted, Terminal()) == 130


def test_the_answer_of_the_api_comes_before_the_question():
    failure = explained(errors.NotFound("GET http://x/api/y was answered with 404: No such run.", status=404))

    assert failure.what == "No such run."
    assert failure.why == "GET http://x/api/y was answered with 404"


def test_a_web_page_in_the_place_of_an_answer_is_not_printed():
    page = Reply(
        404, {"content-type": "text/html"}, b"<!DOCTYPE html>\n<html><head><title>Not found</title></head></html>"
    )

    failure = explained(error_from_reply(page, method="GET", url="http://x/version"))

    assert "usually ends in /api" in failure.what
    assert "<" not in failure.what


def test_the_traceback_is_shown_with_debug_only(orion):
    plain = orion("--profile", "nowhere", "fr", "ls")
    debug = orion("--profile", "nowhere", "fr", "ls", "--debug")

    assert plain.code == debug.code == 5
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert plain.out == ""


def test_a_server_that_does_not_answer_is_exit_3(orion):
    answer = orion("--api-url", "http://127.0.0.1:9/api", "fr", "ls")

    assert answer.code == 3
    assert "http://127.0.0.1:9/api" in answer.err
    assert "orion server start" in answer.err


def test_a_damaged_database_is_one_sentence(orion, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "orion.db").write_bytes(b"this is no database" * 100)

    listed, examined = orion("fr", "ls"), orion("doctor")

    assert listed.code == 3
    assert "Traceback" not in listed.err
    assert examined.code == 1
    assert "orion.db" in examined.out


def test_an_unmigrated_database_is_reported_with_its_fix(orion, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    sqlite3.connect(home / "orion.db").execute("CREATE TABLE something (id INTEGER)").connection.close()

    answer = orion("fr", "ls")

    assert answer.code == 3
    assert "orion database upgrade" in answer.err


def test_a_reader_that_leaves_early_is_not_an_error(tmp_path):
    import subprocess
    import sys

    from tests.cli.conftest import environment_of

    command = f"{sys.executable} -m orionflow.cli help filters | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        env=environment_of(tmp_path),
        check=False,
    )

    assert done.returncode == 0
    assert done.stderr == ""


def test_the_doctor_finds_an_empty_home_well_and_leaves_it_empty(orion, tmp_path):
    answer = orion("doctor")

    assert answer.code == 0, answer.out
    assert not (tmp_path / "home").exists()


def test_versions_are_shown_and_compared(orion):
    answer = orion("version", "--check", "-o", "json")

    assert answer.code == 0, answer.err
    assert '"api"' in answer.out


def test_a_command_group_of_a_missing_package_names_it():
    with pytest.raises(CommandFailed) as caught:
        server_group("not-installed")

    assert caught.value.code == 2
    assert caught.value.fix == "pip install orionflow-server"


def test_a_database_that_a_run_made_is_found_good(orion):
    orion("run", "shop.py:quiet")

    checked, verified, examined = orion("database", "check"), orion("database", "verify"), orion("doctor")

    assert checked.code == 0, checked.out
    assert (verified.code, verified.out) == (0, "Everything holds.\n")
    assert examined.code == 0, examined.out


@pytest.mark.parametrize(
    ("words", "code"),
    [("version", 1), ("-h", 1), ("config view", 1), ("settings-that-are-none", 2), ("flow ls -o json", 1)],
)
def test_an_output_without_room_is_reported_in_one_sentence(words, code, tmp_path):
    import subprocess
    import sys

    from tests.cli.conftest import environment_of

    command = f"{sys.executable} -m orionflow.cli {words} > /dev/full"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment_of(tmp_path), check=False
    )

    assert done.returncode == code
    assert ("The output cannot be written: No space left on device" in done.stderr) is (code == 1)
    assert "foresee" not in done.stderr
    assert "Exception ignored" not in done.stderr
