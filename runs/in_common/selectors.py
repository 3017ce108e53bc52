"""The runs that are compared: a sample of the chosen ones, and one of the other runs of their flows in their time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from django.db.models import Case, F, QuerySet, TextField, When
from django.db.models.functions import Cast
from django.utils import timezone

from deployments.models import Deployment, WorkQueue
from orchestration.core.states import StateType
from orchestration.large import OMITTED, Bytes
from runs.in_common.core.dimensions import SampledRun
from runs.in_common.core.findings import InCommon, in_common
from runs.models import Environment, Flow, FlowRun, FlowRunState

# So many of each are compared, drawn by chance from so many newest ones.
SAMPLED, LOOKED_AT = 5_000, 20_000
MOST_FLOWS = 50
MOST_ENVIRONMENTS = 500
# Larger parameters are known by their size only.
LARGEST_PARAMETERS = 8_192
# Runs of a shorter time are compared with those of half a day before and after, too.
SHORTEST_TIME = timedelta(hours=12)
AGENT = "agent "


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings about the chosen runs, whose runs they were compared with, and how far back both reach."""

    found: InCommon
    flows: Sequence[str]
    begin: datetime | None = None
    end: datetime | None = None
    # How many of the chosen and of the others there are, where a sample of them was compared.
    chosen_of: int = 0
    others_of: int = 0
    is_cut: bool = False
    # The chosen runs that were compared, in the order of their places in findings.
    chosen: Sequence[UUID] = ()


def what_is_common(*, run_ids: Collection[UUID], since: datetime | None, now: datetime) -> Compared:
    """Compare runs with the others of the same flows, in the same time; `since` says how far back was looked for them.

    Eight queries, however many runs there are.
    """
    chosen = list(
        FlowRun.objects.filter(pk__in=list(run_ids)[:LOOKED_AT], expected_start_time__isnull=False)
        .order_by()
        .values_list("pk", "expected_start_time", "flow_id")
    )
    if not chosen:
        return Compared(in_common([], []), [])
    flows = list(dict.fromkeys(flow for *_, flow in chosen))[:MOST_FLOWS]
    begin, end = _time_of([at for _, at, _ in chosen], since, now)
    mine = {id for id, *_ in chosen}
    others, begin, is_cut = _others(flows, mine, begin, end)
    chosen_ids = [id for id, at, flow in chosen if at >= begin and flow in set(flows)]
    ids = [_drawn(chosen_ids), _drawn(others)]
    runs = _sampled([*ids[0], *ids[1]])
    names = list(Flow.objects.filter(pk__in=flows).order_by("name").values_list("name", flat=True))
    compared = [[id for id in some if id in runs] for some in ids]
    found = in_common(*([runs[id] for id in some] for some in compared))
    return Compared(found, names, begin, end, len(chosen_ids), len(others), is_cut, compared[0])


