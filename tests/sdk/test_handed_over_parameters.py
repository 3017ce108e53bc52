"""Parameters of runs elsewhere: what a type writes as JSON, it reads again there."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from orionflow import flow, run_deployment
from orionflow.engine.invoke import call_flow_for_run
from orionflow.errors import ParameterError


class Aliased(BaseModel):
    size: int = Field(alias="Size")


class ReadAs(BaseModel):
    size: int = Field(validation_alias="Size")


class WrittenAs(BaseModel):
    size: int = Field(serialization_alias="Size")


class ReadAsEither(BaseModel):
    size: int = Field(validation_alias=AliasChoices(AliasPath("sizes", "first"), "Size"))


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.size * 2


class Hidden(BaseModel):
    size: int = Field(exclude=True)


class Written(BaseModel):
    at: datetime

    @field_serializer("at")
    def in_words(self, at: datetime) -> str:
        return at.strftime("the %dth")


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: int = Field(validation_alias="Size")


class Many(RootModel[list[ReadAs]]):
    pass


class Around(BaseModel):
    inner: ReadAs
    more: dict[str, WrittenAs]


class Login(BaseModel):
    password: SecretStr


class Defaulted(BaseModel):
    size: int = Field(default=0, validation_alias="Size")


class WrittenElsewhere(BaseModel):
    size: int = Field(default=0, validation_alias="in", serialization_alias="out")


class LeftOut(BaseModel):
    size: int = Field(default=0, exclude=True)
    names: set[str] = set()


class Given(BaseModel):
    _noted: int = PrivateAttr(default=0)
    ratio: float = 0.0
    more: Any = None


@pydantic_dataclass
class DefaultedFields:
    size: int = Field(default=0, validation_alias="Size")


@dataclass
class Fields:
    inner: ReadAs
    login: Any = None


class Named(NamedTuple):
    inner: ReadAs
    login: Any = None


class Doubled(BaseModel):
    size: int

    @field_validator("size")
    @classmethod
    def double(cls, size: int) -> int:
        return size * 2


class Base(BaseModel):
    size: int = 0


class Derived(Base):
    name: str = "none"


class Holder(BaseModel):
    held: Base


def noted() -> Given:
    given = Given(ratio=float("inf"), more={"at": [1, "x"]})
    given._noted = 3
    return given


VALUES: list[tuple[Any, Any]] = [
    (Aliased, Aliased(Size=3)),
    (ReadAs, ReadAs(Size=3)),
    (WrittenAs, WrittenAs(size=3)),
    (ReadAsEither, ReadAsEither(Size=3)),
    (Computed, Computed(size=3)),
    (Hidden, Hidden(size=3)),
    (Written, Written(at=datetime(2026, 1, 5))),  # noqa: DTZ001
    (Extra, Extra(Size=3, color="red")),
    (Many, Many([ReadAs(Size=1), ReadAs(Size=2)])),
    (Around, Around(inner=ReadAs(Size=1), more={"a": WrittenAs(size=2)})),
    (list[WrittenAs], [WrittenAs(size=2)]),
    (dict[str, ReadAs], {"a": ReadAs(Size=2)}),
    (Defaulted, Defaulted(Size=5)),
    (WrittenElsewhere, WrittenElsewhere(**{"in": 5})),
    (LeftOut, LeftOut(size=5, names=set("abcdefghijkl"))),
    (DefaultedFields, DefaultedFields(**{"Size": 5})),
    (Fields, Fields(ReadAs(Size=1))),
    (Named, Named(ReadAs(Size=1))),
    (OrderedDict[str, ReadAs], OrderedDict(a=ReadAs(Size=2))),
    (deque[ReadAs], deque([ReadAs(Size=2)])),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=lambda part: getattr(part, "__name__", type(part).__name__))
def test_models_come_to_a_run_elsewhere_as_they_were(kind: Any, value: Any):
    def keep(value: Any) -> Any:
        return value

    keep.__annotations__["value"] = kind
    kept = flow(keep)
    kept.deploy("elsewhere", entrypoint="program.py:keep")

    run = run_deployment("keep/elsewhere", parameters={"value": value}, timeout=0)

    assert call_flow_for_run(kept, run.id, dict(run.parameters)).result() == value


@pytest.mark.parametrize("value", [noted(), {"a": noted()}], ids=str)
def test_extra_fields_of_a_model_do_not_prevent_the_transfer(value: Any):
    etl = flow(lambda value: value, name="etl")
    etl.deploy("elsewhere", entrypoint="program.py:etl")

    run = run_deployment("etl/elsewhere", parameters={"value": value}, timeout=0)

    given = {"ratio": "Infinity", "more": {"at": [1, "x"]}}
    assert run.parameters == {"value": {"a": given} if isinstance(value, dict) else given}


@pytest.mark.parametrize("value", [Doubled(size=1), Holder(held=Derived(name="a"))], ids=str)
def test_a_model_that_would_be_read_as_another_one_is_refused(value: Any):
    etl = flow(lambda value: value, name="etl")
    etl.deploy("elsewhere", entrypoint="program.py:etl")

    with pytest.raises(ParameterError, match="value"):
        run_deployment("etl/elsewhere", parameters={"value": value}, timeout=0)


class Hush(Enum):
    PASSWORD = SecretStr("hush")


HUSH = SecretStr("hush")
SECRETS: list[Any] = [
    *(HUSH, Login(password=HUSH), [HUSH], Fields(ReadAs(Size=1), HUSH), Named(ReadAs(Size=1), HUSH), deque([HUSH])),
    *(OrderedDict(a=HUSH), {HUSH: 1}, {("a", HUSH): 1}, Given(more=Fields(ReadAs(Size=1), [HUSH])), Hush.PASSWORD),
]


@pytest.mark.parametrize("secret", SECRETS, ids=str)
def test_a_secret_that_would_come_as_stars_is_refused(secret: Any):
    @flow
    def keep(value: Any) -> None: ...

    keep.deploy("elsewhere", entrypoint="program.py:keep")

    with pytest.raises(ParameterError, match="value"):
        run_deployment("keep/elsewhere", parameters={"value": secret}, timeout=0)
