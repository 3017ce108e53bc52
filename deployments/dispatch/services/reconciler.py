"""Agents that are gone: their leases run out, and their runs are taken back. Any number of servers may do this at once.

When no server has ticked for a while, no heartbeat came through either: then all leases are renewed first, so that an
outage of the servers is not mistaken for one of the agents. Servers of the API say apart from that that they are there,
as whoever ticks the services hears no agent.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from deployments.dispatch.services.claims import lease_end
from deployments.dispatch.services.clock import database_now
from deployments.dispatch.services.endings import CRASH_DETECTION, Cause, take_back
from deployments.models import Lease, ServiceRecord
from orchestration.errors import FlowRunNotFound
from orchestration.stored import FLOW_RUNS, locked_run
from orchestration.transactions import repeated_on_conflict, write_transaction

logger = logging.getLogger("orion.services")

SERVICE, HEARING = "reconciliation", "hearing"
BATCH = 200
# So many heartbeats or ticks must be missing before a silence counts as one of the servers.
MISSED = 2
LOOKS_PER_LEASE = 4
# After so long without a server that hears them, agents are taken for gone all the same.
LONGEST_AMNESTY = timedelta(hours=1)


def tick(_: datetime) -> int:
    """For tickers, whose clocks differ: reconcile by the database's."""
    return reconcile(database_now())


def reconcile(now: datetime) -> int:
    """Take back the runs whose leases have run out by more than the grace; how many that were.

    A run over which that fails keeps no other from its turn; the first such error is raised in the end.
    """
    if _note_presence(SERVICE, settings.ORION_RECONCILE_SECONDS, silence_of_servers(), now) or nobody_hears(now):
        return 0
    expired = Lease.objects.filter(expires_at__lt=_patience_ends(now)).order_by("expires_at", "pk")
    taken, troubles = 0, []
    for run_id in list(expired.values_list("pk", flat=True)[:BATCH]):
        try:
            taken += _take_back_expired(run_id, now)
        except Exception as trouble:
            logger.warning("Flow run %s could not be taken back: %s", run_id, trouble)
            troubles.append(trouble)
    if troubles:
        raise troubles[0]
    return taken


def hear(_: datetime) -> bool:
    """For tickers of servers that answer agents: say that one is there; whether none had been."""
    every = seconds_between_hearings()
    return _note_presence(HEARING, every, MISSED * timedelta(seconds=every), database_now())


def seconds_between_hearings() -> float:
    """So often that an outage is noticed long before it could cost a lease."""
    of_a_lease = settings.ORION_LEASE_SECONDS / LOOKS_PER_LEASE
    return min(settings.ORION_RECONCILE_SECONDS, settings.ORION_HEARTBEAT_SECONDS, of_a_lease)


def nobody_hears(now: datetime) -> bool:
    """Whether the servers of the API are away, so that an agent may be silent because nobody heard it.

    Not for ever, and not where no server ever said so: others may serve the API by now.
    """
    record = ServiceRecord.objects.filter(pk=HEARING).first()
    if record is None or record.last_success is None:
        return False
    silent = now - record.last_success
    return MISSED * timedelta(seconds=seconds_between_hearings()) < silent < LONGEST_AMNESTY


@repeated_on_conflict
def _note_presence(name: str, every: float, longest_silence: timedelta, now: datetime) -> bool:
    """Say that a server is there; whether none had been, so that all leases were renewed."""
    with write_transaction():
        record = ServiceRecord.objects.select_for_update().filter(pk=name).first()
        seen = record.last_success if record else None
        if seen is not None and seen >= now:
            return False
        amnesty = seen is None or now - seen > longest_silence
        if amnesty:
            Lease.objects.filter(expires_at__lt=lease_end(now)).update(expires_at=lease_end(now))
        ServiceRecord.objects.update_or_create(
            pk=name, defaults={"last_success": now}, create_defaults={"last_success": now, "every_seconds": every}
        )
        return amnesty


def silence_of_servers() -> timedelta:
    """After so long without a tick of any server, agents may be silent because nobody heard them."""
    return timedelta(seconds=MISSED * max(settings.ORION_RECONCILE_SECONDS, settings.ORION_HEARTBEAT_SECONDS))


def _patience_ends(now: datetime) -> datetime:
    return now - timedelta(seconds=settings.ORION_LEASE_GRACE_SECONDS)


@repeated_on_conflict
def _take_back_expired(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        # Looked at again under its lock: a heartbeat may have renewed it just now.
        expired = Lease.objects.select_for_update(of=("self",)).filter(pk=run_id, expires_at__lt=_patience_ends(now))
        lease = expired.select_related("worker").first()
        if lease is None:
            return False
        take_back(stored, Cause(_told(lease), CRASH_DETECTION), now)
        return True


def _told(lease: Lease) -> str:
    agent = lease.worker
    if agent is None:
        return f"The agent that executed this run was deleted, and its lease ran out at {_clock(lease.expires_at)}."
    heard = _clock(agent.last_heartbeat) if agent.last_heartbeat else "never"
    where = f" on {agent.host}" if agent.host else ""
    return (
        f"Agent {agent.name!r}{where} is gone: its last heartbeat came at {heard}, "
        f"and its lease of this run ran out at {_clock(lease.expires_at)}."
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
