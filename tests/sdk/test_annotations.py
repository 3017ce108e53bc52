"""Annotations of every kind: checked as far as they can be, and never an error of pydantic's own."""

from __future__ import annotations

import functools
import typing
from typing import Annotated, Any, NotRequired, Optional, Protocol

import pydantic
import pydantic.v1
import pytest
import typing_extensions

from orionflow import flow
from orionflow.errors import ParameterError
from orionflow.testing import flow_run_of


class OldModel(pydantic.v1.BaseModel):
    n: int


class Titled(typing.TypedDict):
    title: str
    pages: NotRequired[int]


class Partly(typing.TypedDict, total=False):
    title: str


class NewTitled(typing_extensions.TypedDict):
    title: str


class Shape(Protocol):
    def area(self) -> float: ...


@typing.runtime_checkable
class Sized(Protocol):
    def __len__(self) -> int: ...


class Square:
    def area(self) -> float:
        return 4.0


class Nosy(pydantic.BaseModel):
    n: int

    @pydantic.field_validator("n")
    @classmethod
    def look(cls, n: int) -> int:
        raise RuntimeError("unusual")


CASES: list[tuple[Any, Any, Any]] = [
    (OldModel, {"n": "3"}, OldModel(n=3)),
    (OldModel, OldModel(n=3), OldModel(n=3)),
    (list[OldModel], [{"n": "3"}], [OldModel(n=3)]),
    (Optional[OldModel], None, None),  # noqa: UP045
    (OldModel | None, {"n": 1}, OldModel(n=1)),
    (dict[str, OldModel], {"a": {"n": 1}}, {"a": OldModel(n=1)}),
    (Titled, {"title": "A", "pages": "3"}, {"title": "A", "pages": 3}),
    (Partly, {}, {}),
    (list[Titled], [{"title": "A"}], [{"title": "A"}]),
    (NewTitled, {"title": "A"}, {"title": "A"}),
    (list[Sized], [[1]], [[1]]),
    (Annotated[int, pydantic.Field(gt=0)], "3", 3),
    (typing.Callable[[int], str], str, str),
    (typing.Literal["a", "b"], "a", "a"),
    (type[int], int, int),
    (typing.Any, 3, 3),
    # What says something of variables alone counts by its type.
    (typing.Final[int], "3", 3),
    (typing.ClassVar[list[int]], ["3"], [3]),
    # A name that is nowhere to be found, as one that is imported for type checkers only.
    (list["NoSuchName"], ["3"], ["3"]),  # type: ignore[name-defined]  # noqa: F821
    (dict[str, "NoSuchName | None"], {"a": "3"}, {"a": "3"}),  # type: ignore[name-defined]  # noqa: F821
]


@pytest.mark.parametrize(("hint", "given", "read"), CASES, ids=lambda part: str(part)[:40])
def test_values_are_read_by_their_annotation(hint: Any, given: Any, read: Any):
    def one(value: Any) -> Any:
        return value

    one.__annotations__["value"] = hint

    assert flow(one)(given) == read


@pytest.mark.parametrize(
    ("hint", "given"),
    [(OldModel, {"n": "x"}), (Titled, {"pages": 1}), (Titled, {"title": []}), (list[OldModel], [7]), (Sized, 3)],
)
def test_values_that_do_not_fit_are_refused(hint: Any, given: Any):
    def one(value: Any) -> Any:
        return value

    one.__annotations__["value"] = hint

    with pytest.raises(ParameterError, match="value"):
        flow(one)(given)


@pytest.mark.parametrize("hint", [Shape, list[Shape], Shape | None, dict[str, Shape]])
def test_plain_protocols_are_left_to_the_flow(hint: Any):
    square = Square()
    given = {"list": [square], "dict": {"a": square}}.get(getattr(hint, "__name__", ""), square)

    def one(value: Any) -> Any:
        return value

    one.__annotations__["value"] = hint

    assert flow(one)(given) == given


def test_models_of_a_function_are_checked():
    class Local(pydantic.BaseModel):
        n: int

    @flow
    def one(value: Local, more: list[Local]) -> Any:
        return value, more

    assert one({"n": "3"}, [{"n": 4}]) == (Local(n=3), [Local(n=4)])
    assert one.with_options(retries=1)({"n": "3"}, []) == (Local(n=3), [])
    with pytest.raises(ParameterError, match=r"value\.n"):
        one({"n": "x"}, [])


def test_models_of_the_function_around_are_checked():
    class Outer(pydantic.BaseModel):
        n: int

    def make() -> Any:
        class Inner(pydantic.BaseModel):
            outer: int

        @flow
        def one(a: Outer, b: Inner, c: NoSuchName = None) -> Any:  # type: ignore[name-defined]  # noqa: F821
            return a, b.outer

        return one

    assert make()({"n": "1"}, {"outer": "2"}) == (Outer(n=1), 2)


class Doubling:
    n: list[str]

    def __call__(self, n: int) -> int:
        return n * 2


def scaled(factor: int, n: int) -> int:
    return factor * n


@pytest.mark.parametrize(
    "called",
    [Doubling(), functools.partial(scaled, 2), functools.partial(Doubling())],
    ids=["object", "partial", "both"],
)
def test_annotations_of_callable_objects_and_partials_are_those_of_their_functions(called: Any):
    doubled = flow(called, name="doubled")

    assert doubled(n="3") == 6
    assert doubled.parameter_schema["properties"]["n"]["type"] == "integer"
    with pytest.raises(ParameterError, match="n: "):
        doubled(n="x")


def test_an_error_of_a_validator_is_reported():
    @flow
    def one(value: Nosy) -> None: ...

    state = one({"n": 1}, return_state=True)

    assert state.is_failed()
    assert "could not be checked: RuntimeError: unusual" in (flow_run_of(state).state.message or "")