def _time_of(times: Sequence[datetime], since: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    first, last = min(times), max(times)
    if last - first < SHORTEST_TIME:
        first, last = first - SHORTEST_TIME, last + SHORTEST_TIME
    return min(first, since) if since else first, max(min(last, now), max(times))


def _others(
    flows: Sequence[UUID], chosen: Collection[UUID], begin: datetime, end: datetime
) -> tuple[list[UUID], datetime, bool]:
    """The runs of the same flows in this time, and since when they are known: the newest ones, where there are many."""
    runs = FlowRun.objects.filter(flow_id__in=flows, expected_start_time__gte=begin, expected_start_time__lte=end)
    # Plans are no runs yet.
    runs = runs.exclude(state_type=StateType.SCHEDULED, run_count=0)
    newest = list(
        runs.order_by("-expected_start_time").values_list("pk", "expected_start_time")[: LOOKED_AT + len(chosen)]
    )
    is_cut = len(newest) == LOOKED_AT + len(chosen)
    return [id for id, _ in newest if id not in chosen], newest[-1][1] if is_cut else begin, is_cut


def _drawn(ids: Sequence[UUID]) -> Sequence[UUID]:
    """A sample by chance; the same one each time, so that a page that is loaded again says the same."""
    return ids if len(ids) <= SAMPLED else Random(len(ids)).sample(ids, SAMPLED)  # noqa: S311 (nothing is secret)


COLUMNS = (
    *("pk", "tags", "expected_start_time", "run_count", "flow_version", "deployment_id", "deployment_version"),
    *("work_queue_id", "work_queue_name", "process", "created_by", "environment_id"),
    *("parameters_bytes", "parameters_text"),
)


def _sampled(ids: Sequence[UUID]) -> dict[UUID, SampledRun]:
    """Read the runs, and what other rows say of them, five queries."""
    rows = list(_with_small_parameters(FlowRun.objects.filter(pk__in=ids)).values_list(*COLUMNS))
    deployed = [row[0] for row in rows if row[5] or row[7]]
    agents = dict(
        FlowRunState.objects.filter(flow_run__in=deployed, type="PENDING", author__startswith=AGENT)
        .order_by("seq")
        .values_list("flow_run_id", "author")
    ) if deployed else {}  # fmt: skip
    deployments = _names(Deployment.objects.filter(pk__in={row[5] for row in rows if row[5]}), "name")
    pools = _names(WorkQueue.objects.filter(pk__in={row[7] for row in rows if row[7]}), "work_pool__name")
    environments = _environments({row[11] for row in rows if row[11]})
    zone, read = timezone.get_current_timezone(), _Reader()
    return {
        id: SampledRun(
            parameters=read(text, size),
            tags=tags,
            due=due.astimezone(zone),
            attempts=attempts,
            version=version or "",
            deployment=deployments.get(deployment, "deleted") if deployment else "none",
            deployment_version=deployed_version or "",
            queue=queue_name or "none",
            pool=pools.get(queue) or "none",
            agent=(agents.get(id) or "").removeprefix(AGENT),
            host=(process or "").partition("|")[0],
            created_by=_maker(made_by),
            **_of_environment(environments.get(environment)),
        )
        for (
            id, tags, due, attempts, version, deployment, deployed_version, queue, queue_name, process, made_by,
            environment, size,
            text,
        ) in rows
    }  # fmt: skip


def _with_small_parameters(runs: QuerySet[FlowRun]) -> QuerySet[FlowRun]:
    text = Cast(F("parameters"), TextField())
    return runs.order_by().annotate(
        parameters_bytes=Bytes(F("parameters")),
        parameters_text=Case(When(parameters_bytes__lte=LARGEST_PARAMETERS, then=text)),
    )


def _names(rows: QuerySet[Any], column: str) -> dict[UUID | None, str]:
    return dict(rows.values_list("pk", column))


def _environments(ids: Collection[UUID]) -> dict[UUID, Environment]:
    """The environments of the runs, with those packages alone whose versions differ between them. One query."""
    rows = Environment.objects.in_bulk(sorted(ids)[:MOST_ENVIRONMENTS]) if ids else {}
    versions: dict[str, set[str]] = {}
    for row in rows.values():
        for name, version in row.packages.items():
            versions.setdefault(name, set()).add(version)
    differing = {name for name, known in versions.items() if len(known) > 1}
    for row in rows.values():
        row.packages = {name: version for name, version in row.packages.items() if name in differing}
    return rows


def _of_environment(row: Environment | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {"python": row.python, "platform": row.platform, "commit": row.commit[:12], "packages": row.packages}


class _Reader:
    """Reads parameters once for each text: many runs are called with the same ones."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Any]] = {}

    def __call__(self, text: str | None, size: int) -> Mapping[str, Any]:
        if text is None:
            return {"all of them": {OMITTED: {"bytes": size}}}
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = json.loads(text)
        return found


def _maker(made_by: Mapping[str, Any] | None) -> str:
    if not made_by:
        return ""
    return f"{(made_by.get('type') or '').lower()} {made_by.get('display_value') or ''}".strip()
