"""The results of runs as far as the server knows them: references to stored values, never the values themselves.

Unpickling runs code of the writer, so the server loads no stored result. For files in the result folders that this
server knows, it reads the size, and where other runs may write to the folder, too, the digest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Coalesce

from deployments.models import BlockDocument
from orchestration.core.states import TERMINAL
from orchestration.large import OMITTED
from orionflow.contract.seals import digest_of_content
from runs.models import FlowRun, StateRow, TaskRun
from runs.pages.selectors.keyset import Cursor, Page, page_of
from runs.results.core import Reference, moment_in, reference_in
from runs.states.selectors import listed_flow_run_states, listed_task_run_states

RESULTS_PER_PAGE = 100
AGAIN = "Run it again with refresh_cache=True."
UNSTORED = "The run tried again when it ended; its log says whether that went well."
OVERWRITTEN = (
    "Run it again with refresh_cache=True; a result_storage_key that names what tells runs apart, such as "
    "{flow_run.name}, keeps each result."
)
# Bytes; the digest of a larger file is not computed.
MOST_READ = 1024 * 1024
RELATIVE = "Give result_storage_key as a relative path."
SHARE = (
    "If the run wrote it on another machine, it is there; a folder that both share, named by ORION_RESULTS_PATH, can "
    "be read everywhere. If it was deleted, run it again with refresh_cache=True."
)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run. `problem` says why it cannot be read, and `remedy` what the user can change."""

    run: FlowRun | TaskRun
    kind: str
    key: str = ""
    where: str = ""
    serializer: str = ""
    block: BlockDocument | None = None
    size: int | None = None
    # Until when caches return it, and until when the stored bytes are kept.
    expires: datetime | None = None
    kept_until: datetime | None = None
    value: Any = None
    problem: str = ""
    remedy: str = ""

    @property
    def location(self) -> str:
        """The name of its location; empty if it is stored elsewhere."""
        return self.where.removeprefix("location:") if self.where.startswith("location:") else ""

    @property
    def is_task_run(self) -> bool:
        return isinstance(self.run, TaskRun)


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Results of a page of finished runs, newest first."""

    results: Sequence[Result]
    after: Cursor | None

    @property
    def stored(self) -> Sequence[Result]:
        return [one for one in self.results if one.kind != "none"]

    @property
    def unstored(self) -> Sequence[FlowRun | TaskRun]:
        """The runs whose result was not stored."""
        return [one.run for one in self.results if one.kind == "none"]


def results_of_flow_run(run: FlowRun, *, after: Cursor | None) -> ResultsPage:
    """Return the results of completed task runs, with the run's own result on the first page. Four queries."""
    # Order by an expression: for the plain column, PostgreSQL may scan the index of all task runs.
    place = Coalesce("state_timestamp", "created")
    completed = TaskRun.objects.filter(flow_run=run.id, state_type="COMPLETED").annotate(place=place)
    page = cast(
        "Page[TaskRun]", page_of(completed.defer("task_inputs"), by="place", after=after, size=RESULTS_PER_PAGE)
    )
    states: dict[UUID | None, StateRow] = {**listed_task_run_states(page.rows)}
    shown: list[FlowRun | TaskRun] = list(page.rows)
    if after is None and run.state_type in TERMINAL:
        states |= listed_flow_run_states([run])
        shown.insert(0, run)
    return ResultsPage(_results(shown, states), page.after)


def result_of_task_run(run: TaskRun) -> ResultsPage:
    found = _results([run], listed_task_run_states([run])) if run.state_type in TERMINAL else []
    return ResultsPage(found, None)


def _results(runs: Iterable[FlowRun | TaskRun], states: Mapping[UUID | None, StateRow]) -> list[Result]:
    pairs = [(run, states[run.state_id]) for run in runs if run.state_id in states]
    pairs = [(run, state) for run, state in pairs if state.data is not None or run.state_type == "COMPLETED"]
    ids = {block_id for _, state in pairs if (block_id := _block_id(state.data))}
    blocks = BlockDocument.objects.select_related("block_type").in_bulk(ids) if ids else {}
    return [result_of(run, state, blocks) for run, state in pairs]


def result_of(run: FlowRun | TaskRun, state: StateRow, blocks: Mapping[UUID, BlockDocument]) -> Result:
    """Return the result that the data of a state describes, in the formats of Orion's SDK and of Prefect's."""
    data: Any = state.data
    expires = moment_in((state.details or {}).get("cache_expiration")) or getattr(run, "cache_expiration", None)
    match data:
        case None | {"type": "unpersisted"}:
            return Result(run, "none")
        case {"type": "literal"}:
            return Result(run, "literal", value=data.get("value"))
        case {"type": "reference", "storage_key": str(key)}:
            return _reference(run, data, key, blocks, expires)
        case dict() if OMITTED in data:
            return Result(run, "large", size=data[OMITTED]["bytes"])
        case {"type": "reference"}:
            problem = "The reference to the stored result names no key, so the value cannot be found."
            return Result(run, "damaged", problem=problem, remedy=AGAIN)
    return Result(run, "inline", value=data)


def _reference(
    run: FlowRun | TaskRun,
    data: Mapping[str, Any],
    key: str,
    blocks: Mapping[UUID, BlockDocument],
    expires: datetime | None,
) -> Result:
    stored = reference_in(data) or Reference(key)
    where = stored.storage or ""
    block_id = _block_id(data)
    block = blocks.get(block_id) if block_id else None
    size, problem, remedy = stored.size, "", ""
    if block_id and block is None:
        problem = "The storage block that it was written through was deleted."
        remedy = "Make a block that reads the same place, and run it again with refresh_cache=True."
    elif where.startswith("file://"):
        found, problem, remedy = _file(where, key, data.get("digest"))
        size = None if problem else found or stored.size
    if stored.unstored and (problem or not where.startswith("file://")):
        size, problem, remedy = None, f"It could not be stored: {stored.unstored}.", UNSTORED
    serializer = stored.serializer_type or ""
    kept_until = stored.expiration
    return Result(run, "reference", key, where, serializer, block, size, expires, kept_until, None, problem, remedy)


def _file(where: str, key: str, digest: object) -> tuple[int | None, str, str]:
    """Return the size of a result's file, or why it cannot be read. Only folders that this server knows are read."""
    folder = Path(os.path.normpath(unquote(urlsplit(where).path)))
    path = Path(os.path.normpath(folder / key))
    if not path.is_relative_to(folder) or path == folder:
        return None, "Its key leads out of the folder of results, so no program reads it.", RELATIVE
    if not any(folder.is_relative_to(known) for known in settings.ORION_RESULTS_FOLDERS):
        return None, "", ""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None, "This server cannot find its file.", SHARE
    if not stat.S_ISREG(found.st_mode):
        return None, "Its key names no file.", AGAIN
    if isinstance(digest, str) and found.st_size <= MOST_READ and _digest_of(path) not in (digest, None):
        return None, "Another run has written over its file since.", OVERWRITTEN
    return found.st_size, "", ""


def _digest_of(path: Path) -> str | None:
    """Return the digest of a file's content; None if the file cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return digest_of_content(file.read(MOST_READ + 1))
    except OSError:
        return None


def _block_id(data: Any) -> UUID | None:
    block_id = data.get("storage_block_id") if isinstance(data, dict) else None
    try:
        return UUID(block_id) if isinstance(block_id, str) else None
    except ValueError:
        return None
