"""What kind of input a type stands for: the schema to ask for it with, and its way to and from JSON.

Models are told by their fields. Anything else is one field, `value`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from orionflow.errors import ParameterError, UsageError
from orionflow.input.models import RunInput

_REFERENCE = "#/definitions/{model}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of input."""

    name: str
    model: type[BaseModel]
    is_wrapped: bool

    @property
    def prefix(self) -> str:
        """How the keys of values begin that were sent without a prefix of their own."""
        return f"{self.name.lower()}-auto"

    def schema(self) -> dict[str, Any]:
        schema = self.model.model_json_schema(ref_template=_REFERENCE)
        if "$defs" in schema:
            schema["definitions"] = schema.pop("$defs")
        return schema

    def read(self, text: str) -> Any:
        """The value that a JSON text tells; raises ParameterError that names what does not fit."""
        try:
            read = self.model.model_validate_json(text)
        except ValidationError as error:
            raise ParameterError(f"The input does not fit {self.model.__name__}: {_told(error)}.") from None
        return read.value if self.is_wrapped else read  # type: ignore[attr-defined]

    def content(self, value: Any) -> dict[str, Any]:
        """The JSON object that tells a value."""
        told = self.model(value=value) if self.is_wrapped else value
        read: dict[str, Any] = json.loads(to_json(told, inf_nan_mode="strings"))
        return read


def kind_of(type: Any) -> Kind:
    """The kind of input that a type is: a model's, or that of a plain type."""
    if isinstance(type, _class) and issubclass(type, RunInput):
        return Kind(type.__name__, type, is_wrapped=False)
    if isinstance(type, _class) and issubclass(type, BaseModel):
        return Kind(f"{type.__name__}RunInput", type, is_wrapped=False)
    name = f"{getattr(type, '__name__', '').lower()}AutomaticRunInput"
    return Kind(name, _wrapping(name, type), is_wrapped=True)


def content_of(value: Any) -> dict[str, Any]:
    """Any value as the input that it is; an object's fields as they stand."""
    return dict(value) if isinstance(value, dict) else kind_of(value.__class__).content(value)


_class = type


def _wrapping(name: str, type: Any) -> _class[BaseModel]:
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), value=(type, ...))
    except PydanticUserError as error:
        raise UsageError(
            f"{type!r} cannot be asked for as input, because no JSON stands for it; "
            "use a model, a dataclass or a type such as int or list[str]."
        ) from error


def _told(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in wrong[:5])
