"""The leaves of digests as bytes: plain values, names of code, and objects without their internal state."""

from __future__ import annotations

import sys
from functools import cached_property
from hashlib import blake2b
from inspect import getattr_static
from pathlib import Path
from typing import Any

from orionflow.code.fetched_modules import plain_name

DIGEST_BYTES = 20
PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), type(...), type(NotImplemented)})
_MAIN = frozenset({"__main__", "__mp_main__"})
_ORDERING = frozenset({"Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore", "lock"})
# Internal state of pandas' arrays: cached values, and whether memory is shared.
_MARKS_OF_PANDAS = frozenset({"_cache", "_readonly"})
# Written into a sparse matrix even by code that only reads it.
_MARKS_OF_SCIPY = frozenset({"_has_canonical_format", "_has_sorted_indices", "has_canonical_format"})
_ORDERING_MODULES = ("_thread", "threading", "asyncio", "multiprocessing")


def only_orders_work(value: Any) -> bool:
    """Whether this is a lock or similar, which makes runs wait but has no content."""
    kind = type(value)
    return kind.__name__ in _ORDERING and kind.__module__.split(".")[0] in _ORDERING_MODULES


def joined(kind: str, *parts: bytes | memoryview) -> bytes:
    digest = blake2b(kind.encode(), digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(9, "big"))
        digest.update(part)
    return digest.digest()


def plain(value: Any) -> bytes:
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass")
        case bytes():
            return value
        case bool() | None:
            return repr(value).encode()
        case int():
            # Hexadecimal numbers have no limit of digits.
            return format(value, "x").encode()
    return repr(value).encode()


def at_once(parts: Any) -> bytes | None:
    """Return the digest's bytes for many plain values at once, at the speed of Python's own loops."""
    if not PLAIN.issuperset(map(type, parts)):
        return None
    try:
        return b"=" + ascii(parts).encode()
    except ValueError:
        # The integer has more digits than Python converts to text.
        return None


def pairs_at_once(pairs: dict[Any, Any]) -> bytes | None:
    if not (PLAIN.issuperset(map(type, pairs)) and PLAIN.issuperset(map(type, pairs.values()))):
        return None
    try:
        return b"=" + "\n".join(sorted(map(ascii, pairs.items()))).encode()
    except ValueError:
        return None


def texts_of(parts: Any) -> list[str] | None:
    if not PLAIN.issuperset(map(type, parts)):
        return None
    try:
        return list(map(ascii, parts))
    except ValueError:
        return None


def name_of(value: Any) -> bytes:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", type(value).__qualname__)
    return f"{module_of(value)}:{name}".encode()


def without_caches(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without values that cached properties stored among them."""
    return {name: value for name, value in state.items() if not _is_cache(kind, name)}


def wrapped_by(value: Any) -> Any:
    return getattr(value, "__wrapped__", None)


def _is_cache(kind: type, name: Any) -> bool:
    if name == "_attrs_cached_hash" or (name in _MARKS_OF_PANDAS and kind.__module__.startswith("pandas.")):
        return True
    if name in _MARKS_OF_SCIPY and kind.__module__.startswith("scipy.sparse"):
        return True
    declared = getattr_static(kind, name, None) if isinstance(name, str) else None
    return isinstance(declared, cached_property) or type(declared).__name__ == "cached_property"


def is_model(value: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def is_plain_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    # The short name of a structured type does not contain its fields.
    return (
        numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject and value.dtype.names is None
    )


def is_array_of_objects(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and bool(value.dtype == object)


def is_arrow(value: Any) -> bool:
    """Whether this is a table, a batch, or an array of pyarrow."""
    if type(value).__module__ != "pyarrow.lib":
        return False
    lib = sys.modules["pyarrow.lib"]
    return isinstance(value, (lib.Table, lib.RecordBatch, lib.ChunkedArray, lib.Array))


def arrow_parts(value: Any) -> list[bytes] | None:
    """Return digests of the schema and of each column; None for types that pyarrow cannot copy.

    They are the same wherever the values lie in memory, and however they are divided: a slice shares the memory of the
    whole array, and its pickle contains all of that.
    """
    pa: Any = sys.modules["pyarrow"]

    is_table = isinstance(value, pa.Table | pa.RecordBatch)
    schema = value.schema if is_table else pa.schema([("", value.type)])
    columns = value.columns if is_table else [value]
    try:
        parts = [_column(pa, field, column) for field, column in zip(schema, columns, strict=True)]
    except pa.ArrowException:
        return None
    return [schema.serialize().to_pybytes(), *parts]


def _column(pa: Any, field: Any, column: Any) -> bytes:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    # Concatenating copies the values alone; the empty array makes that so for a single chunk as well. Exceptions make
    # equal columns differ: views of texts keep the buffers of the whole array, dictionaries keep values that the slice
    # does not use, and what lies below a null counts.
    whole = pa.concat_arrays([*chunks, pa.array([], type=column.type)])
    schema = pa.schema([field])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays([whole], schema=schema))
    return joined("column", memoryview(sink.getvalue()))


def is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) is getattr(pandas, "DataFrame", None)


def frame_parts(frame: Any) -> list[Any]:
    """Return the columns of a data frame and its attributes.

    The layout of columns in memory does not count: it depends on how the frame was created, and may change while it is
    read.
    """
    kinds: dict[Any, list[int]] = {}
    for number, kind in enumerate(frame.dtypes):
        # Types of pandas itself may be equal although their columns differ.
        kinds.setdefault(kind if _is_of_numpy(kind) else number, []).append(number)
    # Converting each column separately is slow for many columns, and all at once takes much memory for long ones.
    rows, columns = frame.shape
    groups = list(kinds.values()) if len(kinds) == 1 or columns > rows else [[number] for number in range(columns)]
    values = [_values_of(frame, numbers) for numbers in groups]
    return [frame.index, frame.columns, groups, values, frame.attrs, frame.flags.allows_duplicate_labels]


def _values_of(frame: Any, numbers: list[int]) -> Any:
    """Return the values of columns that share one type."""
    if len(numbers) == 1:
        column = frame.iloc[:, numbers[0]]
        return column.to_numpy() if _is_of_numpy(column.dtype) else column.array
    values = (frame if len(numbers) == frame.shape[1] else frame.iloc[:, numbers]).to_numpy()
    # The pickle of an array of objects depends on their order in memory.
    return [values.shape, values.ravel().tolist()] if values.dtype.hasobject else values


def _is_of_numpy(kind: Any) -> bool:
    return isinstance(kind, sys.modules["numpy"].dtype)


def module_of(kind: Any) -> str:
    """Return the module that defines a class or function; for the main script, the name of its file."""
    module = plain_name(str(getattr(kind, "__module__", None) or "unknown"))
    if module not in _MAIN:
        return str(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).stem if file else str(module)
