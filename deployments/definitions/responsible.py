"""Which users are responsible for a run: code may do with its token only what all of them may."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestration.authors import OWNER, user_in
from orchestration.sight import seeing
from orchestration.tables import fetch
from orionflow.contract.kinds import FINDER_ENTRYPOINT
from runs.limiting_users import NOBODY, limits_of


@dataclass(frozen=True, slots=True)
class Responsible:
    """The author, and the users who limit the run besides. None is the owner of the server; NOBODY may do nothing."""

    author: int | None
    author_name: str | None
    limits: Sequence[int]

    @property
    def users(self) -> set[int]:
        return {*self.limits, *(() if self.author is None else (self.author,))}


_COLUMNS = """
SELECT d.author, d.author_name, d.entrypoint, f.limited_by, f.job_variables, f.created_by FROM runs_flowrun f
JOIN deployments_deployment d ON d.id = f.deployment_id WHERE f.id IN """


def responsible_for(run_id: UUID) -> Responsible | None:
    """Return who is responsible for a run; None if the run or its deployment is not there any more."""
    with seeing(None):
        found = fetch(_COLUMNS, [run_id])
        if not found:
            return None
        ((author, name, entrypoint, *columns),) = found
        limited_by, job_variables, created_by = map(_read, columns)
        if entrypoint == FINDER_ENTRYPOINT:
            # This deployment executes code given in the parameters, so the user who created the run is responsible.
            author, name = user_in(created_by), created_by and created_by.get("display_value")
            if author is None and (created_by or {}).get("type") != OWNER["type"]:
                author = NOBODY
        return Responsible(author, name, limits_of(limited_by, job_variables, created_by))


def _read(stored: Any) -> Any:
    """Return the value of a JSON column, which raw SQL returns as text."""
    return json.loads(stored) if isinstance(stored, str) else stored
