"""Agents that are gone: their leases run out, and their runs are taken back. Any number of servers may do this at once.

When no server has ticked for a while, no heartbeat came through either: then all leases are renewed first, so that an
outage of the servers is not mistaken for one of the agents.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from deployments.models import Lease, ServiceRecord
from deployments.services.dispatch.claims import lease_end
from deployments.services.dispatch.clock import database_now
from deployments.services.dispatch.endings import CRASH_DETECTION, Cause, take_back
from orchestration.errors import FlowRunNotFound
from orchestration.stored import FLOW_RUNS, locked_run
from orchestration.transactions import repeated_on_conflict, write_transaction

logger = logging.getLogger("orion.services")

SERVICE = "reconciliation"
BATCH = 200
# So many heartbeats or ticks must be missing before a silence counts as one of the servers.
MISSED = 2


def tick(_: datetime) -> int:
    """For tickers, whose clocks differ: reconcile by the database's."""
    return reconcile(database_now())


def reconcile(now: datetime) -> int:
    """Take back the runs whose leases have run out by more than the grace; how many that were.

    A run over which that fails keeps no other from its turn; the first such error is raised in the end.
    """
    if _note_presence(now):
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


@repeated_on_conflict
def _note_presence(now: datetime) -> bool:
    """Say that a server is there; whether none had been, so that all leases were renewed."""
    with write_transaction():
        record = ServiceRecord.objects.select_for_update().filter(pk=SERVICE).first()
        seen = record.last_success if record else None
        if seen is not None and seen >= now:
            return False
        amnesty = seen is None or now - seen > silence_of_servers()
        if amnesty:
            Lease.objects.filter(expires_at__lt=lease_end(now)).update(expires_at=lease_end(now))
        every = settings.ORION_RECONCILE_SECONDS
        ServiceRecord.objects.update_or_create(
            pk=SERVICE, defaults={"last_success": now}, create_defaults={"last_success": now, "every_seconds": every}
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
