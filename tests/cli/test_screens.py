"""Output on a screen: colours, questions, and a line of progress."""

from __future__ import annotations

import os
import pty
import sys
import time
from pathlib import Path

import pytest

from orionflow.cli.status_line import progress_text
from tests import warm
from tests.cli.conftest import PROGRAMS, environment_of
from tests.homes import ready_home

# `orion`, after its streams have become the terminal that Ctrl-C comes from.
ORION = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("orionflow.cli", run_name="__main__")
"""


def on_a_screen(home: Path, *words: str, answer: str = "") -> tuple[int, str]:
    """Run `orion` on a terminal of its own and type an answer; its exit code and everything on the screen."""
    screen, end = pty.openpty()
    program = warm.Popen(
        [sys.executable, "-c", ORION, *words],
        stdin=end, stdout=end, stderr=end, start_new_session=True, cwd=PROGRAMS,
        env=environment_of(home, TERM="xterm"),
    )  # fmt: skip
    os.close(end)
    shown = b""
    while part := _read(screen):
        shown += part
        if answer and b"[y/N]" in shown:
            # The prompt is printed a moment before the keyboard is read; no user types that fast.
            time.sleep(0.3)
            os.write(screen, answer.encode())
            answer = ""
    os.close(screen)
    return program.wait(), shown.decode()


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 4096)
    except OSError:  # Linux raises this when the other side has closed.
        return b""


@pytest.fixture
def home(tmp_path):
    return ready_home(tmp_path / "home")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_person_is_asked_before_something_is_destroyed(home, answer, code):
    on_a_screen(home, "profile", "create", "staging")

    exit_code, shown = on_a_screen(home, "profile", "delete", "staging", answer=answer)

    assert exit_code == code
    assert "Really delete the profile staging?" in shown


def test_ctrl_c_at_a_question_is_an_interruption(home):
    on_a_screen(home, "profile", "create", "staging")

    exit_code, _ = on_a_screen(home, "profile", "delete", "staging", answer="\x03")

    assert exit_code == 130


def test_a_screen_gets_colours_unless_they_are_unwanted(home):
    _, coloured = on_a_screen(home, "help", "states")
    _, plain = on_a_screen(home, "help", "states", "--no-color")

    assert "\x1b[32m" in coloured
    assert "\x1b[" not in plain


def test_a_table_on_a_screen_fits_it(home):
    _, shown = on_a_screen(home, "config", "view", "--all")

    assert "api_url" in shown
    assert max(len(line) for line in shown.splitlines()) < 260


def test_progress_counts_finished_tasks_and_is_complete_only_at_the_end():
    assert progress_text("otter", "Running", 19, 38, 12.4) == "otter Running: 19 tasks finished, 19 under way, 12.0s"
    assert progress_text("otter", "Running", 1, 1, 3) == "otter Running: 1 task finished, 3.0s"
    assert "0 tasks finished" in progress_text("otter", "Running", 0, 0, 0)


def test_a_watched_run_shows_its_progress_and_takes_it_away_at_the_end(home):
    exit_code, shown = on_a_screen(home, "run", "shop.py:endless", "-p", "at_most=20", "--watch", "--name", "seen")

    assert exit_code == 0
    assert "seen Running: " in shown
    assert " finished" in shown
    assert "seen is \x1b[32mCompleted" in shown.rpartition("\x1b[2K")[2]


def test_a_run_of_another_process_is_watched_on_a_screen(home):
    on_a_screen(home, "run", "shop.py:greet", "-p", "name=Ada", "--name", "done")

    exit_code, shown = on_a_screen(home, "fr", "watch", "done")

    assert exit_code == 0
    assert "Completed" in shown


def test_output_of_a_flow_is_above_the_progress_line(home):
    _, shown = on_a_screen(home, "run", "shop.py:chatty", "--watch")

    lines = [line.rpartition("\x1b[2K")[2] for line in shown.splitlines()]
    assert [line for line in lines if line.startswith("step ")] == [f"step {number}" for number in range(8)]
    assert any("finished" in line for line in shown.splitlines())
