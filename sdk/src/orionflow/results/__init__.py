"""Results: values of runs, stored apart from their states, which only carry a reference.

A store takes bytes under a key. The server sees references and never the bytes. Bytes that run code when they are read
are sealed (`sealing`); what JSON gives back as it was is JSON, and needs no seal (`exact_json`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orionflow.contract.result_keys import key_of_run
from orionflow.contract.seals import digest_of_content
from orionflow.errors import MissingResult, UnserializableError, UntrustedResult, UsageError
from orionflow.results.exact_json import is_exact_in_json
from orionflow.results.sealing import sealed, unsealed
from orionflow.results.stores import LocalFileSystem as LocalFileSystem
from orionflow.results.stores import ResultStore as ResultStore
from orionflow.results.stores import StoreOption as StoreOption
from orionflow.results.stores import name_option as name_option
from orionflow.results.stores import name_store, store_named_by_reference
from orionflow.results.stores import store_of as store_of
from orionflow.results.storing_again import UNSTORED, storage_failed
from orionflow.serializers import Serializer, needs_seal, serializer_of
from orionflow.states import NOT_KEPT

UNPERSISTED: dict[str, Any] = {"type": "unpersisted"}
_LITERALS = (None, True, False)
# In a reference: the task wrote into its arguments, so its value alone does not stand for another call.
INPUTS_CHANGED = "inputs_changed"
# In a reference to a place where other runs may write, too: the digest of what this run stored there.
DIGEST = "digest"
_OF_LITERALS = frozenset({"cache", INPUTS_CHANGED})


def write_result(
    value: Any,
    *,
    run_id: UUID | None = None,
    store: ResultStore,
    serializer: Serializer | None = None,
    key: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Store the value of a run and return the reference to it. The smallest values are their own reference.

    Without a serializer it is JSON where that gives it back as it was, and a pickle otherwise.
    """
    if any(value is literal for literal in _LITERALS) and key is None:
        return {"type": "literal", "value": value, **{name: more[name] for name in more if name in _OF_LITERALS}}
    named_key, key, where = key, key or key_of_run(run_id), store.where
    serializer, content = as_bytes(value, serializer, where, key)
    named = {"type": "reference", "storage_key": key, "storage": where, "serializer_type": serializer.type}
    reference = {**named, "size": len(content), **more}
    if named_key is not None:
        reference[DIGEST] = digest_of_content(content)
    name_store(store)
    try:
        store.write(key, content)
    except UsageError:
        raise
    except Exception as error:
        raise storage_failed(error, reference, content) from error
    return reference


def expiring_in(lasts: timedelta | None) -> dict[str, str]:
    """Return the part of a reference that says how long its bytes are kept; without an end, nothing."""
    return {} if lasts is None else {"expiration": (datetime.now(UTC) + lasts).isoformat()}


def as_bytes(value: Any, serializer: Serializer | None, where: str, key: str) -> tuple[Serializer, bytes]:
    """Return the bytes that are stored of a value, sealed if they need that, and the serializer that made them."""
    if serializer is None and is_exact_in_json(value):
        json = serializer_of("json")
        # Texts may hold what is no Unicode, which only its writing finds.
        with suppress(UnserializableError):
            return json, json.dumps(value)
    serializer = serializer or serializer_of("pickle")
    content = serializer.dumps(value)
    return serializer, sealed(content, where=where, key=key, kind=serializer.type) if needs_seal(
        serializer
    ) else content


def read_record(record: dict[str, Any]) -> Any:
    """Return the value that the data of a state tells about."""
    match record["type"]:
        case "literal":
            return record.get("value")
        case "reference":
            return _read_reference(record)
    raise MissingResult(NOT_KEPT)


def stored_bytes(record: dict[str, Any]) -> bytes:
    """Return the bytes that a reference names, without their seal, which is checked."""
    store = store_named_by_reference(record.get("storage"))
    return _checked(record, serializer_of(record.get("serializer_type")), store)


def _checked(record: dict[str, Any], serializer: Serializer, store: ResultStore) -> bytes:
    key = record["storage_key"]
    content = store.read(key)
    if needs_seal(serializer):
        content = unsealed(content, where=store.where, key=key, kind=serializer.type)
    refuse_what_others_wrote(record, content)
    return content


def refuse_what_others_wrote(record: dict[str, Any], content: bytes) -> None:
    """Raise MissingResult if these bytes, with their seal or without it, are not those that the reference is about."""
    said = record.get(DIGEST)
    if said is not None and said != digest_of_content(content):
        raise MissingResult(
            f"The stored result {record['storage_key']!r} in {record.get('storage')} was written over since, as by a "
            "run with the same result_storage_key; run the task again with refresh_cache=True."
        )


def _read_reference(record: dict[str, Any]) -> Any:
    where, key, kind = record.get("storage"), record.get("storage_key"), record.get("serializer_type")
    if not (isinstance(key, str) and isinstance(where, str | None) and isinstance(kind, str | None)):
        raise MissingResult("The reference to the stored result is damaged.")
    store = store_named_by_reference(where)
    try:
        serializer = serializer_of(kind)
        return serializer.loads(_checked(record, serializer, store))
    except MissingResult as error:
        if UNSTORED in record and not isinstance(error, UntrustedResult):
            raise MissingResult(f"The result was not stored: {record[UNSTORED]}") from error
        raise
    except Exception as error:
        raise MissingResult(
            f"The stored result {key!r} in {store.where} cannot be read ({type(error).__name__}: {error}); "
            "run the task again with refresh_cache=True."
        ) from error
