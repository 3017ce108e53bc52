"""Run tokens: by them the process of an attempt speaks, and for nothing but that attempt.

A token is the run and its epoch, signed with the server's secret key; no row keeps it. It is made at the claim and
lives as the attempt does: while the run has this epoch and its lease, and for a moment after it ended, in which the
process sends its last lines.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from orchestration.errors import RunLost
from orchestration.sight import constants
from orchestration.tables import dialect
from orion_site.accounts.errors import KeyRefused
from orion_site.accounts.permissions import Action, Actor, OnObject
from orionflow.contract.credentials import RUN_TOKEN_BEGINS
from orionflow.contract.states import TERMINAL

# The bytes of the run's id and the epoch.
SAID = 20
LAST_LINES = timedelta(seconds=60)
OVER = "This run token is over: it ended with its run."
UNKNOWN = "This run token is not known here."
DISABLED = "The user of this run's agent is disabled."

# What code looks up by name, whichever deployment it belongs to.
ACTIONS = frozenset(
    {
        Action.PROBE,
        Action.TAKE_SLOTS,
        Action.REPORT_EVENTS,
        Action.RUN_DEPLOYMENTS,
        Action.READ_DEPLOYMENTS,
        Action.READ_VARIABLES,
        Action.READ_BLOCKS,
        Action.READ_SECRETS,
        Action.READ_LIMITS,
    }
)
# Of its own run and of what is nested in it.
OWN = frozenset(
    {
        Action.READ_RUNS,
        Action.REPORT_RUNS,
        Action.CREATE_RUNS,
        Action.SEND_INPUTS,
        Action.FORCE_STATES,
        Action.READ_EVENTS,
    }
)
# Of the runs that it started, which are not nested in it: to wait for them, and to hand them values.
STARTED = frozenset({Action.READ_RUNS, Action.SEND_INPUTS, Action.READ_EVENTS})

_FIND = """
SELECT f.name, f.epoch, l.epoch, f.state_timestamp, u.is_active
FROM runs_flowrun f
LEFT JOIN deployments_lease l ON l.flow_run_id = f.id
LEFT JOIN deployments_worker w ON w.id = l.worker_id
LEFT JOIN auth_user u ON u.id = w.account
WHERE f.id = %s
"""
_FIRST_END = f"""
SELECT timestamp FROM runs_flowrunstate
WHERE flow_run_id = %s AND epoch = %s AND type IN {constants(TERMINAL)}
ORDER BY timestamp LIMIT 1
"""  # noqa: S608 (names of states are constants)


def token_of(run_id: UUID, epoch: int) -> str:
    """Return the token of an attempt."""
    said = run_id.bytes + epoch.to_bytes(SAID - 16, "big")
    signature = salted_hmac("orion.run-token", said, secret=settings.SECRET_KEY, algorithm="sha256").digest()
    return RUN_TOKEN_BEGINS + urlsafe_b64encode(said + signature).decode()


def actor_of_token(text: str) -> Actor:
    """Return the attempt that a token speaks for. Raises KeyRefused, and RunLost for one that was replaced."""
    return actor_of_attempt(*_read(text))


def actor_of_attempt(run_id: UUID, epoch: int) -> Actor:
    """Return the attempt as it is by now. Raises KeyRefused and RunLost."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [dialect().uuid(run_id)])
        row = cursor.fetchone()
        if row is None:
            raise KeyRefused(OVER)
        name, current, leased, since, is_active = row
        if current != epoch:
            raise RunLost(id=run_id, epoch=epoch, current=current)
        if is_active is not None and not is_active:
            raise KeyRefused(DISABLED)
        if leased != epoch:
            # What an attempt says of itself after it ended gives it no more time.
            cursor.execute(_FIRST_END, [dialect().uuid(run_id), epoch])
            moments = [since, *(ended for (ended,) in cursor.fetchall())]
            if since is None or min(map(dialect().read_moment, moments)) < timezone.now() - LAST_LINES:
                raise KeyRefused(OVER)
    # Once it ended it says what it has left to say, and sets no state by which it would begin again.
    own = OnObject("run", str(run_id), OWN if leased == epoch else OWN - {Action.FORCE_STATES})
    return Actor(
        f"run {name}",
        ACTIONS,
        objects=(own, OnObject("started-by-run", str(run_id), STARTED)),
        run_id=run_id,
        epoch=epoch,
    )


def _read(text: str) -> tuple[UUID, int]:
    try:
        signed = urlsafe_b64decode(text.removeprefix(RUN_TOKEN_BEGINS).encode())
    except ValueError:
        raise KeyRefused(UNKNOWN) from None
    if len(signed) < SAID:
        raise KeyRefused(UNKNOWN)
    run_id, epoch = UUID(bytes=signed[:16]), int.from_bytes(signed[16:SAID], "big")
    # As a whole: what base64 passes over is part of no token.
    if not hmac.compare_digest(text.encode(), token_of(run_id, epoch).encode()):
        raise KeyRefused(UNKNOWN)
    return run_id, epoch
