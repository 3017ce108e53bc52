"""How far a client's clock is from ours, by when it says that it sent a message."""

from __future__ import annotations

from datetime import datetime, timedelta

# The sender's clock as it sends.
SENT_AT_HEADER = "Orion-Sent-At"
# Clocks that differ by less are taken to agree: the difference may as well be the way of the message.
SAME_CLOCK = timedelta(seconds=1)


def clock_offset(now: datetime, sent_at: datetime | None) -> timedelta:
    """Return the time to add to the client's times."""
    if sent_at is None or abs(now - sent_at) <= SAME_CLOCK:
        return timedelta()
    return now - sent_at


def corrected(at: datetime, offset: timedelta, now: datetime) -> datetime:
    """Return a time of the client's clock by ours, not after now."""
    if not offset:
        return at
    try:
        return min(at + offset, now)
    except OverflowError:
        return now
