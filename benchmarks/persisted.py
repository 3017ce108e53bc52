"""Stored results: microseconds to write and read one, as JSON and as a sealed pickle, and to choose between them."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import report

ROUNDS = 3_000
VALUES: dict[str, Any] = {"json": {"rows": 3, "name": "abc"}, "pickle": (3, "abc")}


class Memory:
    """A store without cost, so that only Orion's code is measured."""

    where = "memory://bench"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def write(self, key: str, content: bytes) -> None:
        self.kept[key] = content

    def read(self, key: str) -> bytes:
        return self.kept[key]

    def exists(self, key: str) -> bool:
        return key in self.kept


def microseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of many calls."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        taken.append((time.perf_counter_ns() - began) / 1000)
    return round(sorted(taken)[rounds // 2], 1)


def measure(folder: Path) -> None:
    from orionflow.results import LocalFileSystem, read_record, write_result
    from orionflow.results.exact_json import is_exact_in_json

    memory, files = Memory(), LocalFileSystem(folder / "results")
    for kind, value in VALUES.items():
        record = write_result(value, store=memory)
        assert record["serializer_type"] == kind
        wrote = microseconds(partial(write_result, value, store=memory))
        read = microseconds(partial(read_record, record))
        on_disk = microseconds(partial(write_result, value, store=files))
        report("persisted", who="orion", kind=kind, write_us=wrote, read_us=read, write_to_disk_us=on_disk)
    dicts = [{"a": number, "b": "x"} for number in range(10_000)]
    for what, large in (("1,000,000 numbers", list(range(1_000_000))), ("10,000 dicts", dicts)):
        took = microseconds(partial(is_exact_in_json, large), 9)
        report("persisted", who="orion", check=what, milliseconds=round(took / 1000, 2))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="orion-bench-") as home:
        os.environ["ORION_HOME"] = home
        measure(Path(home))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.parse_args()
    main()
