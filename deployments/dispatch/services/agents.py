"""Register and deregister agents.

Registering revokes at once the runs that an earlier start of the agent held, except those that continue in containers,
which the agent adopts. Workers of other clients only send heartbeats; their runs have no leases.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from deployments.dispatch.services.attempt_exit import CRASH_DETECTION, Cause, revoke
from deployments.errors import (
    AgentNameTaken,
    AgentNotFound,
    AgentOfAnother,
    AgentReplaced,
    WorkerNotFound,
    WorkPoolNotFound,
)
from deployments.models import Lease, Worker, WorkPool, WorkQueue
from deployments.work.services.work_queues import DEFAULT_POOL, default_pool, found_pool, queue_for
from orchestration.errors import BeyondRights
from orchestration.new_names import refuse_deceptive
from orchestration.sight import seeing, sees_in_part
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.agents import AgentRegistration

# An agent or a worker counts as offline after this number of missed heartbeats.
MISSED_HEARTBEATS = 3
USUAL_INTERVAL_SECONDS = 30
# A worker that announces longer pauses still counts as offline after three days.
LONGEST_INTERVAL_SECONDS = 24 * 60 * 60


# The account of agents that the owner of the server's machine registers, without a key.
OWNER = 0


def register_agent(*, who: AgentRegistration, now: datetime, account: int = OWNER) -> tuple[Worker, list[WorkQueue]]:
    """Store the agent, and return it with its queues, which are created if necessary.

    Raises WorkPoolNotFound, AgentNameTaken if an agent with this name is alive on another machine, and AgentOfAnother
    if it belongs to another account.
    """
    pool = _pool(who.work_pool_name, now)
    named = [queue_for(pool_name=pool.name, queue_name=name, now=now) for name in dict.fromkeys(who.work_queues)]
    queues = [queue for queue in named if queue] or queues_of_pool(pool.pk)
    agent = _registered(who, pool, queues, account, now)
    # Before the other leases are revoked: those that are adopted belong to this start from now on.
    _adopt(agent, who, now)
    message = f"Agent {agent.name!r} was restarted, so the process that it had for the run is gone."
    _revoke_runs_of(agent, message, now, but_from=who.incarnation)
    return agent, queues


def refuse_unseen_queues(*, pool_name: str | None, queue_names: Sequence[str]) -> None:
    """Refuse an agent for objects that the user does not see: the pool, or existing queues of it.

    Raises WorkPoolNotFound if the user sees nothing of the pool, and BeyondRights.
    """
    if not sees_in_part():
        return
    name = pool_name or DEFAULT_POOL
    with seeing(None):
        pool_id = WorkPool.objects.filter(name=name).values_list("pk", flat=True).first()
    if pool_id is not None and WorkPool.objects.filter(pk=pool_id).exists():
        return
    seen = set(WorkQueue.objects.filter(work_pool=pool_id).values_list("name", flat=True)) if pool_id else set()
    if not seen:
        raise WorkPoolNotFound(name=name)
    if not queue_names or not seen.issuperset(queue_names):
        raise BeyondRights(what=f"an agent of other queues of {name!r}")


@repeated_on_conflict
def _adopt(agent: Worker, who: AgentRegistration, now: datetime) -> None:
    """Transfer the leases of attempts that outlived an earlier start of the agent to this one."""
    if not who.survivors:
        return
    attempts = {(one.id, one.epoch) for one in who.survivors}
    with write_transaction():
        held = Lease.objects.select_for_update().filter(worker=agent, pk__in=[id for id, _ in attempts])
        adopted = [lease.pk for lease in held if (lease.pk, lease.epoch) in attempts]
        expires_at = now + timedelta(seconds=settings.ORION_LEASE_SECONDS)
        Lease.objects.filter(pk__in=adopted).update(incarnation=who.incarnation, expires_at=expires_at)


def adopted_by(agent: Worker) -> list[tuple[UUID, int]]:
    """Return the attempts that the agent holds in its current start."""
    held = Lease.objects.filter(worker=agent, incarnation=agent.incarnation).order_by("pk")
    return list(held.values_list("pk", "epoch"))


@repeated_on_conflict
def _registered(
    who: AgentRegistration, pool: WorkPool, queues: Sequence[WorkQueue], account: int, now: datetime
) -> Worker:
    with write_transaction():
        # Claims lock the agent by FOR KEY SHARE, for which only this lock waits: see `claims._locked_incarnations`.
        known = Worker.objects.select_for_update().filter(work_pool=pool, name=who.name).first()
        if known is not None:
            _refuse_taken(known, who, account, now)
        else:
            refuse_deceptive(who.name)
        columns = {
            "incarnation": who.incarnation,
            "queue_ids": [str(queue.pk) for queue in queues],
            "serves_pool": not who.work_queues,
            "concurrency": who.concurrency,
            "host": who.host,
            "pid": who.pid,
            "version": who.version,
            "draining": False,
            "account": account,
            "heartbeat_interval_seconds": ceil(settings.ORION_HEARTBEAT_SECONDS),
            "last_heartbeat": now,
            "offline_at": offline_from(now),
        }
        agent, _ = Worker.objects.update_or_create(
            work_pool=pool, name=who.name, defaults=columns, create_defaults={**columns, "created": now}
        )
        return agent


def _refuse_taken(known: Worker, who: AgentRegistration, account: int, now: datetime) -> None:
    is_alive = known.incarnation is not None and known.offline_at is not None and known.offline_at > now
    # Registering an agent again revokes the runs that it holds.
    if is_alive or Lease.objects.filter(worker=known).exists():
        refuse_another(known, account)
    if is_alive and known.incarnation != who.incarnation and known.host != who.host:
        raise AgentNameTaken(name=who.name, host=known.host)


def leave(*, agent_id: UUID, incarnation: UUID, now: datetime, account: int = OWNER) -> None:
    """Deregister an agent that stops. A repeated call changes nothing, nor does one from a start that was replaced.

    Raises AgentOfAnother.
    """
    gone = {"incarnation": None, "offline_at": now, "draining": False, "last_heartbeat": now}
    if account != OWNER and (known := Worker.objects.filter(pk=agent_id).first()):
        refuse_another(known, account)
    with write_transaction():
        # Wait for claims, whose leases are revoked below.
        list(Worker.objects.select_for_update().filter(pk=agent_id).values_list("pk"))
        left = Worker.objects.filter(pk=agent_id, incarnation=incarnation).update(**gone, updated=now)
    agent = Worker.objects.filter(pk=agent_id).first()
    if left and agent:
        _revoke_runs_of(agent, f"Agent {agent.name!r} ended while it held the run.", now)


def present_agent(agent_id: UUID, incarnation: UUID, account: int = OWNER) -> Worker:
    """Return the agent. Raises AgentNotFound, AgentReplaced if it has been started again, and AgentOfAnother."""
    return refuse_absent(Worker.objects.filter(pk=agent_id).first(), agent_id, incarnation, account)


def refuse_absent(agent: Worker | None, agent_id: UUID, incarnation: UUID, account: int) -> Worker:
    """Return the agent that was looked up before; raises what `present_agent` raises."""
    if agent is None:
        raise AgentNotFound(id=agent_id)
    refuse_another(agent, account)
    if agent.incarnation != incarnation:
        raise AgentReplaced(name=agent.name)
    return agent


def refuse_another(agent: Worker, account: int) -> None:
    """Refuse accounts other than the one that registered the agent, and the owner's. Raises AgentOfAnother.

    Agents that registered before this column existed accept all accounts until they are started again.
    """
    if account != OWNER and agent.account is not None and agent.account != account:
        raise AgentOfAnother(name=agent.name)


def of_account(account: int) -> Q:
    """Return the check of `refuse_another` as a condition for queries."""
    return Q() if account == OWNER else Q(account=account) | Q(account=None)


def queues_of_pool(pool_id: UUID) -> list[WorkQueue]:
    return list(WorkQueue.objects.filter(work_pool=pool_id).order_by("priority", "name"))


def queues_of_pool_agent(agent_id: UUID) -> list[WorkQueue]:
    """Return the current queues of an agent that serves its whole pool; none for an agent that named its queues."""
    of_agent = WorkQueue.objects.filter(work_pool__workers=agent_id, work_pool__workers__serves_pool=True)
    return list(of_agent.only("name").order_by("priority", "name"))


def not_after(now: datetime) -> Q:
    """Return the condition that no later heartbeat has been recorded."""
    return Q(last_heartbeat__isnull=True) | Q(last_heartbeat__lte=now)


def offline_from(now: datetime) -> datetime:
    """Return when an agent counts as offline if no other heartbeat follows the one received now."""
    return now + timedelta(seconds=MISSED_HEARTBEATS * settings.ORION_HEARTBEAT_SECONDS)


def _pool(name: str | None, now: datetime) -> WorkPool:
    if name is None or name == DEFAULT_POOL:
        return default_pool(now)
    return found_pool(name)


def _revoke_runs_of(agent: Worker, message: str, now: datetime, *, but_from: UUID | None = None) -> None:
    held = Lease.objects.filter(worker=agent)
    if but_from is not None:
        held = held.exclude(incarnation=but_from)
    # Each in a transaction of its own, so that reports of other runs do not wait for all of them.
    for run_id in sorted(held.values_list("pk", flat=True)):
        revoke(run_id=run_id, cause=Cause(message, CRASH_DETECTION), now=now, but_from=but_from)


# --- workers of other makes ---


@repeated_on_conflict
def record_worker_heartbeat(
    *, pool_name: str, name: str, interval_seconds: int | None, now: datetime, account: int = OWNER
) -> None:
    """Record a heartbeat of a worker of another client. Without an interval, the stored one is kept.

    One that is processed late does not replace what a later one has recorded. Raises AgentOfAnother if the name is that
    of an agent that belongs to another account.
    """
    with write_transaction():
        pool = default_pool(now) if pool_name == DEFAULT_POOL else found_pool(pool_name)
        mine = Worker.objects.filter(work_pool=pool, name=name)
        refuse_deceptive(name, unless=mine)
        interval = interval_seconds or mine.values_list("heartbeat_interval_seconds", flat=True).first()
        interval = interval and min(interval, LONGEST_INTERVAL_SECONDS)
        patience = timedelta(seconds=MISSED_HEARTBEATS * (interval or USUAL_INTERVAL_SECONDS))
        columns = {"last_heartbeat": now, "heartbeat_interval_seconds": interval, "offline_at": now + patience}
        if not mine.filter(of_account(account), not_after(now)).update(**columns, updated=now):
            known, _ = Worker.objects.get_or_create(work_pool=pool, name=name, defaults={**columns, "created": now})
            refuse_another(known, account)


def delete_worker(*, pool_name: str, name: str) -> None:
    with write_transaction():
        deleted, _ = Worker.objects.filter(work_pool=found_pool(pool_name), name=name).delete()
        if not deleted:
            raise WorkerNotFound(name=name)
