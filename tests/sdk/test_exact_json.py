"""Values that are stored as JSON without being asked come back as they were, types included; others are pickled."""

from __future__ import annotations

import pickle
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orionflow.results import LocalFileSystem, read_record, write_result
from orionflow.results.exact_json import DEEPEST, MOST_CONTAINERS, is_exact_in_json


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Row(BaseModel):
    name: str = "a"


@dataclass
class Point:
    x: int = 1


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 (of this kind, too)


class Text(str):
    __slots__ = ()


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def doubled(times: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(times):
        value = [value, value]
    return value


OTHERS = [
    (1, 2),
    {"a": (1,)},
    {1, 2},
    frozenset({1}),
    {1: "a"},
    {None: 1},
    {True: 1},
    {Text("a"): 1},
    b"bytes",
    bytearray(b"x"),
    1j,
    date(2026, 1, 1),
    datetime(2026, 1, 1, tzinfo=UTC),
    timedelta(1),
    uuid4(),
    Decimal("1.0"),
    Path("/a"),
    Colour.RED,
    Level.LOW,
    Row(),
    Point(),
    Pair(1, 2),
    Text("a"),
    OrderedDict(a=1),
    [OrderedDict(a=1)],
    2**63,
    -(2**63) - 1,
    10**5000,
    [1, "a", 2**63],
    "\ud800",
    {"\ud800": 1},
    doubled(3),
    [[1]] * 2,
    ValueError("boom"),
]


@pytest.mark.parametrize("value", OTHERS, ids=lambda value: type(value).__name__)
def test_values_that_json_would_change_are_pickled(tmp_path: Path, value: Any):
    store = LocalFileSystem(tmp_path)

    record = write_result(value, store=store)

    assert record["serializer_type"] == "pickle"
    back = read_record(record)
    assert type(back) is type(value)
    assert isinstance(value, Exception) or back == value


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@given(value=values)
def test_every_value_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: Any):
    store = LocalFileSystem(tmp_path_factory.getbasetemp() / "every")

    back = read_record(write_result(value, store=store, key="one"))

    # Also the signs of zeros, NaN, and the order of keys; pickle writes each of these as it is.
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_plain_values_are_json():
    assert is_exact_in_json({"rows": [1, 2.5, None, True, "é\x00"], "empty": [{}, []]})
    assert is_exact_in_json(-(2**63))
    assert is_exact_in_json("text")


def test_shared_endless_and_deep_values_are_left_to_pickle():
    assert not is_exact_in_json(itself())
    assert not is_exact_in_json(doubled(60))
    assert not is_exact_in_json(nested(DEEPEST + 1))
    assert not is_exact_in_json([[] for _ in range(MOST_CONTAINERS + 1)])
    assert is_exact_in_json(nested(DEEPEST - 10))
    assert pickle.dumps(nested(DEEPEST - 10))
