"""The keys under which results are stored that no program names: each begins with the id of the run that stored it."""

from __future__ import annotations

import re
from uuid import UUID

from orionflow.contract.ids import uuid7

# Those of earlier versions have no id in them.
MADE_BY_US = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{16})?")


def key_of_run(run_id: UUID | None) -> str:
    """Return a key for one more result of a run."""
    return uuid7().hex if run_id is None else f"{run_id.hex}{uuid7().hex[16:]}"


def is_key_of(key: str, run_id: UUID, *, stored_by: str | None = None) -> bool:
    """Whether a run stored something under this key, as far as can be known, and no other run did.

    A key of an earlier version names no run: it counts as that of the run whose state has it, unless the result says
    that another one stored it (`stored_by`).
    """
    if MADE_BY_US.fullmatch(key) is None:
        return False
    if len(key) > 32:
        return key.startswith(run_id.hex)
    return stored_by is None or stored_by == str(run_id)
