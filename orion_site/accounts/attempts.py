"""Attempts to sign in: repeated failures lead to growing waits, but never to a permanent lock.

Failures are counted for an account from one address, for an address, and for an account from all addresses; the last
with a higher limit, so that others cannot keep its user out. An attempt is counted before the password is checked, so
that parallel attempts count, too. All servers share the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.http import HttpRequest

from orchestration.transactions import repeated_on_conflict, write_transaction
from orion_site.accounts.models import SignInFailures

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """The number of failures without a wait, after which the waits double, and the longest wait."""

    free: int
    longest: timedelta

    def wait(self, count: int) -> timedelta:
        if count < self.free:
            return timedelta()
        # 2**20 s is longer than any wait; a larger power may be no float.
        return min(self.longest, timedelta(seconds=2.0 ** min(count - self.free, 20)))


ACCOUNT_AT_ADDRESS = Limit(5, timedelta(minutes=15))
ADDRESS = Limit(20, timedelta(minutes=15))
ACCOUNT = Limit(100, timedelta(minutes=1))


@repeated_on_conflict
def begin_attempt(*, name: str, address: str, now: datetime) -> int:
    """Count an attempt. Return 0 if the password may be checked, otherwise the seconds to wait."""
    limits = _limits(name, address)
    with write_transaction():
        SignInFailures.objects.filter(last__lt=now - FORGOTTEN_AFTER).delete()
        held = SignInFailures.objects.select_for_update().filter(subject__in=limits).order_by("subject")
        rows = {row.subject: row for row in held}
        waits = [row.wait_until - now for row in rows.values() if row.wait_until and row.wait_until > now]
        if waits:
            return max(1, round(max(waits).total_seconds()))
        for subject, limit in limits.items():
            row = rows.get(subject) or SignInFailures(subject=subject)
            row.count += 1
            row.last, row.wait_until = now, now + limit.wait(row.count)
            # Of parallel first attempts, one inserts the row; the others fail here, and count when they are repeated.
            row.save(force_insert=subject not in rows, force_update=subject in rows)
    return 0


def attempt_succeeded(*, name: str, address: str) -> None:
    """Delete the failures of the account, and the one that this attempt counted for the address, with its wait."""
    # In the order of `_limits`.
    at_address, address_alone, account = _limits(name, address)
    with write_transaction():
        SignInFailures.objects.filter(subject__in=[at_address, account]).delete()
        row = SignInFailures.objects.select_for_update().filter(subject=address_alone).first()
        if row is not None:
            row.count, row.wait_until = max(0, row.count - 1), None
            row.save(update_fields=["count", "wait_until"])


def address_of(request: HttpRequest) -> str:
    """Return the address of the client; behind a trusted proxy, the one that the proxy reported."""
    return request.META.get("REMOTE_ADDR") or ""


def _limits(name: str, address: str) -> dict[str, Limit]:
    account = name.casefold()
    return {
        _subject("account at address", account, address): ACCOUNT_AT_ADDRESS,
        _subject("address", address): ADDRESS,
        _subject("account", account): ACCOUNT,
    }


def _subject(*parts: str) -> str:
    # The names are stored as hashes: some users type their password into the wrong field.
    return sha256("\x00".join(parts).encode()).hexdigest()
