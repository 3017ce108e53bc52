"""End the attempts of agents whose leases have expired. Any number of servers may do this at the same time.

If no server has ticked for a while, no heartbeat could be received either: then all leases are renewed first, so that
an outage of the servers is not mistaken for one of the agents. Processes that serve the API record their presence
separately, because the process that runs the services need not be one that receives heartbeats.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from deployments.dispatch.services.attempt_exit import CRASH_DETECTION, Cause, revoke_locked
from deployments.dispatch.services.claims import lease_end
from deployments.models import Lease, ServiceRecord
from orchestration.database_clock import database_now
from orchestration.errors import FlowRunNotFound
from orchestration.one_by_one import Turns, work_on_each
from orchestration.stored import locked_run
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction

# Primary keys in the table of services.
SERVICE, API_PRESENCE = "reconciliation", "hearing"
BATCH = 200
# Heartbeats or ticks that must be missed before a silence counts as an outage of the servers.
MISSED = 2
HEARTBEATS_PER_LEASE = 4
# After this time without a server that receives heartbeats, agents are treated as stopped anyway.
LONGEST_AMNESTY = timedelta(hours=1)
_turns: Turns[tuple[datetime, UUID]] = Turns()


def tick(_: datetime) -> int:
    """Reconcile by the database's clock, because the clocks of tickers differ."""
    return reconcile(database_now())


def reconcile(now: datetime) -> int:
    """End attempts whose leases expired longer than the grace period ago, and return their number.

    An error for one run does not stop the others; the first error is raised at the end.
    """
    if _record_presence(SERVICE, settings.ORION_RECONCILE_SECONDS, longest_gap_of_ticks(), now) or api_is_away(now):
        return 0
    expired = Lease.objects.filter(expires_at__lt=_grace_ends(now)).order_by("expires_at", "pk")
    keys = _turns.next_of(list(expired.values_list("expires_at", "pk")), BATCH)
    return work_on_each([pk for _, pk in keys], lambda run_id: _end_expired(run_id, now), "Expired attempt of flow run")


def record_api_heartbeat(_: datetime) -> bool:
    """Record that a server that answers agents is present. Return True if there was none, and leases were renewed."""
    every = seconds_between_api_heartbeats()
    return _record_presence(API_PRESENCE, every, MISSED * timedelta(seconds=every), database_now())


def seconds_between_api_heartbeats() -> float:
    """Return an interval short enough to notice an outage long before a lease could expire."""
    of_a_lease = settings.ORION_LEASE_SECONDS / HEARTBEATS_PER_LEASE
    return min(settings.ORION_RECONCILE_SECONDS, settings.ORION_HEARTBEAT_SECONDS, of_a_lease)


def api_is_away(now: datetime) -> bool:
    """Whether no server of the API is present, so that agents may be silent because nothing receives their heartbeats.

    False after LONGEST_AMNESTY, and if no server ever recorded its presence, because older versions do not.
    """
    record = ServiceRecord.objects.filter(pk=API_PRESENCE).first()
    if record is None or record.last_success is None:
        return False
    silent = now - record.last_success
    return MISSED * timedelta(seconds=seconds_between_api_heartbeats()) < silent < LONGEST_AMNESTY


@repeated_on_conflict
def _record_presence(name: str, every: float, longest_silence: timedelta, now: datetime) -> bool:
    """Record that a server is present. If none was for too long, renew all leases and return True."""
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


def longest_gap_of_ticks() -> timedelta:
    """Return the time without a tick of any server after which agents may be silent because no server was running."""
    return timedelta(seconds=MISSED * max(settings.ORION_RECONCILE_SECONDS, settings.ORION_HEARTBEAT_SECONDS))


def _grace_ends(now: datetime) -> datetime:
    return now - timedelta(seconds=settings.ORION_LEASE_GRACE_SECONDS)


@repeated_on_conflict
def _end_expired(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        # Check again under the lock, because a heartbeat may have renewed it meanwhile.
        expired = Lease.objects.select_for_update(of=("self",)).filter(pk=run_id, expires_at__lt=_grace_ends(now))
        lease = expired.select_related("worker").first()
        if lease is None:
            return False
        revoke_locked(stored, Cause(_describe(lease), CRASH_DETECTION), now)
        return True


def _describe(lease: Lease) -> str:
    agent = lease.worker
    if agent is None:
        return f"The agent that executed this run was deleted, and its lease ran out at {_clock(lease.expires_at)}."
    last_contact = _clock(agent.last_heartbeat) if agent.last_heartbeat else "never"
    where = f" on {agent.host}" if agent.host else ""
    return (
        f"Agent {agent.name!r}{where} is gone: its last heartbeat came at {last_contact}, "
        f"and its lease of this run ran out at {_clock(lease.expires_at)}."
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
