"""The sender of the outbox: what is due is claimed, sent outside of any transaction, and marked with how it went.

Destinations take turns, so that one which does not answer keeps no other waiting; within one, what was tried least
comes first, so that a message which its receiver chokes on holds up none behind it. A message that was sent but could
not be marked is sent again, under the same id: at least once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db.models import Min

from deployments.blocks.services.blocks import opened
from deployments.models import BlockDocument
from events.models import Notification
from events.notifications.core.delivering import Circuits, wait_after
from events.notifications.core.messages import Delivery, Undeliverable, delivery_of
from events.notifications.core.receivers import Message
from orchestration.errors import SecretsUnreadable
from orchestration.transactions import write_transaction

if TYPE_CHECKING:
    from events.notifications.services.sending import NotSent

logger = logging.getLogger("orion.notifications")

# So many destinations take part in a round, and so many messages are claimed at once.
MOST_DESTINATIONS, BATCH = 100, 20
# Longer than any one request may take; whoever dies with a message in hand leaves it to others after this.
CLAIMED_FOR = timedelta(minutes=5)
SECONDS_PER_PASS = 30
KEPT_FOR = timedelta(days=7)
# Answers that say of a message that it is too long, or malformed in the eyes of its receiver.
NOT_IN_THIS_FORM = frozenset({400, 413, 414})
_circuits = Circuits()


def send_notifications(now: datetime) -> int:
    """Send what is due, for half a minute at most; the number of messages that were taken in."""
    until, sent = time.monotonic() + SECONDS_PER_PASS, 0
    while waiting := _destinations(now):
        while waiting:
            share = max(1, BATCH // len(waiting))
            taken = [_take_turn(block_id, share, now, until) for block_id in waiting]
            sent += sum(count or 0 for count in taken)
            waiting = [block_id for block_id, count in zip(waiting, taken, strict=True) if count is not None]
            if time.monotonic() > until:
                return sent
    _forget_old(now)
    return sent


def _take_turn(block_id: UUID, share: int, now: datetime, until: float) -> int | None:
    """Send a destination's share; how much it took in, or None when nothing waits for it."""
    if time.monotonic() > until:
        return None
    claimed, sent = _claim(block_id, share, now), 0
    for position, notification in enumerate(claimed):
        if time.monotonic() > until or (position and _circuits.is_on_trial(block_id)):
            _give_back(claimed[position:], now)
            break
        sent += deliver(notification, now)
    return sent if claimed else None


def _destinations(now: datetime) -> list[UUID]:
    """Blocks with something due, the one that waits longest first."""
    due = Notification.objects.filter(standing=Notification.Standing.WAITING, due_at__lte=now)
    asked = due.values("block_document_id").annotate(first=Min("due_at")).order_by("first")
    return list(asked.values_list("block_document_id", flat=True)[:MOST_DESTINATIONS])


def _claim(block_id: UUID, share: int, now: datetime) -> list[Notification]:
    """The next messages of a destination: its share, one while it is on trial, and none while it rests."""
    with write_transaction():
        mine = Notification.objects.filter(
            block_document=block_id, standing=Notification.Standing.WAITING, due_at__lte=now
        )
        if until := _circuits.rests_until(block_id, now):
            mine.update(due_at=until)
            return []
        most = 1 if _circuits.is_on_trial(block_id) else share
        found = list(mine.select_for_update(skip_locked=True).order_by("attempts", "created", "id")[:most])
        Notification.objects.filter(pk__in=[one.pk for one in found]).update(due_at=now + CLAIMED_FOR)
        return found


def _give_back(claimed: Sequence[Notification], now: datetime) -> None:
    with write_transaction():
        Notification.objects.filter(pk__in=[one.pk for one in claimed]).update(due_at=now)


def deliver(notification: Notification, now: datetime) -> bool:
    """Make one attempt, and note how it went; whether the message was taken in."""
    # Its HTTP library takes its time to load, and few servers send anything before they are asked something.
    from events.notifications.services.sending import NotSent, send

    began = time.monotonic()
    try:
        status = send(_delivery(notification))
    except NotSent as problem:
        _judge(notification, problem, now, began)
        return False
    except (Undeliverable, SecretsUnreadable) as problem:
        _failed(notification, str(problem), None, now, None)
        return False
    except (ValueError, TypeError, LookupError) as problem:
        # A block with settings that nobody foresaw: they will not be better the next time.
        logger.exception("A notification cannot be sent.")
        _failed(notification, f"{type(problem).__name__}: {problem}", None, now, began)
        return False
    _circuits.went_well(notification.block_document_id)
    sent = {"standing": Notification.Standing.SENT, "sent_at": now, "last_error": ""}
    _mark(notification, now, began, f"taken in: {status}", **sent)
    return True


def _judge(notification: Notification, problem: NotSent, now: datetime, began: float) -> None:
    if problem.status in NOT_IN_THIS_FORM and not notification.is_short and not notification.is_payload:
        # The worst failures have the longest messages: better a short one than none.
        _mark(notification, now, began, str(problem), is_short=True, due_at=now, last_error=str(problem))
        return
    if problem.again:
        # Only what may be the destination's fault counts against it.
        _circuits.failed(notification.block_document_id, now)
    elif problem.status is not None:
        _circuits.went_well(notification.block_document_id)
    wait = wait_after(notification.attempts + 1) if problem.again else None
    _failed(notification, str(problem), wait, now, began)


def _delivery(notification: Notification) -> Delivery:
    block = BlockDocument.objects.select_related("block_type").filter(pk=notification.block_document_id).first()
    if block is None:
        raise Undeliverable("The block was deleted meanwhile.")
    link = f"{settings.ORION_EXTERNAL_URL}/runs/{notification.flow_run_id}" if notification.flow_run_id else ""
    message = Message(str(notification.pk), notification.subject, notification.body, notification.is_payload, link)
    return delivery_of(block.block_type.slug, opened(block), message.short if notification.is_short else message)


def _failed(
    notification: Notification, reason: str, wait: timedelta | None, now: datetime, began: float | None
) -> None:
    if wait is None:
        attempts = notification.attempts + 1
        times = "attempt" if attempts == 1 else "attempts"
        logger.warning("A notification is given up after %d %s: %s", attempts, times, reason)
        _mark(notification, now, began, reason, last_error=reason, standing=Notification.Standing.GIVEN_UP)
    else:
        _mark(notification, now, began, reason, last_error=reason, due_at=now + wait)


def _mark(notification: Notification, now: datetime, began: float | None, outcome: str, **columns: Any) -> None:
    """Note an attempt; without a beginning, no request was made."""
    took = time.monotonic() - began if began is not None else 0.0
    made = {"at": now.isoformat(), "seconds": round(took, 3), "outcome": outcome}
    columns |= {"attempts": notification.attempts + 1, "tries": [*notification.tries, made]}
    for name, value in columns.items():
        setattr(notification, name, value)
    with write_transaction():
        Notification.objects.filter(pk=notification.pk).update(**columns)


def _forget_old(now: datetime) -> None:
    done = Notification.objects.exclude(standing=Notification.Standing.WAITING).filter(created__lt=now - KEPT_FOR)
    # Asked without a lock first: on SQLite a transaction holds up every writer, and mostly there is nothing.
    if done.exists():
        with write_transaction():
            done.delete()
