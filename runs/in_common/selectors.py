"""The runs that are compared: samples of the chosen runs, and of the other runs of their flows in the same period."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db.models import Case, F, OuterRef, QuerySet, Subquery, TextField, When
from django.db.models.functions import Cast
from django.utils import timezone

from deployments.models import Deployment, WorkQueue
from orchestration.collector import collection_put_off
from orchestration.core.states import StateType
from orchestration.large import Bytes
from orchestration.reading import unconverted
from orchestration.tables import dialect
from runs.in_common.core.dimensions import OMITTED, SampledRun
from runs.in_common.core.findings import InCommon, in_common
from runs.models import Environment, Flow, FlowRun, FlowRunState

# The most runs of each side that are compared, drawn at random from at most this number of newest ones.
SAMPLED, LOOKED_AT = 1_500, 4_000
MOST_FLOWS = 50
MOST_ENVIRONMENTS = 500
# Characters of JSON; of runs with larger parameters only their size is compared.
LARGEST_PARAMETERS = 8_192
# The period of the chosen runs is extended by this before and after if it is shorter.
SHORTEST_TIME = timedelta(hours=12)
AGENT = "agent "

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings about the chosen runs, the flows whose other runs they were compared with, and the period of both."""

    found: InCommon
    flows: Sequence[str]
    begin: datetime | None = None
    end: datetime | None = None
    # The number of chosen and of other runs, where only a sample of them was compared.
    chosen_of: int = 0
    others_of: int = 0
    is_cut: bool = False
    # The chosen runs that were compared, in the order of the positions in findings.
    chosen: Sequence[UUID] = ()


@collection_put_off()
def what_is_common(*, run_ids: Sequence[UUID], since: datetime | None, now: datetime) -> Compared:
    """Compare runs with the other runs of their flows in the same period; the chosen runs were searched since `since`.

    Nine queries at most.
    """
    chosen = _read(FlowRun.objects.filter(pk__in=_drawn(run_ids), expected_start_time__isnull=False))
    if not chosen:
        return Compared(in_common([], []), [])
    flows = list(dict.fromkeys(row.flow_id for row in chosen))[:MOST_FLOWS]
    begin, end = _time_of([row.due for row in chosen], since, now)
    written = dialect().uuid
    mine = {row.id for row in chosen} if len(run_ids) == len(chosen) else {written(one) for one in run_ids}
    others, others_of, begin, is_cut = _others(flows, mine, begin, end)
    chosen = [row for row in chosen if row.due >= begin and row.flow_id in set(flows)]
    names = list(Flow.objects.filter(pk__in=_read_ids(flows)).order_by("name").values_list("name", flat=True))
    find = _Finder([*chosen, *others])
    found = in_common([find(row) for row in chosen], [find(row) for row in others])
    ids = _read_ids(row.id for row in chosen)
    return Compared(found, names, begin, end, max(len(run_ids), len(chosen)), others_of, is_cut, ids)


