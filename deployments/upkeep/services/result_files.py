"""Remove result files of deleted runs from folders that this process knows, without ever opening them.

Only files that the run itself stored are removed: the state of a cached run, or of one that returned the state of
another run, names the file of that run. Files with a key that a flow chose are kept, because another run may have
written them since; so are results that the cache still offers. `orion result purge --orphans` finds files on other
machines and stores.
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
from orionflow.contract.states import CACHED
from runs.models import CacheEntry, FlowRunState, TaskRunState
from runs.results.core import reference_in


def remove_results_of_task_runs(ids: Sequence[UUID]) -> None:
    """Remove files of task runs' results on commit. Call it in the transaction that deletes these runs."""
    _remove(TaskRunState.objects.filter(task_run__in=ids), "task_run_id", cached_elsewhere=ids)


def remove_results_of_flow_runs(ids: Sequence[UUID]) -> None:
    """Remove files of flow runs' results on commit. Call it in the transaction that deletes these runs."""
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
    """Return the keys under which a remaining run has a result in the cache."""
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
        # Normalised, because a path with `..` would pass the comparison.
        folder = Path(os.path.normpath(unquote(urlsplit(found.storage or "").path)))
    except ValueError:
        return None
    known = any(folder.is_relative_to(one) for one in settings.ORION_RESULTS_FOLDERS)
    return folder / found.storage_key if known else None


def _stored_by(data: object, state_name: str) -> str | None:
    """Return the id of the task run that stored the result, "another", or None if the state does not say."""
    match data:
        case {"cache": {"task_run_id": str(task_run_id)}}:
            return task_run_id
    return "another" if state_name == CACHED else None


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError, ValueError):
            # Runs store regular files. A link or a folder of this name is not theirs.
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
