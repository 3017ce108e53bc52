"""Users who limit the rights of a run's token, besides the author of its deployment: they decide how it is executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestration.authors import OWNER, user_in
from runs.models import FlowRun

# Not the id of any user, so that a run which it limits has no rights.
NOBODY = 0


def limits_with(before: Iterable[int], user: int | None) -> list[int]:
    """Return the users whose rights limit those of a run, now that code of this user is executed in it.

    Job variables are such code: they can name an interpreter or load a library. None is the owner of the server.
    """
    return sorted({*before, *(() if user is None else (user,))})


def limits_of(
    limited_by: list[int] | None, job_variables: Mapping[str, Any], created_by: dict[str, Any] | None
) -> list[int]:
    """Return the users who limit a run with these columns.

    Versions before this column, which may still run during an upgrade, stored no users. There the user who created a
    run with job variables limits it; if that is not recorded, NOBODY.
    """
    if limited_by is not None or not job_variables:
        return limited_by or []
    # Runs of the owner of the server name nobody.
    made_by: Mapping[str, Any] = created_by or OWNER
    if made_by["type"] == "RETRY":
        # A retry as a new run has the job variables of the run that it repeats.
        columns = FlowRun.objects.filter(pk=made_by["id"]).values_list("limited_by", "job_variables", "created_by")
        source = columns.first()
        return limits_of(*source) if source else [NOBODY]
    user = user_in(made_by)
    if user is None and made_by["type"] != OWNER["type"]:
        return [NOBODY]
    return limits_with((), user)
