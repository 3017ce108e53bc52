"""The kinds of input for types: the schema of each, and its conversion from and to JSON.

Models are described by their fields. Any other type becomes a single field, `value`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from orionflow.errors import ParameterError, UsageError
from orionflow.input.models import RunInput
from orionflow.values.readable import readable

_REFERENCE = "#/definitions/{model}"


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of input for one type."""

    name: str
    model: type[BaseModel]
    is_wrapped: bool

    @property
    def prefix(self) -> str:
        """The default prefix of keys of sent values."""
        return f"{self.name.lower()}-auto"

    def schema(self) -> dict[str, Any]:
        schema = self.model.model_json_schema(ref_template=_REFERENCE)
        if "$defs" in schema:
            schema["definitions"] = schema.pop("$defs")
        return schema

    def read(self, text: str) -> Any:
        """Return the value in a JSON text; raise ParameterError that names what does not fit."""
        try:
            read = self.model.model_validate_json(text)
        except ValidationError as error:
            raise ParameterError(f"The input does not fit {self.model.__name__}: {_described(error)}.") from None
        return read.value if self.is_wrapped else read  # type: ignore[attr-defined]

    def content(self, value: Any) -> dict[str, Any]:
        """Return the JSON object for a value."""
        model = self.model(value=value) if self.is_wrapped else value
        read: dict[str, Any] = json.loads(to_json(readable(model), inf_nan_mode="strings"))
        return read


def kind_of(asked: Any) -> Kind:
    """Return the kind of input for a type: that of a model, or that of a plain type."""
    if isinstance(asked, type) and issubclass(asked, RunInput):
        return Kind(asked.__name__, asked, is_wrapped=False)
    if isinstance(asked, type) and issubclass(asked, BaseModel):
        return Kind(f"{asked.__name__}RunInput", asked, is_wrapped=False)
    name = f"{getattr(asked, '__name__', '').lower()}AutomaticRunInput"
    return Kind(name, _wrapping(name, asked), is_wrapped=True)


def content_of(value: Any) -> dict[str, Any]:
    """Return any value as input: the fields of a mapping as they are, other values by their type."""
    return dict(value) if isinstance(value, Mapping) else kind_of(type(value)).content(value)


def _wrapping(name: str, asked: Any) -> type[BaseModel]:
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), value=(asked, ...))
    except PydanticUserError as error:
        raise UsageError(
            f"{asked!r} cannot be asked for as input, because no JSON stands for it; "
            "use a model, a dataclass or a type such as int or list[str]."
        ) from error


def _described(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in wrong[:5])
