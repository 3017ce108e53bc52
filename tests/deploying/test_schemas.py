"""The schema of a flow's parameters: what pages draw forms from, and requests are held against."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from orionflow import flow


class Shop(BaseModel):
    name: str
    tills: int = 1


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Opaque:
    pass


def schema_of(fn: Any) -> dict[str, Any]:
    return flow(fn).parameter_schema


def test_each_parameter_has_its_place_type_and_default():
    def etl(day: str, limit: int = 5) -> None: ...

    assert schema_of(etl) == {
        "title": "Parameters",
        "type": "object",
        "properties": {
            "day": {"title": "day", "position": 0, "type": "string"},
            "limit": {"title": "limit", "position": 1, "type": "integer", "default": 5},
        },
        "required": ["day"],
        "definitions": {},
        "additionalProperties": False,
    }


def test_models_are_defined_once_and_referred_to():
    def etl(shop: Shop, other: Shop | None = None, size: Size = Size.SMALL) -> None: ...

    schema = schema_of(etl)

    assert set(schema["definitions"]) == {"Shop", "Size"}
    assert schema["properties"]["shop"] == {"allOf": [{"$ref": "#/definitions/Shop"}], "title": "shop", "position": 0}
    assert schema["properties"]["size"]["default"] == "small"
    jsonschema.validate({"shop": {"name": "corner"}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"shop": {"tills": 2}}, schema)


def test_constraints_and_choices_are_kept():
    def etl(limit: Annotated[int, Field(ge=1, description="How many.")] = 1, mode: Literal["a", "b"] = "a") -> None: ...

    properties = schema_of(etl)["properties"]

    assert properties["limit"]["minimum"] == 1
    assert properties["limit"]["description"] == "How many."
    assert properties["mode"]["enum"] == ["a", "b"]


def test_types_that_json_does_not_know_are_left_open():
    def etl(thing: Opaque, fn: Any = print, when: datetime.date = datetime.date(2026, 1, 2)) -> None: ...

    properties = schema_of(etl)["properties"]

    assert properties["thing"] == {"title": "thing", "position": 0}
    assert "default" not in properties["fn"]
    assert properties["when"]["default"] == "2026-01-02"
    assert properties["when"]["format"] == "date"


def test_flow_with_arbitrary_arguments_has_an_open_schema():
    def etl(day: str, *more: int, **anything: Any) -> None: ...

    schema = schema_of(etl)

    assert list(schema["properties"]) == ["day"]
    assert "additionalProperties" not in schema


def test_flow_without_annotations_takes_any_value():
    def etl(day, limit=5): ...  # type: ignore[no-untyped-def]

    schema = schema_of(etl)

    assert schema["required"] == ["day"]
    assert schema["properties"]["limit"] == {"title": "limit", "position": 1, "default": 5}
