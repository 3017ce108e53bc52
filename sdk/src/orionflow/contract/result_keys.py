"""The keys under which results are stored that no program names: each begins with the id of the run that stored it."""

from __future__ import annotations

import re
from uuid import UUID

from orionflow.contract.ids import uuid7

# Those of earlier versions have no id in them.
MADE_BY_US = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{16})?")


def key_of_run(run_id: UUID | None) -> str:
    """A key for one more result of a run."""
    return uuid7().hex if run_id is None else f"{run_id.hex}{uuid7().hex[16:]}"


def is_key_of(key: str, run_id: UUID) -> bool:
    """Whether a run may have stored something under this key, and no other run did."""
    return MADE_BY_US.fullmatch(key) is not None and (len(key) == 32 or key.startswith(run_id.hex))
