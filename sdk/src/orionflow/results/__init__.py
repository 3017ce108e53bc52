"""Results: values of runs, stored apart from their states, which contain only a reference.

A store keeps bytes under a key. The server gets references and never the bytes. Bytes that run code when they are read
(pickles) are sealed (`sealing`); values that JSON restores exactly are stored as JSON and need no seal (`exact_json`).
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
# Field of a reference: the task changed its arguments, so its value alone cannot replace another call.
INPUTS_CHANGED = "inputs_changed"
# Field of a reference to a key that other runs may also write: the digest of the content that this run stored.
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
    """Store the value of a run and return the reference to it. The smallest values are stored in the reference itself.

    Without a serializer, the value is stored as JSON if JSON restores it exactly, and as a pickle otherwise.
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
    """Return the field of a reference that says when its bytes expire; empty if they do not expire."""
    return {} if lasts is None else {"expiration": (datetime.now(UTC) + lasts).isoformat()}


def as_bytes(value: Any, serializer: Serializer | None, where: str, key: str) -> tuple[Serializer, bytes]:
    """Return the serializer for a value and the bytes to store, sealed if they need a seal."""
    if serializer is None and is_exact_in_json(value):
        json = serializer_of("json")
        # Texts may contain lone surrogates, which are only found when they are written.
        with suppress(UnserializableError):
            return json, json.dumps(value)
    serializer = serializer or serializer_of("pickle")
    content = serializer.dumps(value)
    return serializer, sealed(content, where=where, key=key, kind=serializer.type) if needs_seal(
        serializer
    ) else content


def read_record(record: dict[str, Any]) -> Any:
    """Return the value that the data of a state describes."""
    match record["type"]:
        case "literal":
            return record.get("value")
        case "reference":
            return _read_reference(record)
    raise MissingResult(NOT_KEPT)


def stored_bytes(record: dict[str, Any]) -> bytes:
    """Return the bytes that a reference names, after their seal was checked and removed."""
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
    """Raise MissingResult if these bytes, with or without their seal, are not those that the reference was made for."""
    digest = record.get(DIGEST)
    if digest is not None and digest != digest_of_content(content):
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
