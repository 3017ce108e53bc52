"""Agents register with each start, and leave. What an earlier start of the same name held is taken back at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

from django.conf import settings

from deployments.dispatch.services.endings import CRASH_DETECTION, Cause, revoke
from deployments.models import Lease, Worker, WorkPool, WorkQueue
from deployments.work.services.work_queues import DEFAULT_POOL, default_pool, found_pool, queue_for
from orchestration.errors import AgentNameTaken, AgentNotFound, AgentReplaced
from orchestration.transactions import repeated_on_conflict, write_transaction

# It is there until so many of its heartbeats did not come.
MISSED_HEARTBEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What an agent says of itself when it begins. No queues: all of its pool, also those that are made later."""

    name: str
    incarnation: UUID
    work_pool_name: str | None = None
    work_queues: Sequence[str] = ()
    concurrency: int = 1
    host: str | None = None
    pid: int | None = None
    version: str | None = None


def register_agent(*, who: Introduction, now: datetime) -> tuple[Worker, list[WorkQueue]]:
    """The agent with its queues, which are made if they are new.

    Raises WorkPoolNotFound, and AgentNameTaken when one of this name is alive on another machine.
    """
    pool = _pool(who.work_pool_name, now)
    named = [queue_for(pool_name=pool.name, queue_name=name, now=now) for name in dict.fromkeys(who.work_queues)]
    queues = [queue for queue in named if queue] or queues_of_pool(pool.pk)
    agent = _registered(who, pool, queues, now)
    _take_back(agent, _told_of_restart(agent), now, but_from=who.incarnation)
    return agent, queues


@repeated_on_conflict
def _registered(who: Introduction, pool: WorkPool, queues: Sequence[WorkQueue], now: datetime) -> Worker:
    with write_transaction():
        known = Worker.objects.select_for_update(no_key=True).filter(work_pool=pool, name=who.name).first()
        if known is not None:
            _refuse_taken(known, who, now)
        columns = {
            "incarnation": who.incarnation,
            "queue_ids": [str(queue.pk) for queue in queues],
            "serves_pool": not who.work_queues,
            "concurrency": who.concurrency,
            "host": who.host,
            "pid": who.pid,
            "version": who.version,
            "draining": False,
            "heartbeat_interval_seconds": ceil(settings.ORION_HEARTBEAT_SECONDS),
            "last_heartbeat": now,
            "offline_at": silent_from(now),
        }
        agent, _ = Worker.objects.update_or_create(
            work_pool=pool, name=who.name, defaults=columns, create_defaults={**columns, "created": now}
        )
        return agent


def _refuse_taken(known: Worker, who: Introduction, now: datetime) -> None:
    is_alive = known.incarnation is not None and known.offline_at is not None and known.offline_at > now
    if is_alive and known.incarnation != who.incarnation and known.host != who.host:
        raise AgentNameTaken(name=who.name, host=known.host)


def leave(*, agent_id: UUID, incarnation: UUID, now: datetime) -> None:
    """The agent ends; a repeat changes nothing, and neither does one that was replaced."""
    gone = {"incarnation": None, "offline_at": now, "draining": False, "last_heartbeat": now}
    with write_transaction():
        left = Worker.objects.filter(pk=agent_id, incarnation=incarnation).update(**gone, updated=now)
    agent = Worker.objects.filter(pk=agent_id).first()
    if left and agent:
        _take_back(agent, f"Agent {agent.name!r} ended while it held the run.", now)


def present_agent(agent_id: UUID, incarnation: UUID) -> Worker:
    """Raises AgentNotFound, and AgentReplaced for a start of the agent that is over."""
    agent = Worker.objects.filter(pk=agent_id).first()
    if agent is None:
        raise AgentNotFound(id=agent_id)
    if agent.incarnation != incarnation:
        raise AgentReplaced(name=agent.name)
    return agent


def queues_of_pool(pool_id: UUID) -> list[WorkQueue]:
    return list(WorkQueue.objects.filter(work_pool=pool_id).order_by("priority", "name"))


def queues_of_pool_agent(agent_id: UUID) -> list[WorkQueue]:
    """Every queue that there is by now for an agent that serves its whole pool; none for one that named its queues."""
    of_agent = WorkQueue.objects.filter(work_pool__workers=agent_id, work_pool__workers__serves_pool=True)
    return list(of_agent.only("name").order_by("priority", "name"))


def silent_from(now: datetime) -> datetime:
    """When an agent that is heard now counts as gone, if nothing more is heard of it."""
    return now + timedelta(seconds=MISSED_HEARTBEATS * settings.ORION_HEARTBEAT_SECONDS)


def _pool(name: str | None, now: datetime) -> WorkPool:
    if name is None or name == DEFAULT_POOL:
        return default_pool(now)
    return found_pool(name)


def _take_back(agent: Worker, message: str, now: datetime, *, but_from: UUID | None = None) -> None:
    held = Lease.objects.filter(worker=agent)
    if but_from is not None:
        held = held.exclude(incarnation=but_from)
    for run_id in sorted(held.values_list("pk", flat=True)):
        revoke(run_id=run_id, cause=Cause(message, CRASH_DETECTION), now=now, but_from=but_from)


def _told_of_restart(agent: Worker) -> str:
    return f"Agent {agent.name!r} was started anew, so the process that it had for the run is gone."
