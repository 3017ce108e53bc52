"""Futures are found in whatever Python people keep things in: waited for and replaced, or an error names the place."""

from __future__ import annotations

import collections
import dataclasses
import functools
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import pydantic
import pydantic.v1
import pytest

from orionflow import allow_failure, flow, quote, task
from orionflow.errors import UsageError
from orionflow.futures import Future
from orionflow.testing import task_runs_of
from orionflow.values.traversal import CannotReplace, visit


class OwnDict(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("read only")


class OwnList(list[Any]):
    def __init__(self, first: Any, note: str) -> None:
        super().__init__([first])
        self.note = note


class OwnTuple(tuple[Any, ...]): ...


class OwnSet(set[Any]): ...


class Pair(NamedTuple):
    first: Any
    second: int = 2


class Titled(typing.TypedDict):
    title: Any


@dataclasses.dataclass
class Plain:
    x: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


@dataclasses.dataclass(kw_only=True)
class WithInit(Plain):
    seed: dataclasses.InitVar[int] = 1

    def __post_init__(self, seed: int) -> None: ...


@attrs.define
class Defined:
    x: Any


@attrs.frozen
class FrozenAttrs:
    x: Any = attrs.field(validator=attrs.validators.optional(attrs.validators.instance_of(object)))


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow", frozen=True)

    x: Any = None
    _hidden: Any = pydantic.PrivateAttr(default=None)


class OldModel(pydantic.v1.BaseModel):
    class Config:
        extra = "allow"

    x: Any = None


@pydantic.dataclasses.dataclass
class OfPydantic:
    x: Any


class Root(pydantic.RootModel[Any]): ...


def with_private(x: Any) -> Model:
    model = Model()
    model._hidden = x
    return model


class Unchanging(Mapping[str, Any]):
    """A mapping of a kind that nobody knows."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, key: str) -> Any:
        return self._parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class Closed(Sequence[Any]):
    """A collection that cannot be made again."""

    def __init__(self, *, only: Any) -> None:
        self._only = only

    def __getitem__(self, index: Any) -> Any:
        return [self._only][index]

    def __len__(self) -> int:
        return 1


def default_dict(x: Any) -> Any:
    made = collections.defaultdict(list)
    made["x"] = x
    return made


CONTAINERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "list": (lambda x: [x], lambda c: c[0]),
    "tuple": (lambda x: (1, x), lambda c: c[1]),
    "set": (lambda x: {x}, lambda c: next(iter(c))),
    "frozenset": (lambda x: frozenset([x]), lambda c: next(iter(c))),
    "dict": (lambda x: {"a": x}, lambda c: c["a"]),
    "key of a dict": (lambda x: {x: "a"}, lambda c: next(iter(c))),
    "own dict": (lambda x: OwnDict(a=x), lambda c: c["a"]),
    "own list": (lambda x: OwnList(x, "note"), lambda c: c[0]),
    "own tuple": (lambda x: OwnTuple([x]), lambda c: c[0]),
    "own set": (lambda x: OwnSet([x]), lambda c: next(iter(c))),
    "OrderedDict": (lambda x: collections.OrderedDict(b=1, a=x), lambda c: c["a"]),
    "key of an OrderedDict": (lambda x: collections.OrderedDict({x: 1}), lambda c: next(iter(c))),
    "defaultdict": (default_dict, lambda c: c["x"]),
    "Counter": (lambda x: collections.Counter({x: 2}), lambda c: next(iter(c))),
    "deque": (lambda x: collections.deque([x], maxlen=3), lambda c: c[0]),
    "ChainMap": (lambda x: collections.ChainMap({"a": x}, {}), lambda c: c["a"]),
    "UserDict": (lambda x: collections.UserDict(a=x), lambda c: c["a"]),
    "UserList": (lambda x: collections.UserList([x]), lambda c: c[0]),
    "proxy": (lambda x: types.MappingProxyType({"a": x}), lambda c: c["a"]),
    "namespace": (lambda x: types.SimpleNamespace(a=x), lambda c: c.a),
    "partial": (lambda x: functools.partial(dict, [("b", x)], a=x), lambda c: c()["a"]),
    "values of a dict": (lambda x: {"a": x}.values(), lambda c: next(iter(c))),
    "items of a dict": (lambda x: {"a": x}.items(), lambda c: next(iter(c))[1]),
    "named tuple": (lambda x: Pair(x), lambda c: c.first),
    "old named tuple": (lambda x: collections.namedtuple("Old", "a b")(1, x), lambda c: c.b),  # noqa: PYI024
    "typed dict": (lambda x: Titled(title=x), lambda c: c["title"]),
    "dataclass": (Plain, lambda c: c.x),
    "frozen dataclass": (Frozen, lambda c: c.x),
    "dataclass with InitVar": (lambda x: WithInit(x=x), lambda c: c.x),
    "attrs": (Defined, lambda c: c.x),
    "frozen attrs": (FrozenAttrs, lambda c: c.x),
    "model": (lambda x: Model(x=x), lambda c: c.x),
    "extra field of a model": (lambda x: Model(more=x), lambda c: c.more),
    "private attribute of a model": (with_private, lambda c: c._hidden),
    "model of pydantic 1": (lambda x: OldModel(x=x), lambda c: c.x),
    "extra field of a model of pydantic 1": (lambda x: OldModel(more=x), lambda c: c.more),
    "dataclass of pydantic": (OfPydantic, lambda c: c.x),
    "root model": (Root, lambda c: c.root),
    "unknown mapping": (lambda x: Unchanging({"a": x}), lambda c: c["a"]),
    "nested": (lambda x: {"a": [Plain(({"b": Frozen(x)},))]}, lambda c: c["a"][0].x[0]["b"].x),
}


@task
def value(x: int) -> int:
    return x


@task
def seen(container: Any) -> Any:
    return container


@pytest.mark.turns
@pytest.mark.parametrize("kind", CONTAINERS)
def test_futures_are_replaced_inside(kind: str):
    make, read = CONTAINERS[kind]

    @flow
    def outer() -> Any:
        future = value.submit(7)
        held = make(future)
        return seen(held), seen.submit(held).result(), type(held), isinstance(read(held), Future)

    state = outer(return_state=True)

    got, got_submitted, made, was_kept = state.result()
    assert read(got) == read(got_submitted) == 7
    assert isinstance(got, made) or "of a dict" in kind
    assert was_kept, "the program's own object is left alone"
    of_seen = [run for run in task_runs_of(state) if run.name.startswith("seen")]
    assert all(run.task_inputs["container"] for run in of_seen)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_objects_without_futures_are_passed_as_they_are(kind: str):
    make, _ = CONTAINERS[kind]
    held = make(7)

    assert visit(held, lambda part: part) is held


def test_rebuilt_containers_keep_everything_else():
    held = OwnList(1, "note")
    counted = default_dict(1)
    limited = collections.deque([1, 2], maxlen=2)
    ordered = collections.OrderedDict(b=1, a=2)

    twice = [visit(one, lambda part: part * 10 if part == 1 else part) for one in ()]
    new = [
        visit([one, object()], lambda part: Plain(0) if type(part) is object else part)[0]
        for one in (held, counted, limited, ordered)
    ]

    assert twice == []
    assert new == [held, counted, limited, ordered]
    assert [type(one) for one in new] == [OwnList, collections.defaultdict, collections.deque, collections.OrderedDict]


def test_copies_keep_their_own_attributes():
    @flow
    def outer() -> Any:
        held = OwnList(value.submit(1), "note")
        limited = collections.deque([value.submit(2)], maxlen=2)
        counted = default_dict(value.submit(3))
        ordered = collections.OrderedDict(z=1, x=value.submit(4), a=2)
        return seen(held), seen(limited), seen(counted), seen(ordered)

    held, limited, counted, ordered = outer()

    assert held.note == "note"
    assert limited.maxlen == 2
    assert counted["new"] == []
    assert list(ordered.items()) == [("z", 1), ("x", 4), ("a", 2)]


@task
def fails() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("kind", ["own dict", "attrs", "extra field of a model", "deque", "namespace"])
def test_failures_are_found_inside(kind: str):
    make, read = CONTAINERS[kind]

    @flow
    def outer() -> Any:
        state = seen(make(fails.submit()), return_state=True)
        return state.name, read(seen(allow_failure(make(fails.submit()))))

    name, error = outer()

    assert name == "NotReady"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda x: Closed(only=x), "Closed"),
        (lambda x: {"a": [1, Plain(Closed(only=x))]}, r"at \['a'\]\[1\]\.x into a Closed"),
    ],
)
def test_place_where_no_value_can_be_put_is_named(make: Callable[[Any], Any], place: str):
    @flow
    def outer() -> Any:
        return seen(make(value.submit(1)))

    with pytest.raises(CannotReplace, match=place):
        outer()


def test_value_that_no_set_takes_is_named():
    @task
    def a_list() -> list[int]:
        return [1]

    @flow
    def outer() -> Any:
        return seen({"a": {a_list.submit()}})

    with pytest.raises(UsageError, match=r"at \['a'\] into a set"):
        outer()


def test_structures_that_hold_themselves():
    @flow
    def outer() -> Any:
        loop: dict[str, Any] = {"n": 1}
        loop["self"] = loop
        assert seen(loop) is loop
        loop["future"] = value.submit(1)
        return seen(loop)

    with pytest.raises(CannotReplace, match="it holds itself"):
        outer()


def test_parts_that_are_shared_are_replaced_once():
    @flow
    def outer() -> Any:
        part = [value.submit(1)]
        tower: Any = [part, part]
        for _ in range(60):
            tower = [tower, tower]
        return seen(tower)

    tower = outer()

    while len(tower) == 2:
        assert tower[0] is tower[1]
        tower = tower[0]
    assert tower == [1]


def test_quoted_containers_are_left_alone():
    @flow
    def outer() -> Any:
        held = Defined(value.submit(1))
        return seen(quote(held)) is held

    assert outer() is True


def test_objects_that_are_hard_to_look_at_are_handed_over():
    class Touchy(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError("do not look")

        def __len__(self) -> int:
            raise RuntimeError("do not count")

    @flow
    def outer() -> Any:
        return [seen(one) is one for one in (Touchy([1]), threading.Lock(), Unchanging, object())]

    assert outer() == [True] * 4


def test_results_of_flows_are_searched_too():
    @flow
    def outer() -> Any:
        return Model(more=value.submit(3))

    assert outer().more.result() == 3
