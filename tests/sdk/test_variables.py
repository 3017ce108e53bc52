"""Variables are read and stored by name, in plain code and in coroutines, inside of flows and outside."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from orionflow import Variable, flow, variables
from orionflow.errors import Conflict, InvalidRequest, UsageError


@pytest.fixture
def name() -> str:
    return f"v_{uuid4().hex}"


def test_a_variable_is_stored_read_and_overwritten(name):
    made = Variable.set(name, "summer", tags=["shop"])
    with pytest.raises(Conflict, match="overwrite=True"):
        Variable.set(name, "winter")
    changed = Variable.set(name, "winter", overwrite=True)

    assert (made.value, made.tags) == ("summer", ["shop"])
    assert changed == Variable.get(name) == Variable(name, "winter", ["shop"])
    assert variables.get(name) == "winter"


def test_without_a_variable_there_is_the_default(name):
    assert Variable.get(name) is None
    assert Variable.get(name, "spring") == "spring"
    assert variables.get(name, default="spring") == "spring"


def test_in_coroutines_it_is_awaited(name):
    async def both():
        await Variable.set(name, "summer")
        return (await Variable.get(name)).value, await variables.get(name)

    assert asyncio.run(both()) == ("summer", "summer")


def test_in_flows_it_is_the_same(name):
    @flow
    def plain():
        Variable.set(name, "summer")
        return Variable.get(name).value

    @flow
    async def awaiting():
        return (await Variable.get(name)).value

    assert plain() == asyncio.run(awaiting()) == "summer"


def test_only_texts_under_sound_names_are_stored(name):
    with pytest.raises(UsageError, match="holds text"):
        Variable.set(name, 5)
    with pytest.raises(InvalidRequest, match="name"):
        Variable.set("Not A Name", "x")