def _time_of(times: Sequence[datetime], since: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    first, last = min(times), max(times)
    if last - first < SHORTEST_TIME:
        first, last = first - SHORTEST_TIME, last + SHORTEST_TIME
    return min(first, since) if since else first, max(min(last, now), max(times))


def _others(
    flows: Sequence[Any], chosen: Collection[Any], begin: datetime, end: datetime
) -> tuple[list[Row], int, datetime, bool]:
    """Return the other runs of the flows in this period, their number, and the time since which they were read.

    If there are many, return a random sample of the newest ones.
    """
    runs = FlowRun.objects.filter(
        flow_id__in=_read_ids(flows), expected_start_time__gte=begin, expected_start_time__lte=end
    )
    # Planned runs have not run yet.
    runs = runs.exclude(state_type=StateType.SCHEDULED, run_count=0).order_by("-expected_start_time")
    # Without their times: PostgreSQL's driver takes longer to read one than for the rest of a row.
    newest = unconverted(runs.values_list("pk")[: LOOKED_AT + len(chosen)])
    ids = [id for (id,) in newest if id not in chosen]
    is_cut = len(newest) == LOOKED_AT + len(chosen)
    if is_cut:
        last = FlowRun.objects.filter(pk__in=_read_ids(newest[-1])).values_list("expected_start_time", flat=True)
        begin = last.first() or begin
    if len(ids) <= SAMPLED and len(newest) <= LOOKED_AT:
        # By the same range, because sending this many ids takes longer.
        return [row for row in _read(runs[:LOOKED_AT]) if row.id not in chosen], len(ids), begin, is_cut
    sample = FlowRun.objects.filter(pk__in=_read_ids(_drawn(ids)))
    return _read(sample), len(ids), begin, is_cut


def _drawn(ids: Sequence[T]) -> Sequence[T]:
    """Return a random sample; always the same one, so that reloading a page shows the same findings."""
    return ids if len(ids) <= SAMPLED else Random(len(ids)).sample(ids, SAMPLED)  # noqa: S311 (nothing is secret)


class Row(NamedTuple):
    """A run as the database returns it: its id and that of its flow are bytes or UUIDs, and JSON is text."""

    id: Any
    flow_id: Any
    due: datetime
    attempts: int
    version: str | None
    deployment_id: Any
    deployment_version: str | None
    queue_id: Any
    queue: str | None
    process: str | None
    environment_id: Any
    tags: str
    made_by: str | None
    parameters_bytes: int
    parameters: str | None
    agent: str | None


COLUMNS = (
    *("pk", "flow_id", "expected_start_time", "run_count", "flow_version", "deployment_id", "deployment_version"),
    *("work_queue_id", "work_queue_name", "process", "environment_id", "tags_text", "made_by_text"),
    *("parameters_bytes", "parameters_text", "agent"),
)


def _read(runs: QuerySet[FlowRun]) -> list[Row]:
    taken = FlowRunState.objects.filter(flow_run=OuterRef("pk"), type="PENDING", author__startswith=AGENT)
    rows = runs.annotate(
        tags_text=Cast(F("tags"), TextField()),
        made_by_text=Cast(F("created_by"), TextField()),
        parameters_bytes=Bytes(F("parameters")),
        parameters_text=Case(When(parameters_bytes__lte=LARGEST_PARAMETERS, then=Cast(F("parameters"), TextField()))),
        agent=Subquery(taken.order_by("-seq").values("author")[:1]),
    )
    return [Row(id, flow, _moment(due), *rest) for id, flow, due, *rest in unconverted(rows.values_list(*COLUMNS))]


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_ids(ids: Iterable[Any]) -> list[UUID]:
    """Return the ids of rows as UUIDs."""
    read = dialect().read_uuid
    return [read(one) for one in ids]


class _Finder:
    """Turns rows into runs to compare, with values from other tables. Three queries at most."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._deployments = _names(Deployment, {row.deployment_id for row in rows}, "name")
        self._pools = _names(WorkQueue, {row.queue_id for row in rows}, "work_pool__name")
        self._environments = _environments({row.environment_id for row in rows})
        self._zone = timezone.get_current_timezone()
        # Each text is parsed once: many runs have the same tags and parameters.
        self._json: dict[str, Any] = {}

    def __call__(self, row: Row) -> SampledRun:
        deployment = self._deployments.get(row.deployment_id, "deleted") if row.deployment_id else "none"
        return SampledRun(
            parameters=self._parameters(row),
            tags=self._read(row.tags) or (),
            due=row.due.astimezone(self._zone),
            attempts=row.attempts,
            version=row.version or "",
            deployment=deployment,
            deployment_version=row.deployment_version or "",
            queue=row.queue or "none",
            pool=self._pools.get(row.queue_id) or "none",
            agent=(row.agent or "").removeprefix(AGENT),
            host=(row.process or "").partition("|")[0],
            created_by=_maker(self._read(row.made_by)),
            **self._environments.get(row.environment_id, {}),
        )

    def _parameters(self, row: Row) -> Mapping[str, Any]:
        if row.parameters is None:
            return {"all of them": {OMITTED: {"bytes": row.parameters_bytes}}}
        found: Mapping[str, Any] = self._read(row.parameters)
        return found

    def _read(self, text: str | None) -> Any:
        if text is None:
            return None
        found = self._json.get(text)
        if found is None:
            found = self._json[text] = json.loads(text)
        return found


def _names(rows: Any, ids: Collection[Any], column: str) -> dict[Any, str]:
    wanted = _read_ids(one for one in ids if one)
    return dict(unconverted(rows.objects.filter(pk__in=wanted).values_list("pk", column))) if wanted else {}


def _environments(ids: Collection[Any]) -> dict[Any, dict[str, Any]]:
    """Return the environments of the runs, with only those packages whose versions differ between them. One query."""
    wanted = _read_ids(one for one in ids if one)[:MOST_ENVIRONMENTS]
    rows = Environment.objects.filter(pk__in=wanted) if wanted else []
    db = dialect()
    found = {db.uuid(row.pk): row for row in rows}
    versions: dict[str, set[str]] = {}
    for row in found.values():
        for name, version in row.packages.items():
            versions.setdefault(name, set()).add(version)
    differing = {name for name, known in versions.items() if len(known) > 1}
    return {
        id: {
            "python": row.python,
            "platform": row.platform,
            "commit": row.commit[:12],
            "packages": {name: version for name, version in row.packages.items() if name in differing},
        }
        for id, row in found.items()
    }


def _maker(made_by: Mapping[str, Any] | None) -> str:
    if not made_by:
        return ""
    return f"{(made_by.get('type') or '').lower()} {made_by.get('display_value') or ''}".strip()
