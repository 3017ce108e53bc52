"""Digests of values: the same value has the same in every process, and no two different values share one."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from orionflow.caching import hash_of
from orionflow.errors import UnserializableError
from tests import warm
from tests.rounds import examples

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.complex_numbers(),
)
KEYS = st.one_of(PLAIN, st.tuples(PLAIN, PLAIN), st.frozensets(PLAIN, max_size=3))
VALUES = st.recursive(
    st.one_of(PLAIN, st.decimals(), st.fractions(), st.dates(), st.times(), st.timedeltas(), st.uuids()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(OrderedDict, st.dictionaries(KEYS, inner, max_size=3)),
        st.builds(deque, st.lists(inner, max_size=3)),
        st.builds(SimpleNamespace, a=inner, b=inner),
    ),
    max_leaves=8,
)


def seen(value: Any) -> Any:
    """The value as something that Python compares by type and content alone, without an order where there is none."""
    kind = type(value).__name__
    match value:
        case dict() if not isinstance(value, OrderedDict):
            return kind, frozenset(Counter((seen(key), seen(part)) for key, part in value.items()).items())
        case OrderedDict():
            return kind, tuple((seen(key), seen(part)) for key, part in value.items())
        case set() | frozenset():
            return kind, frozenset(Counter(map(seen, value)).items())
        case list() | tuple() | deque():
            return kind, tuple(map(seen, value))
        case SimpleNamespace():
            return kind, seen(vars(value))
    return kind, repr(value)


@examples(30, 1500)
@given(one=VALUES, other=VALUES)
def test_equal_values_of_equal_types_share_a_digest_and_no_others_do(one: Any, other: Any):
    assert (hash_of(one) == hash_of(other)) == (seen(one) == seen(other))
    assert hash_of(one) == hash_of(deepcopy(one))


@examples(12, 500)
@given(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=6, unique_by=lambda pair: seen(pair[0])), turn=st.randoms())
def test_the_order_in_which_a_dict_or_set_was_filled_does_not_matter(pairs: list[Any], turn: Any):
    one, items = dict(pairs), {one for one, _ in pairs}
    shuffled = list(one.items())
    turn.shuffle(shuffled)
    keys = list(items)
    turn.shuffle(keys)

    assert hash_of(one, items) == hash_of(dict(shuffled), set(keys))


class Colour(Enum):
    RED = 1
    ROUGE = RED
    BLUE = 2


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    ONE = "one"


class Rights(Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: int
    y: int = 0
    label: str = field(default="", compare=False)

    @cached_property
    def far(self) -> int:
        return self.x * self.x


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int


@attrs.define
class Slotted:
    x: int


@attrs.frozen(cache_hash=True)
class Hashed:
    x: str


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")

    names: set[str] = set()
    x: int = 0


class Bare:
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class Other(Bare):
    pass


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyList(list[Any]):
    pass


class MySet(set[Any]):
    pass


Pair = namedtuple("Pair", "a b")
Twin = namedtuple("Twin", "a b")


def scaled(factor: int) -> Any:
    def scale(x: int) -> int:
        return x * factor

    return scale


def noted(factor: int) -> Any:
    def scale(x: int) -> int:
        return x * scale.factor  # type: ignore[attr-defined]

    scale.factor = factor  # type: ignore[attr-defined]
    return scale


def local(factor: int) -> Any:
    class Scaler:
        by = factor

        def scale(self, x: int) -> int:
            return x * factor

    return Scaler()


def cached(factor: int) -> Any:
    @lru_cache
    def scale(x: int) -> int:
        return x * factor

    return scale


def kwargs_default(x: int = 1, *, y: int = 2) -> int:
    return x + y


def other_default(x: int = 1, *, y: int = 3) -> int:
    return x + y


def chosen(value: Any) -> Any:
    class Choice(Enum):
        ONLY = value

    return Choice


def set_to(value: Any) -> Any:
    class Settings:
        names = value

    return Settings


BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
# Each of these values differs from all others.
DIFFERENT: list[Any] = [
    *(
        0,
        False,
        0.0,
        -0.0,
        0j,
        "0",
        b"0",
        None,
        ...,
        NotImplemented,
        float("nan"),
        float("inf"),
        10**5000,
        10**5000 + 1,
    ),
    *([], (), {}, set(), frozenset(), bytearray(), b"", "", deque(), OrderedDict(), Counter(), defaultdict(list)),
    *(MyInt(0), MyStr("0"), MyList(), MySet(), Number.ONE, 1, True, 1.0, Word.ONE, "one", Rights.READ, Rights(3)),
    *(Colour.RED, Colour.BLUE, Colour, Number, int, list[int], list[str], Pair(1, 2), Twin(1, 2), (1, 2), [1, 2]),
    *(OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), {"a": 1, "b": 2}, MappingProxyType({"a": 1, "b": 2})),
    *([[1], 2], [[1, 2]], [1, [2]], [[]], [[[]]], {"a": [1]}, {"a": (1,)}, {1: 2}, {"1": 2}, {True: 2}, {2: 1}),
    *(deque([1]), deque([1], 3), defaultdict(int), Counter("a"), range(3), range(0), slice(1), slice(None, 1, 2)),
    *(Decimal(1), Decimal("1.0"), Fraction(1), UUID(int=1), Path("a"), Path("/a"), PurePosixPath("a")),
    *(
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None),
        datetime(2026, 1, 1, tzinfo=UTC),
        time(1),
        timedelta(1),
    ),
    *(NOON, NOON.replace(fold=1), NOON.astimezone(UTC), NOON.astimezone(timezone(timedelta(hours=2)))),
    *(Point(1), Point(2), Point(1, 1), Point(1, label="one"), Frozen(1), Slotted(1), Slotted(2), Hashed("1")),
    *(
        Model(),
        Model(x=1),
        Model(names={"a"}),
        Model.model_validate({"more": 1}),
        Bare(x=1),
        Other(x=1),
        Bare(),
        Bare(y=1),
    ),
    *(
        scaled(2),
        scaled(3),
        noted(2),
        noted(3),
        local(2),
        local(3),
        cached(2),
        cached(3),
        lambda: 1,
        lambda: 2,
        kwargs_default,
        other_default,
    ),
    *(
        partial(scaled, 2),
        partial(scaled, 3),
        partial(scaled, factor=2),
        Point(1).__eq__,
        Point(2).__eq__,
        len,
        str.upper,
    ),
    *(chosen(1).ONLY, chosen(2).ONLY, chosen([1]).ONLY, set_to(["a"]), set_to(["b"]), set_to(("a",)), set_to({"a": 1})),
    *("x".join, "y".join, ValueError("a"), ValueError("b"), TypeError("a"), threading, os),
]


def test_different_values_have_different_digests():
    digests: dict[str, Any] = {}

    for value in DIFFERENT:
        assert digests.setdefault(hash_of(value), value) is value


def test_values_that_a_property_caches_do_not_count():
    fresh, used = Point(3), Point(3)
    hashed = Hashed("a")

    assert used.far == 9
    assert hash(hashed) == hash(Hashed("a"))
    assert hash_of(fresh) == hash_of(used)
    assert hash_of(hashed) == hash_of(Hashed("a"))


def test_values_that_hold_themselves_or_share_parts():
    one: list[Any] = [1]
    one.append(one)
    twin: list[Any] = [1]
    twin.append(twin)
    shared: list[Any] = [0]
    for _ in range(60):
        shared = [shared, shared]

    assert hash_of(one) == hash_of(twin) != hash_of([1, [1]])
    assert hash_of(shared) == hash_of(deepcopy(shared))


@pytest.mark.parametrize(
    "value", [threading.Lock(), object(), iter([1]), (x for x in "ab"), [threading.Lock()], sys.stdout, {"a": object()}]
)
def test_objects_that_differ_only_by_identity_have_no_digest(value: Any):
    with pytest.raises(UnserializableError):
        hash_of(value)


def test_the_digest_of_a_data_frame_ignores_its_layout_in_memory():
    pandas = pytest.importorskip("pandas")
    columns = {"a": [1.0, None, 3.0], "at": pandas.date_range("2020", periods=3, tz="UTC"), "b": [1.0, 2.0, 3.0]}
    frame = pandas.DataFrame(columns | {"kind": pandas.Categorical(["x", "y", "x"])})
    made_in_steps = frame[["a"]].copy()
    for name in ("at", "b", "kind"):
        made_in_steps[name] = frame[name]
    before = hash_of(frame)

    frame.dropna()
    frame.describe()

    assert hash_of(frame) == before == hash_of(made_in_steps) == hash_of(frame.copy())
    others = [
        *(frame.rename_axis("i"), frame.rename_axis("i", axis=1), frame[["at", "a", "b", "kind"]], frame[:2]),
        *(frame.astype({"b": "float32"}), frame.set_flags(allows_duplicate_labels=False), frame.assign(b=-0.0)),
        *(frame.assign(b=0.0), frame.assign(kind=frame["kind"].cat.as_ordered()), frame.rename(columns={"b": "c"})),
    ]
    assert len({before, *map(hash_of, others)}) == 1 + len(others)


@pytest.mark.parametrize("kind", ["float64", "int32", "bool", "datetime64[ns]", object])
def test_a_data_frame_of_one_type_is_digested_at_once(kind: Any):
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    table = (numpy.arange(400) % 7).reshape(2, 200).astype(kind)
    frame = pandas.DataFrame(table)
    in_pieces = pandas.concat([pandas.DataFrame(table[:, n : n + 1]) for n in range(200)], axis=1)
    in_pieces.columns = frame.columns
    before = hash_of(in_pieces)

    in_pieces.describe()
    in_pieces.to_numpy()

    by_rows, by_columns = numpy.ascontiguousarray(table), numpy.asfortranarray(table)
    same = [in_pieces, frame.copy(), in_pieces.copy(), pandas.DataFrame(by_rows), pandas.DataFrame(by_columns)]
    assert {before} == {hash_of(one) for one in [frame, *same]}
    others = [frame.T, frame[::-1], frame.astype(str), pandas.DataFrame(table.reshape(4, 100)), frame.iloc[:, ::-1]]
    assert len({before, *map(hash_of, others)}) == 1 + len(others)
    assert calls_during(lambda: hash_of(frame)) < 2_000


def test_a_wide_data_frame_of_several_types_is_digested_type_by_type():
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(400).reshape(2, 200)
    wide = pandas.DataFrame(table.astype(float)).assign(name="x", at=pandas.Timestamp("2020-01-01"), count=3)
    in_pieces = pandas.concat([wide[[name]] for name in wide.columns], axis=1)
    in_pieces.columns = wide.columns
    for name in wide.columns[-4:]:
        wide[name].isna().sum(), wide[name].unique(), wide[name].astype(str).str.upper()
    moved = wide.copy()
    moved.insert(0, "count", moved.pop("count"))
    moved.columns = wide.columns

    assert hash_of(wide) == hash_of(in_pieces)
    others = [wide, moved, wide.assign(count=3.0), wide.assign(count=4), wide.assign(name="y"), wide.astype(object)]
    assert len(set(map(hash_of, others))) == len(others)
    assert calls_during(lambda: hash_of(wide)) < 4_000


def arrow_pairs() -> list[tuple[Any, Any]]:
    """Pairs that pyarrow calls equal; the first is a part of something longer, or in pieces."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"n": [1, None, 3, 4], "text": ["a", "bb", None, "d" * 40], "parts": [[1], [2, 3], [], None]})
    texts = pa.array(["x", "y", None, "z"])
    return [
        (texts.slice(1, 2), pa.array(["y", None])),
        (pa.array([1, None, 3, None]).slice(0, 2), pa.array([1, None])),
        (pa.array([None, 1, 2]).slice(1), pa.array([1, 2])),
        (pa.array([True, False, True]).slice(1), pa.array([False, True])),
        (pa.array([{"x": 1}, {"x": 2}]).slice(1), pa.array([{"x": 2}])),
        (pa.array([[1], [2, 3], [4]]).slice(1), pa.array([[2, 3], [4]])),
        (pa.chunked_array([[1, 2], [3]]), pa.chunked_array([[1], [2, 3]])),
        (table.slice(1, 2), pa.Table.from_pylist(table.to_pylist()[1:3], schema=table.schema)),
        (pa.concat_tables([table.slice(0, 1), table.slice(1)]), table),
        (table.to_batches()[0].slice(2), pa.RecordBatch.from_pylist(table.to_pylist()[2:], schema=table.schema)),
    ]


