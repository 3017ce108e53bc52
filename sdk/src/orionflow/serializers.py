"""Conversion of values to bytes and back: pickle, JSON, and compressed forms of both.

A serializer whose `loads` never runs code from the bytes may set `runs_no_code = True`: its results are stored without
a seal, so that any program can read them.

Options accept a serializer's name ("pickle", "json", "compressed/pickle", "compressed/json") or an object.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

from orionflow.errors import UnserializableError, UsageError
from orionflow.recordable import as_text
from orionflow.values.pickling import dumps, loads
from orionflow.values.traversal import refuse_iterators

COMPRESSED = "compressed/"


class Serializer(Protocol):
    """Converts values to bytes and back; `type` is its name in references."""

    @property
    def type(self) -> str: ...

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, content: bytes) -> Any: ...


class PickleSerializer:
    """Accepts nearly everything, also functions and classes of the main script; read only pickles that you trust."""

    type = "pickle"

    def dumps(self, value: Any) -> bytes:
        try:
            return dumps(value)
        except Exception as error:
            raise UnserializableError(
                f"A value of type {type(value).__name__} cannot be pickled ({as_text(error)}); "
                "return something else, or use persist_result=False."
            ) from error

    def loads(self, content: bytes) -> Any:
        return loads(content)


class JSONSerializer:
    """Readable by every program; dates and ids come back as text, and models as dicts."""

    type = "json"
    runs_no_code = True

    def dumps(self, value: Any) -> bytes:
        from pydantic_core import PydanticSerializationError, to_json

        try:
            refuse_iterators(value)
            return to_json(value)
        except (PydanticSerializationError, TypeError, ValueError) as error:
            raise UnserializableError(
                f"A value of type {type(value).__name__} cannot be stored as JSON ({as_text(error)}); "
                "use result_serializer='pickle'."
            ) from error

    def loads(self, content: bytes) -> Any:
        from pydantic_core import from_json

        return from_json(content)


class CompressedSerializer:
    """Compresses the bytes of another serializer."""

    def __init__(self, serializer: Serializer | str = "pickle", level: int = 6) -> None:
        self.serializer = serializer_of(serializer)
        self.level = level

    @property
    def type(self) -> str:
        return COMPRESSED + self.serializer.type

    @property
    def runs_no_code(self) -> bool:
        return not needs_seal(self.serializer)

    def dumps(self, value: Any) -> bytes:
        return zlib.compress(self.serializer.dumps(value), self.level)

    def loads(self, content: bytes) -> Any:
        return self.serializer.loads(zlib.decompress(content))


def needs_seal(serializer: Serializer) -> bool:
    """Whether reading the output of this serializer may run code; assumed unless it declares otherwise."""
    return not getattr(serializer, "runs_no_code", False)


_BY_NAME: dict[str, Serializer] = {"pickle": PickleSerializer(), "json": JSONSerializer()}


def register_serializer(serializer: Serializer) -> None:
    """Allow references to name your own serializer; call this in every process that writes or reads such results."""
    _BY_NAME[serializer.type] = serializer


def serializer_of(chosen: Serializer | str | None) -> Serializer:
    """Return the serializer that an option names; by default pickle."""
    if chosen is None:
        return _BY_NAME["pickle"]
    if not isinstance(chosen, str):
        _BY_NAME.setdefault(chosen.type, chosen)
        return chosen
    if chosen in _BY_NAME:
        return _BY_NAME[chosen]
    if chosen == "compressed":
        return CompressedSerializer()
    if chosen.startswith(COMPRESSED):
        return CompressedSerializer(chosen.removeprefix(COMPRESSED))
    known = ", ".join([*_BY_NAME, *(COMPRESSED + name for name in _BY_NAME if "/" not in name)])
    raise UsageError(f"There is no result serializer {chosen!r}; use one of {known}.")
