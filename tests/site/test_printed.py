"""Waiting for what a program prints (tests/printed.py): it ends in time, and shows what came instead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests import warm
from tests.printed import NotPrinted, read_answer, read_line, read_until
from tests.sdk.programs import Program

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program that prints something and then stays, or ends."""
    started = []

    def begin(source: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", f"import sys, time\n{source}"]
        started.append(warm.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()


def test_output_after_a_line_stays_in_the_pipe(start: Start):
    process = start("print('one\\ntwo ready\\nthree\\nfour', flush=True)")

    first, second = read_line(process.stdout), read_until(process.stdout, "three")

    assert (first, second) == ("one\n", "two ready\nthree\n")
    assert process.communicate(timeout=60)[0] == "four\n"


def test_a_program_that_prints_something_else_and_stays_is_not_waited_for(start: Start):
    process = start(
        "print('sorry', file=sys.stderr, flush=True); print('busy\\nand', end='', flush=True); time.sleep(99)"
    )
    assert read_line(process.stdout) == "busy\n"

    with pytest.raises(NotPrinted) as failure:
        read_until(process.stdout, "ready", seconds=1, errors=process.stderr)

    assert str(failure.value) == ("'ready' did not come within 1 s; the program printed: and; and as errors: sorry\n")
    assert process.poll() is None


def test_an_answer_is_as_long_as_its_line(start: Start):
    process = start("print('x' * 300_000, flush=True)")

    assert read_answer(process.stdout) == "x" * 300_000 + "\n"


def test_an_answer_is_not_awaited_for_ever(start: Start):
    process = start("print('half of', end='', flush=True); time.sleep(99)")

    with pytest.raises(NotPrinted, match="a line did not come within 1 s; the program printed: half of"):
        read_answer(process.stdout, seconds=1)


def test_a_program_that_ends_instead_is_shown_with_its_errors(start: Start):
    process = start("print('cut off', end='', flush=True); sys.exit('gone')")

    with pytest.raises(NotPrinted) as failure:
        read_line(process.stdout, errors=process.stderr)

    assert "a line did not come before the end; the program printed: cut off" in str(failure.value)


def test_the_output_of_a_script_is_not_awaited_longer_than_its_limit(tmp_path):
    program = Program(tmp_path, "import time; print('busy', flush=True); time.sleep(99)", ready=False)
    with program.start() as process:
        with pytest.raises(NotPrinted, match="'ready' did not come within 1 s; the program printed: busy"):
            program.wait_for_output("ready", timeout=1)
        process.kill()