def test_tables_and_arrays_are_the_same_wherever_their_values_lie():
    pa = pytest.importorskip("pyarrow")
    pairs = arrow_pairs()

    assert all(part.equals(whole) for part, whole in pairs)
    assert [hash_of(part) for part, _ in pairs] == [hash_of(whole) for _, whole in pairs]
    others = [
        *(whole for _, whole in pairs),
        *(pa.array([1, 2], pa.int32()), pa.array([1, 3]), pa.nulls(2), pa.nulls(3), pa.array([1, 0])),
        pairs[8][1].rename_columns(["n", "texts", "parts"]),
        pairs[8][1].replace_schema_metadata({"key": "value"}),
    ]
    assert len(set(map(hash_of, others))) == len(others)


def test_arrays_that_pyarrow_cannot_copy_have_a_digest():
    pa = pytest.importorskip("pyarrow")

    def union(*texts: str) -> Any:
        kinds = pa.array([0, 1], pa.int8())
        return pa.UnionArray.from_sparse(kinds, [pa.array([1, 2]), pa.array(texts)])

    assert hash_of(union("a", "b")) == hash_of(union("a", "b")) != hash_of(union("a", "c"))


def test_polars_frames_are_the_same_wherever_their_values_lie():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"n": [1, 2, 3, 4], "text": ["a", "bb", None, "d" * 40]})

    frame.filter(polars.col("n") > 1).group_by("text").len()

    assert hash_of(frame[1:]) == hash_of(polars.DataFrame({"n": [2, 3, 4], "text": ["bb", None, "d" * 40]}))
    assert hash_of(polars.concat([frame[:2], frame[2:]])) == hash_of(frame) != hash_of(frame.reverse())


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
def test_reading_a_sparse_matrix_does_not_change_it(kind: str):
    sparse = pytest.importorskip("scipy.sparse")
    numpy = pytest.importorskip("numpy")
    make = getattr(sparse, f"{kind}_array")
    matrix = make(numpy.array([[1, 0, 2], [0, 0, 3]]))
    before = hash_of(matrix)

    matrix.sum(), matrix.toarray(), matrix.tocsr(), matrix @ numpy.ones(3), matrix.T, matrix + matrix, matrix != matrix
    getattr(matrix, "has_canonical_format", None)

    assert hash_of(matrix) == before == hash_of(make(numpy.array([[1, 0, 2], [0, 0, 3]])))
    assert hash_of(make(numpy.array([[1, 0, 2], [0, 0, 4]]))) != before


