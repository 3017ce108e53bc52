"""Values whose store failed: the state names the reason and the storage key, and the values are written later.

The key is in the reference from the start, so that writing the bytes later changes no state.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orionflow.errors import StorageFailed, UsageError
from orionflow.recordable import as_text
from orionflow.results.stores import LOCATION, store_named_by_reference
from orionflow.settings import current_settings

if TYPE_CHECKING:
    from orionflow.logging import RunLogger

# Field of a reference: why its bytes are not stored.
UNSTORED = "unstored"
# In bytes: the unstored values that a flow run keeps in memory until it ends.
MOST_BYTES = 256 * 1024 * 1024


def storage_failed(error: Exception, reference: dict[str, Any], content: bytes) -> StorageFailed:
    """Return the error of a store that failed: its name, the reason, and what to do."""
    where = str(reference["storage"])
    name = where.removeprefix(LOCATION)
    check = f"`orion result location check {name}` tries it" if name != where else "is there room, and may it write?"
    why = f"{where} failed with {type(error).__name__}: {as_text(error)} ({check})"
    return StorageFailed(why, reference={**reference, UNSTORED: why}, content=content)


@dataclass(slots=True)
class Unstored:
    """Values that a flow run still has to store, added by any of its threads."""

    waiting: list[StorageFailed] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, failed: StorageFailed) -> None:
        with self._lock:
            if self.size + len(failed.content) > MOST_BYTES:
                self.dropped += 1
                return
            self.size += len(failed.content)
            self.waiting.append(failed)

    def store(self, logger: RunLogger) -> None:
        """Try to store each value again, and log how many were stored and how many were not."""
        with self._lock:
            waiting, self.waiting, self.size = self.waiting, [], 0
        stored, trouble = 0, ""
        until = time.monotonic() + current_settings().results_timeout_seconds
        for one in waiting:
            try:
                _write(one.reference, one.content)
                stored += 1
            except Exception as error:
                trouble = f"{type(error).__name__}: {as_text(error)}"
                if time.monotonic() > until:
                    # The flow run waits for this, and each of the other values might take as long.
                    break
        lost = len(waiting) - stored + self.dropped
        if stored:
            logger.info("Results that could not be stored at first and are now: %d.", stored)
        if lost:
            logger.warning("Results that are not stored: %d (%s).", lost, trouble or "too large to keep in memory")


def store_again(data: dict[str, Any], value: Any) -> dict[str, Any]:
    """Store a value under the key that its state names, and return the reference without the failure."""
    from orionflow.contract.seals import digest_of_content
    from orionflow.results import DIGEST, as_bytes
    from orionflow.serializers import serializer_of

    content = as_bytes(value, serializer_of(data["serializer_type"]), data["storage"], data["storage_key"])[1]
    # The size may differ, because the value may have changed since.
    reference = {name: field for name, field in data.items() if name != UNSTORED} | {"size": len(content)}
    if DIGEST in data:
        reference[DIGEST] = digest_of_content(content)
    try:
        _write(reference, content)
    except UsageError:
        raise
    except Exception as error:
        raise storage_failed(error, reference, content) from error
    return reference


def _write(reference: dict[str, Any], content: bytes) -> None:
    store_named_by_reference(reference["storage"]).write(reference["storage_key"], content)
