"""Fingerprints of failures: the pure function for many messages, and the cost of an exception in a program."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.measuring import report
from orionflow.contract.fingerprints import cause_of
from orionflow.engine.causes import note_cause
from orionflow.states import Failed

MESSAGES = (
    "'customer_{word}'",
    "[Errno 2] No such file or directory: '/data/{word}/2026-01-05-{number}.csv'",
    "could not connect to 10.0.0.{number}:5432 after {number} tries",
    "row {number} of batch 01a225ba-8bce-7b4a-8076-e9b1805b0bbf has {number} columns, expected [1, 2, 3, {number}]",
    "HTTPSConnectionPool(host='{word}.example.com', port=443): Max retries exceeded with url: /v1/items?page={number} "
    "(Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f12ab{number}>: refused'))",
)
FRAMES = [("/srv/code/etl/flows.py", "etl"), ("/srv/code/etl/load.py", "load"), ("/srv/code/etl/load.py", "load_rows")]
ROUNDS = 5_000


def raising(depth: int) -> None:
    if depth:
        raising(depth - 1)
    raise KeyError("customer_id")


def microseconds(work: Callable[[int], object]) -> tuple[float, float]:
    """Return the median and the 99th percentile in microseconds."""
    taken = []
    for number in range(ROUNDS):
        began = time.perf_counter_ns()
        work(number)
        taken.append((time.perf_counter_ns() - began) / 1000)
    taken.sort()
    return round(taken[ROUNDS // 2], 1), round(taken[ROUNDS * 99 // 100], 1)


def main() -> None:
    draw = random.Random(1)
    words = ["".join(draw.choice("abcdefgh") for _ in range(8)) for _ in range(100)]
    texts = [MESSAGES[n % len(MESSAGES)].format(word=words[n % 100], number=n) for n in range(ROUNDS)]
    median, most = microseconds(lambda number: cause_of("KeyError", texts[number], FRAMES))
    report("fingerprints", what="the pure function", microseconds=median, p99=most)

    def note(_: int) -> None:
        try:
            raising(3)
        except KeyError as error:
            note_cause(Failed(value=error), raising)

    median, most = microseconds(note)
    report("fingerprints", what="an exception of a task", microseconds=median, p99=most)


if __name__ == "__main__":
    main()
