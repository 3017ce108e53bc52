"""Rows that the workers of a server share: they are counted together, without those of killed workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from orion_site.accounts.throttling import Buckets
from orion_site.shared_rows import SETS, WAYS, Sheet


def in_another_process(work: Callable[[], int]) -> int:
    """Return what it returns there, up to 255."""
    pid = os.fork()
    if not pid:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def taken(sheet: Sheet, name: str, tries: int) -> int:
    buckets = Buckets()
    buckets.rows = sheet.rows("requests")
    return sum(buckets.take(name, 1, rate=1e-9, size=100) == 0 for _ in range(tries))


def test_a_bucket_is_emptied_once_by_all_processes():
    sheet = Sheet()

    there = in_another_process(lambda: taken(Sheet(sheet.descriptor), "key", 70))

    assert there == 70
    assert taken(sheet, "key", 70) == 30
    assert taken(sheet, "another key", 5) == 5


def test_concurrent_takes_of_many_processes_add_up():
    sheet = Sheet()
    pids = []
    for _ in range(4):
        if not (pid := os.fork()):
            os._exit(taken(Sheet(sheet.descriptor), "key", 90))
        pids.append(pid)

    assert sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids) == 100


def test_a_killed_process_does_not_block_others():
    sheet = Sheet()
    pid = os.fork()
    if not pid:
        with Sheet(sheet.descriptor).locked():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    with sheet.locked():
        sheet.rows("links").put("name", (1.0, 2.0))
    assert sheet.rows("links").get("name") == (1.0, 2.0)


def test_a_full_table_forgets_what_was_written_longest_ago():
    rows = Sheet().rows("links")
    names = [str(number) for number in range(20 * SETS["links"] * WAYS)]
    for number, name in enumerate(names):
        rows.put(name, (0.0, 1.0 + number))

    kept = [name for name in names if rows.get(name) is not None]

    assert len(kept) <= SETS["links"] * WAYS
    assert names[-1] in kept
    assert rows.pop(names[-1]) == (0.0, float(len(names)))
    assert rows.get(names[-1]) is None


def test_tables_do_not_overlap():
    sheet = Sheet()
    for name in SETS:
        sheet.rows(name).put("same", (1.0, time.monotonic()))
    sheet.note_connections(63, 7)

    sheet.rows("requests").clear()

    assert [name for name in SETS if sheet.rows(name).get("same")] == ["guesses", "good keys", "links"]
    assert sheet.connections(63) == 7
    with pytest.raises(KeyError):
        sheet.rows("others")


def test_a_server_that_accepts_no_connections_is_not_waited_for():
    sheet = Sheet()
    assert sheet.fewest_connections() == 0

    sheet.note_connections(1, 5)
    sheet.note_connections(2, 3)
    assert sheet.fewest_connections() == 3
    sheet.note_connections(2, -1)

    assert sheet.fewest_connections() == 5
