"""Files of results whose runs are deleted, in the folders that this process knows: removed, and never opened.

A run takes only what it stored itself: the state of one that was cached, or that returned the state of another run,
names the file of that run. A key that a flow chose is left alone, as another run may have written there since; so is a
result that a cache still gives out. What other machines and stores keep, `orion result purge --orphans` finds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction

from orchestration.effects import indexed_key
from orionflow.contract.result_keys import is_key_of
from runs.models import CacheEntry, FlowRunState, TaskRunState
from runs.results.core import reference_in

# The name of a state that took the result of another run, or of an earlier attempt.
CACHED = "Cached"


def remove_results_of_task_runs(ids: Sequence[UUID]) -> None:
    """Call it in the transaction that deletes these runs; files go when that is committed."""
    _remove(TaskRunState.objects.filter(task_run__in=ids), "task_run_id", cached_elsewhere=ids)


def remove_results_of_flow_runs(ids: Sequence[UUID]) -> None:
    """Call it in the transaction that deletes these runs; files go when that is committed."""
    _remove(FlowRunState.objects.filter(flow_run__in=ids), "flow_run_id")


def _remove(states: Any, owner: str, cached_elsewhere: Sequence[UUID] = ()) -> None:
    if not any(folder.is_dir() for folder in settings.ORION_RESULTS_FOLDERS):
        return
    rows = states.filter(type="COMPLETED", data__type="reference").values_list(
        owner, "data", "details__cache_key", "name"
    )
    found = [
        (path, key) for run_id, data, key, name in rows if (path := _file_of(data, run_id, state_name=name)) is not None
    ]
    given = _given_out({key for _, key in found if isinstance(key, str)}, cached_elsewhere)
    if doomed := [path for path, key in found if not isinstance(key, str) or indexed_key(key) not in given]:
        transaction.on_commit(partial(_unlink, doomed))


def _given_out(keys: Iterable[str], deleted: Sequence[UUID]) -> set[str]:
    """The keys under which a run that stays has a result."""
    columns = [indexed_key(key) for key in keys]
    if not columns:
        return set()
    entries = CacheEntry.objects.filter(cache_key__in=columns).exclude(task_run_state__task_run__in=deleted)
    return set(entries.values_list("cache_key", flat=True))


def _file_of(data: object, run_id: UUID, *, state_name: str) -> Path | None:
    found = reference_in(data)
    if found is None or not (found.storage or "").startswith("file://"):
        return None
    if not is_key_of(found.storage_key, run_id, stored_by=_stored_by(data, state_name)):
        return None
    try:
        folder = Path(os.path.normpath(unquote(urlsplit(found.storage or "").path)))
    except ValueError:
        return None
    known = any(folder.is_relative_to(one) for one in settings.ORION_RESULTS_FOLDERS)
    return folder / found.storage_key if known else None


def _stored_by(data: object, state_name: str) -> str | None:
    """Who stored a result as the state says it: its own id, "another" or None where it says nothing."""
    match data:
        case {"cache": {"task_run_id": str(task_run_id)}}:
            return task_run_id
    return "another" if state_name == CACHED else None


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError, ValueError):
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
