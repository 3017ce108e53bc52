"""Ids of rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import time
from unittest.mock import patch
from uuid import RFC_4122

from runs.ids import uuid7


def test_an_id_is_a_uuid_of_version_seven_that_tells_its_time():
    before = time()

    made = uuid7()

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before - 0.01 <= (made.int >> 80) / 1000 <= time() + 0.01


def test_ids_ascend_also_within_a_millisecond():
    ids = [uuid7() for _ in range(20_000)]

    assert ids == sorted(set(ids))


def test_ids_ascend_when_the_clock_stands_still():
    last = uuid7()

    with patch("time.time_ns", return_value=1):
        following = [uuid7() for _ in range(10_000)]

    assert [last, *following] == sorted({last, *following})


def test_threads_never_make_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        made = [one for ids in pool.map(lambda _: [uuid7() for _ in range(2_000)], range(8)) for one in ids]

    assert len(set(made)) == 16_000
