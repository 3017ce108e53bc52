"""Generated keys of stored results: each starts with the id of the run that stored it."""

from __future__ import annotations

import re
from uuid import UUID

from orionflow.contract.ids import uuid7

# Keys of earlier versions contain no id.
MADE_BY_US = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{16})?")


def key_of_run(run_id: UUID | None) -> str:
    """Return a new key for a result of a run."""
    return uuid7().hex if run_id is None else f"{run_id.hex}{uuid7().hex[16:]}"


def is_key_of(key: str, run_id: UUID, *, stored_by: str | None = None) -> bool:
    """Whether this run, and no other one, stored a result under this key, as far as can be known.

    A key of an earlier version contains no id: it belongs to the run whose state has it, unless the result names
    another run that stored it (`stored_by`).
    """
    if MADE_BY_US.fullmatch(key) is None:
        return False
    if len(key) > 32:
        return key.startswith(run_id.hex)
    return stored_by is None or stored_by == str(run_id)
