"""Twenty flows, each with one fault planted in it: what breaks them is known, and named beside each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orionflow import allow_failure, flow, task
from orionflow.states import State

HERE = Path(__file__).name


class StaleData(Exception):
    """A kind of error of the user's own."""


@dataclass(frozen=True)
class Planted:
    """A flow, the type of its error, the function that is at fault, and a word of the message."""

    flow: Callable[..., Any]
    type: str
    function: str
    word: str

    def run(self) -> State[Any]:
        state: State[Any] = self.flow(return_state=True)
        return state


@task
def extract(rows: int = 3) -> list[dict[str, Any]]:
    return [{"id": number, "price": "12"} for number in range(rows)]


@task
def missing_column(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["customer_id"] for row in rows]


@flow
def column() -> None:
    missing_column(extract())


@task
def read_file(path: str) -> str:
    return Path(path).read_text()


@flow
def file() -> None:
    read_file("/nowhere/day-17.csv")


@task
def to_number(text: str) -> int:
    return int(text)


@flow
def number() -> None:
    to_number.map(["1", "2", "three", "four"])


@task
def ratio(of: int, to: int) -> float:
    return of / to


@flow
def division() -> None:
    ratio.submit(1, 0)


@task
def parse(text: str) -> Any:
    return json.loads(text)


@flow
def broken_json() -> None:
    parse('{"a": ')


@task(timeout_seconds=0.05)
def hanging() -> None:
    time.sleep(5)


@flow
def slow_task() -> None:
    hanging()


@flow(timeout_seconds=0.05)
def slow_flow() -> None:
    time.sleep(5)


@task(retries=1)
def flaky() -> None:
    raise ConnectionRefusedError("10.0.0.7:5432 refused the connection")


@flow
def unreachable() -> None:
    flaky()


@task
def check_age(hours: int) -> None:
    if hours > 24:
        raise StaleData(f"the newest row is {hours} hours old")


@flow
def stale() -> None:
    check_age(31)


def helper(value: Any) -> Any:
    return value.strip()


@task
def clean(value: Any) -> Any:
    return helper(value)


@flow
def nothing_there() -> None:
    clean(None)


@flow
def in_the_flow() -> None:
    extract()
    raise PermissionError("the token of shop-3 has run out")


@flow
def inner() -> None:
    ratio(2, to=len([]))


@task
def total(rows: list[Any]) -> Any:
    return sum(rows)


@flow
def adding() -> None:
    total(["a", 1])


@flow
def outer() -> None:
    deepest()


@flow
def deepest() -> None:
    pick([1, 2], 9)


@task
def pick(rows: list[int], place: int) -> int:
    return rows[place]


@task
async def fetch(url: str) -> None:
    await asyncio.sleep(0)
    raise TimeoutError(f"no answer from {url}")


@flow
async def async_flow() -> None:
    await fetch("https://example.org/v1/items?page=3")


@task
def recurse(depth: int = 0) -> int:
    return recursive(depth)


def recursive(depth: int) -> int:
    return recursive(depth + 1)


@flow
def endless() -> None:
    recurse()


@task
def several() -> None:
    raise ExceptionGroup("two hosts", [OSError("no route to host 5"), OSError("no route to host 6")])


@flow
def grouped() -> None:
    several()


@task
def decode(raw: bytes) -> str:
    return raw.decode()


@flow
def bytes_that_are_no_text() -> None:
    decode(b"\xff\xfe")


@task
def after(value: Any) -> None:
    assert value, "the report has no rows"


@flow
def handled_then_broken() -> None:
    broken = missing_column.submit([{"id": 1, "customer_id": 2}, {}][:1])
    after(allow_failure(broken) and [])


@task
def unpack(pair: tuple[int, ...]) -> int:
    one, other = pair
    return one + other


@flow
def too_many() -> None:
    unpack((1, 2, 3))


PLANTED = [
    Planted(column, "KeyError", "missing_column", "customer_id"),
    Planted(file, "FileNotFoundError", "read_file", "day-17.csv"),
    Planted(number, "ValueError", "to_number", "invalid literal"),
    Planted(division, "ZeroDivisionError", "ratio", "division"),
    Planted(broken_json, "JSONDecodeError", "parse", "Expecting value"),
    Planted(slow_task, "TimedOut", "hanging", "ran longer than"),
    Planted(slow_flow, "TimedOut", "slow_flow", "ran longer than"),
    Planted(unreachable, "ConnectionRefusedError", "flaky", "refused the connection"),
    Planted(stale, "StaleData", "check_age", "hours old"),
    Planted(nothing_there, "AttributeError", "helper", "strip"),
    Planted(in_the_flow, "PermissionError", "in_the_flow", "token"),
    Planted(adding, "TypeError", "total", "unsupported operand"),
    Planted(outer, "IndexError", "pick", "out of range"),
    Planted(async_flow, "TimeoutError", "fetch", "no answer from"),
    Planted(endless, "RecursionError", "recursive", "recursion"),
    Planted(grouped, "ExceptionGroup", "several", "two hosts"),
    Planted(bytes_that_are_no_text, "UnicodeDecodeError", "decode", "codec"),
    Planted(handled_then_broken, "AssertionError", "after", "no rows"),
    Planted(too_many, "ValueError", "unpack", "too many values"),
    Planted(inner, "ZeroDivisionError", "ratio", "division"),
]
