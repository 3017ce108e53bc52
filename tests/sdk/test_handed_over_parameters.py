"""Parameters of runs elsewhere: what a type writes as JSON, it reads again there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
)

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


@pytest.mark.parametrize("secret", [SecretStr("hush"), Login(password=SecretStr("hush")), [SecretStr("hush")]], ids=str)
def test_a_secret_that_would_come_as_stars_is_refused(secret: Any):
    @flow
    def keep(value: Any) -> None: ...

    keep.deploy("elsewhere", entrypoint="program.py:keep")

    with pytest.raises(ParameterError, match="value"):
        run_deployment("keep/elsewhere", parameters={"value": secret}, timeout=0)