def test_the_digest_of_an_array_of_objects_ignores_its_order_in_memory():
    numpy = pytest.importorskip("numpy")
    table = numpy.array([["a", 1], [None, 2.5]], dtype=object)

    assert hash_of(numpy.asfortranarray(table)) == hash_of(table) == hash_of(table[::-1][::-1])
    assert len({hash_of(one) for one in (table, table.T, table.ravel(), table[::-1])}) == 4


def calls_during(work: Callable[[], Any]) -> int:
    """How many functions of Python are called."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_the_digest_of_an_object_ignores_its_locks():
    assert hash_of(Bare(x=1, lock=threading.Lock())) == hash_of(Bare(x=1, lock=threading.Lock()))
    assert hash_of(Bare(x=1, lock=threading.Lock())) != hash_of(Bare(x=2, lock=threading.Lock()))


def test_too_deep_a_value_has_no_digest():
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(UnserializableError, match="too deeply"):
        hash_of(deep)


PROGRAM = """
import attrs, datetime, decimal, enum, functools, pathlib, sys, uuid, zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from pydantic import BaseModel
from orionflow.caching import hash_of

@dataclass
class Point:
    names: set = field(default_factory=set)

@dataclass(frozen=True)
class Frozen:
    names: frozenset

@attrs.frozen(cache_hash=True)
class Hashed:
    names: frozenset

