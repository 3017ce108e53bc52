"""Run tokens: with one, the process of an attempt authenticates as that attempt, and as nothing else.

A token consists of the run, its epoch and the user of the agent, signed with the server's secret key; it is not stored.
It is created with the claim and is valid while the run has this epoch and its lease, and for a moment after the attempt
ended, for its last log lines.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils.crypto import salted_hmac

from orchestration.database_clock import current_time
from orchestration.errors import RunLost
from orchestration.sight import constants
from orchestration.tables import dialect
from orion_site.accounts.errors import KeyRefused
from orion_site.accounts.permissions import Action, Actor, OnObject
from orionflow.contract.credentials import LAST_LINES, RUN_TOKEN_BEGINS
from orionflow.contract.states import TERMINAL

# Lengths of the signed part: the run's id, the epoch and the user. Tokens of an earlier version contain no user.
SIGNED_LENGTH, SIGNED_LENGTH_WITHOUT_USER = 24, 20
SIGNATURE = 32
OVER = "This run token is over: it ended with its run."
UNKNOWN = "This run token is not known here."
DISABLED = "The user of this run's agent is disabled or deleted."

# Actions on everything that code looks up by name, whichever deployment it belongs to.
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
# Actions on the run itself and on the runs nested in it.
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
# Actions on runs that it started, but which are not nested in it: to wait for them, and to send them values.
STARTED = frozenset({Action.READ_RUNS, Action.SEND_INPUTS, Action.READ_EVENTS})

_FIND = """
SELECT f.name, f.epoch, l.epoch, f.state_timestamp, u.is_active
FROM runs_flowrun f
LEFT JOIN deployments_lease l ON l.flow_run_id = f.id
LEFT JOIN deployments_worker w ON w.id = l.worker_id
LEFT JOIN auth_user u ON u.id = COALESCE(%s, w.account)
WHERE f.id = %s
"""
_FIRST_END = f"""
SELECT timestamp FROM runs_flowrunstate
WHERE flow_run_id = %s AND epoch = %s AND type IN {constants(TERMINAL)}
ORDER BY timestamp LIMIT 1
"""  # noqa: S608 (names of states are constants)


def token_of(run_id: UUID, epoch: int, user_id: int | None) -> str:
    """Return the token of an attempt that an agent of this user claimed."""
    signed = run_id.bytes + epoch.to_bytes(4, "big") + (b"" if user_id is None else user_id.to_bytes(4, "big"))
    signature = salted_hmac("orion.run-token", signed, secret=settings.SECRET_KEY, algorithm="sha256").digest()
    return RUN_TOKEN_BEGINS + urlsafe_b64encode(signed + signature).decode()


def actor_of_token(text: str) -> Actor:
    """Return the attempt of a token. Raises KeyRefused, and RunLost if the attempt was replaced."""
    return actor_of_attempt(*_read(text))


def actor_of_attempt(run_id: UUID, epoch: int, user_id: int | None) -> Actor:
    """Return the attempt with its present permissions. Raises KeyRefused and RunLost."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [user_id, dialect().uuid(run_id)])
        row = cursor.fetchone()
        if row is None:
            raise KeyRefused(OVER)
        name, current, leased, since, is_active = row
        if current != epoch:
            raise RunLost(id=run_id, epoch=epoch, current=current)
        # Without a row the user was deleted, even if the agent still exists.
        if not is_active and (is_active is not None or user_id is not None):
            raise KeyRefused(DISABLED)
        if leased != epoch:
            # The first final state counts, so that later reports of the attempt do not extend the time.
            cursor.execute(_FIRST_END, [dialect().uuid(run_id), epoch])
            moments = [since, *(ended for (ended,) in cursor.fetchall())]
            if since is None or min(map(dialect().read_moment, moments)) < current_time() - LAST_LINES:
                raise KeyRefused(OVER)
    # A finished attempt may send its last reports, but no state with which it would start again.
    own = OnObject("run", str(run_id), OWN if leased == epoch else OWN - {Action.FORCE_STATES})
    return Actor(
        f"run {name}",
        ACTIONS,
        objects=(own, OnObject("started-by-run", str(run_id), STARTED)),
        run_id=run_id,
        epoch=epoch,
        claimed_by=user_id,
        has_ended=leased != epoch,
    )


def _read(text: str) -> tuple[UUID, int, int | None]:
    try:
        signed = urlsafe_b64decode(text.removeprefix(RUN_TOKEN_BEGINS).encode())
    except ValueError:
        raise KeyRefused(UNKNOWN) from None
    length = len(signed) - SIGNATURE
    if length not in {SIGNED_LENGTH, SIGNED_LENGTH_WITHOUT_USER}:
        raise KeyRefused(UNKNOWN)
    run_id, epoch = UUID(bytes=signed[:16]), int.from_bytes(signed[16:20], "big")
    user_id = int.from_bytes(signed[20:SIGNED_LENGTH], "big") if length == SIGNED_LENGTH else None
    # Compare the whole text: base64 decoding ignores invalid characters.
    if not hmac.compare_digest(text.encode(), token_of(run_id, epoch, user_id).encode()):
        raise KeyRefused(UNKNOWN)
    return run_id, epoch, user_id
