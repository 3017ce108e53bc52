"""Tests in forked processes (tests/side_by_side.py): each runs once, and none is lost without a word."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import warm
from tests.rounds import examples
from tests.side_by_side import Shares

ROOT = Path(__file__).parents[2]
TESTS = """
import logging, sys, time, warnings
import pytest

# As handlers of logs are made while tests are loaded.
logging.getLogger("early").addHandler(logging.StreamHandler(sys.stderr))

@pytest.mark.parametrize("number", range(20))
def test_number(number, tmp_path):
    print("here is", number)
    logging.getLogger("early").warning("logged by %d", number)
    assert number != 3

def test_warns():
    warnings.warn("mind the gap", UserWarning)

@pytest.mark.skip(reason="not today")
def test_skipped(): ...

@pytest.fixture
def broken():
    yield
    raise ValueError("broken")

def test_torn_down(broken): ...

@pytest.mark.timeout(0.1)
def test_hangs():
    time.sleep(60)
"""
LEAVING = """
import os
import pytest

@pytest.mark.parametrize("number", range(20))
def test_number(number): ...

def test_leaves():
    os._exit({code})
"""


@examples(20)
@given(data=st.data(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), count=st.integers(1, 5))
def test_each_test_is_taken_once_by_any_process(data: st.DataObject, sizes: list[int], count: int):
    files = [f"file{number}" for number, size in enumerate(sizes) for _ in range(size)]
    shares, taken, at_work = Shares(files, count), [], list(range(count))

    while at_work:
        number = data.draw(st.sampled_from(at_work))
        if (place := shares.take(number)) is None:
            at_work.remove(number)
        else:
            taken.append(place)

    assert sorted(taken) == list(range(len(files)))


def test_who_is_done_takes_whole_files_while_there_are_several():
    shares = Shares(["one"] * 3 + ["two"] * 3 + ["three"] * 3, count=2)
    first = [shares.take(0) for _ in range(3)]

    assert first == [0, 1, 2]
    assert shares.take(1) == 3
    assert [shares.take(0) for _ in range(3)] == [6, 7, 8]


def test_withdrawn_tests_are_not_taken():
    shares = Shares(["one"] * 9, count=2)
    shares.take(0)

    shares.withdraw()

    assert (shares.take(0), shares.take(1)) == (None, None)


def run_side_by_side(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_them.py").write_text(source)
    words = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    options = ["-q", "-p", "no:cacheprovider", "-W", "default::UserWarning", "--side-by-side", "4"]
    temporary = ["--basetemp", str(folder / "temporary")]
    return warm.run([*words, *options, *temporary, str(folder)], cwd=ROOT, capture_output=True, text=True)


def test_what_processes_see_is_reported(tmp_path: Path):
    output = run_side_by_side(tmp_path, TESTS)

    assert (output.returncode, output.stderr) == (1, "")
    for words in (
        "here is 3\n", "logged by 3\n", "ValueError: broken", "mind the gap", "not today", "Timeout (>0.1s)",
    ):  # fmt: skip
        assert words in output.stdout
    assert "Logging error" not in output.stdout
    assert "2 failed, 21 passed, 1 skipped, 1 warning, 1 error in" in output.stdout


@pytest.mark.parametrize("code", [0, 7])
def test_a_process_that_ends_fails_its_test_and_loses_none(code: int, tmp_path: Path):
    output = run_side_by_side(tmp_path, LEAVING.format(code=code))

    assert (output.returncode, output.stderr) == (1, "")
    assert f"The process that ran this test ended with {code}." in output.stdout
    counts = re.search(r"(\d+) failed, (\d+) passed in", output.stdout)
    assert counts, output.stdout
    # What it had taken up for later fails as well, as nobody has run it.
    assert int(counts[1]) + int(counts[2]) == 21
