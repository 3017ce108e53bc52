"""Agents and workers: whether they are online, the leases that they hold, and the queues that they serve."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, QuerySet
from django.db.models.functions import Coalesce

from deployments.dispatch.selectors.liveness import online
from deployments.models import Lease, Worker, WorkQueue
from deployments.pages.meters import Meter
from runs.pages.selectors.keyset import Cursor, place_of

AGENTS_PER_PAGE = 100
RUNS_IN_LINE = 3
LEASES_SHOWN = 200
QUEUES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent. `condition` is live, draining, silent or left."""

    agent: Worker
    condition: str
    meter: Meter
    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True)
class AgentsPage:
    lines: Sequence[AgentLine]
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class AgentPage:
    line: AgentLine
    queues: Sequence[WorkQueue]


def agents_page(*, gone: bool, after: Cursor | None, now: datetime) -> AgentsPage:
    """Return agents that are online or, with `gone`, the others; most recent heartbeat first. Four queries."""
    rows = _agents().filter(online(now)) if not gone else _agents().exclude(online(now))
    rows = rows.annotate(place=Coalesce("last_heartbeat", "created")).order_by("-place", "-id")
    if after:
        rows = rows.filter(place__lte=after.at).exclude(place=after.at, id__gte=after.id)
    found = list(rows[: AGENTS_PER_PAGE + 1])
    shown = found[:AGENTS_PER_PAGE]
    held = _held([agent.pk for agent in shown])
    leases = _first_leases([pk for pk, number in held.items() if number])
    lines = [_line(one, held.get(one.pk, 0), leases.get(one.pk, [])[:RUNS_IN_LINE], now) for one in shown]
    return AgentsPage(lines, place_of(shown[-1], "place") if len(found) > AGENTS_PER_PAGE else None)


def agent_page(*, agent_id: UUID, now: datetime) -> AgentPage | None:
    agent = _agents().filter(pk=agent_id).first()
    if agent is None:
        return None
    leases = list(_leases().filter(worker=agent).order_by("granted_at")[:LEASES_SHOWN])
    mine = WorkQueue.objects.filter(work_pool=agent.work_pool_id)
    queues = mine if agent.serves_pool else mine.filter(pk__in=agent.queue_ids)
    number = len(leases) if len(leases) < LEASES_SHOWN else Lease.objects.filter(worker=agent).count()
    return AgentPage(_line(agent, number, leases, now), list(queues.order_by("priority", "name")[:QUEUES_SHOWN]))


def _agents() -> QuerySet[Worker]:
    return Worker.objects.select_related("work_pool").defer("work_pool__base_job_template")


def _line(agent: Worker, held: int, leases: Sequence[Lease], now: datetime) -> AgentLine:
    return AgentLine(agent, condition_of(agent, now), Meter(held, agent.concurrency), leases)


def condition_of(agent: Worker, now: datetime) -> str:
    """Return the condition: an agent that stops deregisters (left); one whose heartbeats stop is silent."""
    if agent.offline_at is not None and agent.offline_at > now:
        return "draining" if agent.draining else "live"
    has_deregistered = agent.incarnation is None and agent.version is not None
    return "left" if has_deregistered else "silent"


def _held(ids: Collection[UUID]) -> dict[UUID | None, int]:
    held = Lease.objects.filter(worker__in=ids)
    return dict(held.values_list("worker_id").annotate(Count("pk")).order_by()) if ids else {}


def _first_leases(ids: Collection[UUID | None]) -> dict[UUID | None, list[Lease]]:
    found: dict[UUID | None, list[Lease]] = {}
    if ids:
        # A limit for the whole page: if agents hold very many runs, only some agents show theirs.
        for lease in _leases().filter(worker__in=ids).order_by("granted_at")[: LEASES_SHOWN * RUNS_IN_LINE]:
            found.setdefault(lease.worker_id, []).append(lease)
    return found


def _leases() -> QuerySet[Lease]:
    rows = Lease.objects.select_related("flow_run__flow")
    return rows.only(
        "epoch",
        "granted_at",
        "expires_at",
        "worker_id",
        "flow_run__name",
        "flow_run__state_type",
        "flow_run__state_name",
        "flow_run__state_timestamp",
        "flow_run__flow__name",
    )
