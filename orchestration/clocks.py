"""How much a client's clock differs from ours, computed from the time at which it says that it sent a message."""

from __future__ import annotations

from datetime import datetime, timedelta

# The header with the sender's clock at the moment of sending.
SENT_AT_HEADER = "Orion-Sent-At"
# Smaller differences are ignored, because they may be the transmission time of the message.
SAME_CLOCK = timedelta(seconds=1)


def clock_offset(now: datetime, sent_at: datetime | None) -> timedelta:
    """Return the offset to add to times of the client."""
    if sent_at is None or abs(now - sent_at) <= SAME_CLOCK:
        return timedelta()
    return now - sent_at


def corrected(at: datetime, offset: timedelta, now: datetime) -> datetime:
    """Return a time of the client's clock by ours, but not later than `now`."""
    if not offset:
        return at
    try:
        return min(at + offset, now)
    except OverflowError:
        return now
