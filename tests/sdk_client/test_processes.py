"""Distinguish a process that is gone from one that lives, or that cannot be seen from here."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orionflow.processes import ProcessIdentity, is_gone, own_identity, read_identity
from tests.printed import read_line

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells this much of a process")


@pytest.fixture
def here() -> ProcessIdentity:
    found = read_identity(own_identity() or "")
    assert found is not None
    return found


def test_this_process_exists(here: ProcessIdentity):
    assert here.pid == os.getpid()
    assert not is_gone(str(here))


def test_a_process_that_has_ended_is_recognised(here: ProcessIdentity):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pass

    assert is_gone(str(replace(here, pid=other.pid)))


def test_a_zombie_counts_as_ended(here: ProcessIdentity):
    program = "from orionflow.processes import own_identity; print(own_identity(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    known = read_line(other.stdout).strip()
    assert not is_gone(known)

    other.kill()
    # The process is not reaped: it stays in the table until this process reads its exit status.
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

    assert is_gone(known)
    other.communicate()


def test_another_process_with_the_same_number_is_not_the_one(here: ProcessIdentity):
    assert is_gone(str(replace(here, started=here.started - 1)))


LONG_AGO, TO_COME = datetime(2001, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)


def test_after_a_restart_of_the_machine_all_are_gone(here: ProcessIdentity):
    before = replace(here, boot="another")

    assert is_gone(str(before), LONG_AGO) == bool(here.machine)
    assert not is_gone(str(replace(before, machine="")), LONG_AGO)


@pytest.mark.parametrize("seen_at", [None, TO_COME])
def test_one_that_was_seen_since_this_machine_started_lives_on_a_copy_of_it(
    here: ProcessIdentity, seen_at: datetime | None
):
    assert not is_gone(str(replace(here, boot="another", machine=here.machine or "some")), seen_at)


@pytest.mark.parametrize("difference", [{"host": "elsewhere"}, {"namespace": "1"}, {"machine": "another"}])
def test_processes_that_cannot_be_seen_from_here_are_unknown(here: ProcessIdentity, difference: dict):
    assert not is_gone(str(replace(here, pid=2**22 + 1, **difference)))


@pytest.mark.parametrize("text", ["", "host:4711", "a|b|c|d|e|f", "a|1|2|b|c"])
def test_other_texts_name_no_process(text: str):
    assert read_identity(text) is None
    assert not is_gone(text)


def test_a_forked_process_is_another_one(here: ProcessIdentity):
    program = (
        "import os\nfrom orionflow.processes import own_identity\nbefore = own_identity()\n"
        "if os.fork() == 0:\n    print(before != own_identity(), flush=True)\nelse:\n    os.wait()"
    )

    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert output.stdout == "True\n"
