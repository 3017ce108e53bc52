"""Ids of rows and those that clients make: version 7, ascending, different in every process."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from time import time
from unittest.mock import patch
from uuid import RFC_4122

import pytest

from orionflow.contract.ids import uuid7


def test_an_id_is_a_uuid_of_version_seven_with_its_time():
    before = time()

    made = uuid7()

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before - 0.01 <= (made.int >> 80) / 1000 <= time() + 0.01


def test_ids_ascend_also_within_a_millisecond():
    ids = [uuid7() for _ in range(2_000)]

    assert ids == sorted(set(ids))


def test_ids_ascend_when_the_clock_steps_back():
    last = uuid7()

    with patch("orionflow.contract.ids.time_ns", return_value=1):
        following = [uuid7() for _ in range(2_000)]

    assert [last, *following] == sorted({last, *following})


def test_threads_never_make_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        made = [one for ids in pool.map(lambda _: [uuid7() for _ in range(2_000)], range(8)) for one in ids]

    assert len(set(made)) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_makes_other_ids_than_its_parent():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(uuid7().int & (2**62 - 1)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    mine = uuid7().int & (2**62 - 1)

    assert int(os.read(reading, 100)) != mine
    os.close(reading)
    os.close(writing)
