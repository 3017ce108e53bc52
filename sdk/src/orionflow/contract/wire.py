"""The pydantic side of the contract: base classes of requests and answers, and the types of their values.

A valid value can be stored on both databases. Text is checked for NUL and lone surrogates before, on the bytes of the
body. Models are built at first use, so that importing the API or the SDK is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError
from typing_extensions import TypedDict

from orionflow.contract.kinds import Moment as Moment
from orionflow.contract.kinds import in_utc as in_utc

DEEPEST = 64
_LARGEST = 2**63
_UNBOUNDED = 2**62

NAME_PATTERN = r"^[^/%&><\x00-\x1f]+$"


class Wire(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(defer_build=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class StrictWire(Wire):
    """A part of a request in which an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A part of an answer. Unknown fields are ignored, so that an older client understands a newer server.

    Fields with the metadata `OWN` are known only to Orion and are omitted if they have their default, because clients
    of Prefect 2 may refuse unknown fields.
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="ignore",
        protected_namespaces=(),
        json_schema_serialization_defaults_required=True,
        json_schema_extra=lambda schema, kind: _describe_as_answered(schema, kind),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """The label of a field in forms, and its help text: metadata of fields that need no form of their own."""

    label: str
    help: str = ""

    @classmethod
    def of(cls, field: FieldInfo) -> Shown | None:
        """Return this metadata of a model's field, if it has any."""
        return next((one for one in field.metadata if isinstance(one, cls)), None)


OWN = "known to Orion only"


def own_fields(kind: type[BaseModel]) -> frozenset[str]:
    """Return the names of an answer's fields that are omitted if they have their default."""
    return frozenset(name for name, one in kind.model_fields.items() if OWN in one.metadata)


def _describe_as_answered(schema: dict[str, Any], kind: type[BaseModel]) -> None:
    """Mark Orion's own fields as optional. All others are always answered; their defaults are for Prefect's servers."""
    own = {kind.model_fields[name].serialization_alias or name for name in own_fields(kind)}
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name not in own]
    for name, field in schema.get("properties", {}).items():
        if name not in own:
            field.pop("default", None)


@dataclass(frozen=True, slots=True)
class Shaped:
    """Describes a dictionary by a model with the same fields: `Annotated[dict[str, Any], Shaped(FlowRun)]`."""

    kind: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self.kind)


# Orion's answers always contain it; servers of Prefect may omit it.
Known = Annotated[datetime | None, WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization")]


class Stored(Answer):
    """A stored object with its id and times."""

    id: UUID
    created: Known = None
    updated: Known = None


@dataclass(slots=True)
class Bounds:
    """The largest size of one field in bytes of JSON. A server sets it from its current settings."""

    of_fields: Callable[[], int] = lambda: _UNBOUNDED
    of_artifacts: Callable[[], int] = lambda: _UNBOUNDED


bounds = Bounds()


def storable(value: Any) -> Any:
    """Return `value` itself, if both databases can store it as JSON and it is not larger than one field may be."""
    return _storable_within(value, bounds.of_fields())


def storable_content(value: Any) -> Any:
    """Return `value` as `storable` does, with the limit for artifacts."""
    return _storable_within(value, bounds.of_artifacts())


def fitting_together(parts: list[Any]) -> list[Any]:
    """Return parts that are storable each, if together they are not larger than one field may be."""
    _storable_within([vars(part) if isinstance(part, BaseModel) else part for part in parts], bounds.of_fields(), 2)
    return parts


def _storable_within(value: Any, most: int, further_levels: int = 0) -> Any:
    if _check(value, DEEPEST + further_levels) > most:
        raise PydanticCustomError("json_too_large", "A field may take at most {most} bytes of JSON", {"most": most})
    return value


def fitting_text(text: str) -> str:
    """Return a text of an artifact, which has the same limit as its data."""
    most = bounds.of_artifacts()
    if len(text) > most:
        raise PydanticCustomError("text_too_large", "A text may take at most {most} characters", {"most": most})
    return text


def _check(value: Any, levels: int) -> int:
    """Return the approximate size of the value as JSON, in bytes."""
    match value:
        case str():
            return 2 + (len(value) if value.isascii() else len(value.encode(errors="surrogatepass")))
        case None | bool():
            return 4
        case int() if not -_LARGEST <= value < _LARGEST:
            raise PydanticCustomError(
                "int_out_of_range", "Whole numbers must fit into 64 bits; send larger ones as text"
            )
        case float() if not isfinite(value):
            raise PydanticCustomError("finite_number", "Numbers must be finite")
        case list() | dict():
            return _check_all(value, levels)
    return 8


def _check_all(value: list[Any] | dict[str, Any], levels: int) -> int:
    if not levels:
        raise PydanticCustomError(
            "json_too_deep", "JSON may be nested at most {deepest} levels deep", {"deepest": DEEPEST}
        )
    if isinstance(value, dict):
        return 2 + sum(_check(name, levels) + _check(part, levels - 1) + 2 for name, part in value.items())
    return 2 + sum(_check(part, levels - 1) + 1 for part in value)


def findable(name: str) -> str:
    if name in {".", ".."}:
        # In whatever notation it is sent, most clients and proxies remove such a step from an address.
        raise PydanticCustomError("unfindable", "A name must not be '.' or '..', which no address can hold")
    return name


def indexable(key: str) -> str:
    # Two keys and an id form one index entry, which PostgreSQL limits to 2,700 bytes.
    if len(key.encode(errors="surrogatepass")) > _KEY_BYTES:
        raise PydanticCustomError("key_too_long", "A key may take at most {most} bytes", {"most": _KEY_BYTES})
    return key


_KEY_BYTES = 1300
JSON = Annotated[Any, AfterValidator(storable)]
# The content of an artifact may be larger than any other field.
Content = Annotated[Any, AfterValidator(storable_content)]
LongText = Annotated[str, AfterValidator(fitting_text)]
JSONObject = Annotated[dict[str, Any], AfterValidator(storable)]
# For lists of parts with free JSON: they have the limit of one field.
Together = AfterValidator(fitting_together)
Text255 = Annotated[str, Field(max_length=255)]
Text1024 = Annotated[str, Field(max_length=1024)]
Key = Annotated[Text1024, AfterValidator(indexable)]
Findable = AfterValidator(findable)
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=NAME_PATTERN), Findable]
Tags = Annotated[list[Text255], Field(max_length=1000)]
Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Natural = Annotated[int, Field(ge=0, lt=2**31)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
# Servers of Prefect answer null for an empty value.
Details = Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]
Names = Annotated[list[str], BeforeValidator(lambda value: value or [])]


class MadeBy(TypedDict):
    """The user who created or last changed an object."""

    id: UUID | None
    type: str | None
    display_value: str | None
