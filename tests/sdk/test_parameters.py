"""Parameters are coerced and checked by annotations before a flow runs, and recorded as JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pydantic
import pytest

from orionflow import flow
from orionflow.errors import ParameterError
from orionflow.testing import flow_run_of, flow_runs, states_of


class Colour(Enum):
    RED = "red"


class Customer(pydantic.BaseModel):
    name: str
    age: int = 0


def test_values_are_coerced_to_annotations():
    @flow
    def typed(
        n: int, day: date, ids: list[UUID], colour: Colour, customer: Customer, mode: Literal["a", "b"] = "a"
    ) -> Any:
        return n, day, ids, colour, customer, mode

    value = typed("4", "2026-01-31", ["01a1fd63-e365-7f95-9f07-8cd394638445"], "red", {"name": "Ada", "age": "36"})

    id = UUID("01a1fd63-e365-7f95-9f07-8cd394638445")
    assert value == (4, date(2026, 1, 31), [id], Colour.RED, Customer(name="Ada", age=36), "a")


def test_values_that_do_not_fit_are_reported_by_name_and_recorded_as_failed():
    @flow
    def typed(n: int, day: date) -> None: ...

    state = typed("four", day="yesterday", return_state=True)

    assert state.is_failed()
    with pytest.raises(
        ParameterError, match=r"'typed' do not fit: n: input should be a valid integer.*got 'four'.*day: "
    ):
        state.result()
    run = flow_runs("typed")[0]
    assert (run.state_type, states_of(run)) == ("FAILED", ["Failed"])
    assert "n: input should be a valid integer" in run.state.message


def test_validation_can_be_switched_off():
    @flow(validate_parameters=False)
    def untyped(n: int) -> Any:
        return n

    assert untyped("four") == "four"


def test_defaults_are_taken_as_they_are():
    @flow
    def defaulted(n: int = None, names: list[str] = ("a",)) -> Any:  # type: ignore[assignment]
        return n, names

    assert defaulted() == (None, ("a",))


def test_names_that_models_use_themselves_are_fine():
    @flow
    def odd(copy: int, json: str, model_config: int, schema: str = "s") -> Any:
        return copy, json, model_config, schema

    assert odd(1, "2", "3") == (1, "2", 3, "s")


def test_collecting_parameters():
    @flow
    def collect(first: int, *rest: int, **named: float) -> Any:
        return first, rest, named

    assert collect("1", "2", "3", x="4.5") == (1, (2, 3), {"x": 4.5})


def test_constraints_are_checked():
    @flow
    def bounded(n: Annotated[int, pydantic.Field(gt=0)]) -> int:
        return n

    assert bounded(1) == 1
    with pytest.raises(ParameterError, match="greater than 0"):
        bounded(0)


def test_classes_of_the_test_itself_are_accepted():
    class Local:
        pass

    @flow
    def local(x: Local, y: Unknown = None) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return x

    thing = Local()

    assert local(thing) is thing


def test_objects_are_handed_over_and_not_copied():
    @flow
    def outer(lock: Any, customer: Customer) -> Any:
        return lock, customer

    lock, customer = threading.Lock(), Customer(name="Ada")

    got = outer(lock, customer)

    assert got[0] is lock
    assert got[1] is customer


def test_parameters_are_recorded_as_json():
    @flow
    def outer(
        n: int, customer: Customer, lock: Any, day: date, default: str = "d", ratio: float = float("nan")
    ) -> None: ...

    state = outer("3", {"name": "Ada"}, threading.Lock(), date(2026, 1, 2), return_state=True)

    assert flow_run_of(state).parameters == {
        "n": 3,
        "customer": {"name": "Ada", "age": 0},
        "lock": "<lock>",
        "day": "2026-01-02",
        "default": "d",
        "ratio": "NaN",
    }


def test_iterators_are_left_to_the_flow():
    @flow
    def add_up(numbers: Iterable[int], more: Any = None) -> int:
        return sum(numbers) + sum(numbers) + sum(more[0])

    state = add_up((n for n in range(4)), more=[iter([1, 2])], return_state=True)

    assert state.result() == 9
    assert flow_run_of(state).parameters == {"numbers": "<generator>", "more": "<list>"}


def test_iterables_can_be_gone_through_more_than_once():
    @flow
    def add_up(numbers: Iterable[int]) -> int:
        return sum(numbers) + sum(numbers)

    assert add_up([1, 2, 3]) == 12
