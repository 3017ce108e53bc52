"""The kinds of value that requests are made of: what one of them lets through can be stored on both databases.

Filters and request bodies build on these. Text is checked for NUL and lone surrogates before, on the bytes of the body.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

DEEPEST = 64
_LARGEST = 2**63

NAME_PATTERN = r"^[^/%&><\x00-\x1f]+$"


class Wire(BaseModel):
    """A part of a request. Models are built at first use: importing the API costs little."""

    model_config = ConfigDict(defer_build=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class StrictWire(Wire):
    """A part of a request in which an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid")


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without a zone is taken as UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment_out_of_range", "A moment must lie in the years 1 to 9999 of UTC") from None


def storable(value: Any) -> Any:
    """`value` itself, if both databases can keep it as JSON."""
    _check(value, DEEPEST)
    return value


def _check(value: Any, levels: int) -> None:
    match value:
        case None | str() | bool():
            return
        case int() if not -_LARGEST <= value < _LARGEST:
            raise PydanticCustomError(
                "int_out_of_range", "Whole numbers must fit into 64 bits; send larger ones as text"
            )
        case float() if not isfinite(value):
            raise PydanticCustomError("finite_number", "Numbers must be finite")
        case list() | dict():
            _check_all(value, levels)


def _check_all(value: list[Any] | dict[str, Any], levels: int) -> None:
    if not levels:
        raise PydanticCustomError(
            "json_too_deep", "JSON may be nested at most {deepest} levels deep", {"deepest": DEEPEST}
        )
    for part in value.values() if isinstance(value, dict) else value:
        _check(part, levels - 1)


def indexable(key: str) -> str:
    # Two keys and an id make one entry of an index, for which PostgreSQL has 2,700 bytes.
    if len(key.encode(errors="surrogatepass")) > _KEY_BYTES:
        raise PydanticCustomError("key_too_long", "A key may take at most {most} bytes", {"most": _KEY_BYTES})
    return key


_KEY_BYTES = 1300
Moment = Annotated[datetime, AfterValidator(in_utc)]
JSON = Annotated[Any, AfterValidator(storable)]
JSONObject = Annotated[dict[str, Any], AfterValidator(storable)]
Text255 = Annotated[str, Field(max_length=255)]
Text1024 = Annotated[str, Field(max_length=1024)]
Key = Annotated[Text1024, AfterValidator(indexable)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=NAME_PATTERN)]
Tags = Annotated[list[Text255], Field(max_length=1000)]
Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Natural = Annotated[int, Field(ge=0, lt=2**31)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