class Colour(enum.Enum):
    RED = "red"

class Model(BaseModel):
    names: set[str]
    inner: dict[str, frozenset[str]] = {}

class Plain:
    __slots__ = ("names", "__dict__")

class Names(set):
    pass

def nested(names):
    def inner(x, y={"a", "b", "c"}):
        return x in {"p", "q", "r"} or x in names
    return inner

def local():
    class Inner:
        def has(self, x):
            return x in ("s", frozenset({"t", "u"}))
    return Inner()

words = {"one", "two", "three", "four", "five"}
few = frozenset(words)
hash(Hashed(few))
plain = Plain()
plain.names, plain.more = words, [words]
berlin = zoneinfo.ZoneInfo("Europe/Berlin")
values = [
    words, few, {word: {word} for word in words}, Point(words), Frozen(few), Hashed(few),
    Model(names=words, inner={"x": few}), plain, Names(words), Colour.RED, Colour, Point, nested(words), local(),
    functools.partial(nested, words), functools.partial(Point, names=words), OrderedDict.fromkeys(sorted(words)),
    deque([words]), Counter(words), defaultdict(set, {"a": words}), {Colour.RED: words}, {few: 1},
    datetime.datetime(2026, 1, 1, tzinfo=berlin), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    decimal.Decimal("1.10"), pathlib.Path("/a/b"), uuid.UUID(int=7), -0.0, float("nan"), [float("nan")],
    Exception("a", words), lambda x: x in {"v", "w"}, nested, len, sys, print, "x".join,
    {1: "a", "1": "c"}, (1, 1.0, True),
]
try:
    import numpy
    values += [numpy.arange(6).reshape(2, 3), numpy.float64(1), numpy.dtype("int8")]
    values += [numpy.array(["a", {"b"}], dtype=object)]
    import pandas
    values += [pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pandas.Timestamp("2026-01-01", tz="UTC")]
except ImportError:
    pass
for value in values:
    print(type(value).__name__, hash_of(value))
"""


def test_digests_are_the_same_in_processes_with_other_seeds(tmp_path: Path):
    program = tmp_path / "main_script.py"
    program.write_text(PROGRAM)

    def there(seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ran = warm.run([sys.executable, program], capture_output=True, text=True, check=True, env=environment)
        return ran.stdout.splitlines()

    first, second = there("1"), there("4242")

    assert first == second
    assert len({line.split()[1] for line in first}) == len(first)
