"""The recorded results of runs in a capsule: the value itself, the stored bytes, or why there are neither."""

from __future__ import annotations

import hashlib
from typing import Any

from orionflow.contract.seals import without_seal
from orionflow.contract.states import CACHED
from orionflow.errors import MissingResult, OrionError, UntrustedResult
from orionflow.recordable import as_text
from orionflow.replay.capsule import RESULTS, Writing
from orionflow.replay.secret_names import SecretNames
from orionflow.results import INPUTS_CHANGED, refuse_what_others_wrote
from orionflow.results.stores import store_named_by_reference
from orionflow.states import is_record

NOT_KEPT = "its value was not kept; persist_result=True on its function stores it"
Json = dict[str, Any]


class PackedResults:
    """The results of a capsule that is being written, up to a total size."""

    def __init__(self, capsule: Writing, secrets: SecretNames, *, room: int, are_wanted: bool = True) -> None:
        self._capsule, self._secrets, self._room, self._are_wanted = capsule, secrets, room, are_wanted
        self._files: dict[str, Json] = {}
        self.too_large: list[tuple[str, int]] = []

    def of_state(self, state: Json | None, name: str) -> Json | None:
        """Return the result of a completed run from its state; None if the run has none."""
        if not state or state.get("type") != "COMPLETED":
            return None
        record = state.get("data")
        if record is None:
            return {"missing": NOT_KEPT, "may_be_none": True}
        if not is_record(record):
            return {"literal": self._secrets.json(record, is_user_text=True)}
        marks = {INPUTS_CHANGED: True} if record.get(INPUTS_CHANGED) and state.get("name") != CACHED else {}
        match record["type"]:
            case "literal":
                return {"literal": self._secrets.json(record.get("value"), is_user_text=True), **marks}
            case "reference":
                return {**self._stored(record, name), **marks}
        return {"missing": NOT_KEPT}

    def _stored(self, record: Json, name: str) -> Json:
        reference = {key: value for key, value in record.items() if key != "type"}
        if not self._are_wanted:
            return {"missing": "results were left out with --no-results", "reference": reference}
        key = repr(sorted(reference.items(), key=str))
        if key not in self._files:
            self._files[key] = self._packed(record, reference, name)
        return self._files[key]

    def _packed(self, record: Json, reference: Json, name: str) -> Json:
        serializer = str(record.get("serializer_type") or "pickle")
        try:
            content = content_of(record)
        except (MissingResult, UntrustedResult, OrionError, OSError) as error:
            return {"missing": as_text(error), "reference": reference}
        if (secret := self._secrets.in_bytes(without_seal(content), serializer)) is not None:
            return {"missing": f"it holds {secret}, which must not travel", "reference": reference}
        if len(content) > self._room:
            self.too_large.append((name, len(content)))
            return {"missing": "the capsule would become too large", "reference": reference}
        self._room -= len(content)
        file = f"{RESULTS}{hashlib.sha256(content).hexdigest()[:32]}.bin"
        self._capsule.add_once(file, content)
        return {"file": file, "serializer": serializer, "size": len(content), "reference": reference}


def content_of(record: Json) -> bytes:
    """Return the stored bytes of a result with their seal, if this program reads from the store."""
    where, key = record.get("storage"), record.get("storage_key")
    if not (isinstance(key, str) and isinstance(where, str | None)):
        raise MissingResult("The reference to the stored result is damaged.")
    content: bytes = store_named_by_reference(where).read(key)
    refuse_what_others_wrote(record, content)
    return content
