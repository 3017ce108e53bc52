"""The sender of the outbox: due messages are claimed, sent outside of any transaction, and marked with the result.

Destinations take turns, so that one that does not answer does not delay others. Within one, messages with the fewest
attempts come first, so that a message that its receiver rejects does not delay those behind it. A message that was sent
but could not be marked is sent again, with the same id: delivery is at least once.
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
from deployments.blocks.services.known_secrets import learn_secrets
from deployments.errors import SecretsUnreadable
from deployments.models import BlockDocument
from events.models import Notification
from events.notifications.core.delivering import Circuits, wait_after
from events.notifications.core.messages import Delivery, Undeliverable, delivery_of
from events.notifications.core.receivers import Message
from orchestration.transactions import write_transaction
from orionflow.contract.masking import known

if TYPE_CHECKING:
    from events.notifications.services.sending import NotSent

logger = logging.getLogger("orion.notifications")

# Destinations in one round, and messages that are claimed together.
MOST_DESTINATIONS, BATCH = 100, 20
# Longer than any request may take. Messages that a dead process had claimed become due again after this time.
CLAIMED_FOR = timedelta(minutes=5)
SECONDS_PER_PASS = 30
KEPT_FOR = timedelta(days=7)
# Responses that reject a message as too long or malformed.
NOT_IN_THIS_FORM = frozenset({400, 413, 414})
_circuits = Circuits()


def send_notifications(now: datetime) -> int:
    """Send due messages, for at most half a minute, and return the number of accepted ones."""
    until, sent = time.monotonic() + SECONDS_PER_PASS, 0
    while waiting := _destinations(now):
        # A process that only runs services learns secrets here.
        learn_secrets(now)
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
    """Send a destination's share. Return how many messages it accepted; None if nothing is due for it."""
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
    """Return the blocks with due messages, those that wait longest first."""
    due = Notification.objects.filter(standing=Notification.Standing.WAITING, due_at__lte=now)
    asked = due.values("block_document_id").annotate(first=Min("due_at")).order_by("first")
    return list(asked.values_list("block_document_id", flat=True)[:MOST_DESTINATIONS])


def _claim(block_id: UUID, share: int, now: datetime) -> list[Notification]:
    """Claim the next messages of a destination: its share, one while its circuit is on trial, none while it is open."""
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
    """Make one attempt, and record its result. Return whether the message was accepted."""
    # Imported here because the HTTP library is slow to load, and few servers send messages before their first request.
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
        # The block has invalid settings, so another attempt would fail, too.
        logger.exception("Notification %s cannot be sent.", notification.pk)
        _failed(notification, f"{type(problem).__name__}: {problem}", None, now, began)
        return False
    _circuits.went_well(notification.block_document_id)
    sent = {"standing": Notification.Standing.SENT, "sent_at": now, "last_error": ""}
    _mark(notification, now, began, f"accepted: {status}", **sent)
    return True


def _judge(notification: Notification, problem: NotSent, now: datetime, began: float) -> None:
    if problem.status in NOT_IN_THIS_FORM and not notification.is_short and not notification.is_payload:
        # The worst failures have the longest messages. A short one is better than none.
        _mark(notification, now, began, str(problem), is_short=True, due_at=now, last_error=str(problem))
        return
    if problem.again:
        # Only errors that may be caused by the destination count against it.
        _circuits.failed(notification.block_document_id, now)
    elif problem.status is not None:
        _circuits.went_well(notification.block_document_id)
    wait = wait_after(notification.attempts + 1) if problem.again else None
    _failed(notification, str(problem), wait, now, began)


def _delivery(notification: Notification) -> Delivery:
    block = BlockDocument.objects.select_related("block_type").filter(pk=notification.block_document_id).first()
    if block is None:
        raise Undeliverable("The block was deleted in the meantime.")
    link = f"{settings.ORION_EXTERNAL_URL}/runs/{notification.flow_run_id}" if notification.flow_run_id else ""
    subject, body = notification.subject, notification.body
    if not notification.is_payload:
        # The process that wrote the text may have known fewer secrets. The values in a payload are masked when it is
        # filled in; the rest may contain a key on purpose.
        subject, body = known.masked(subject), known.masked(body)
    message = Message(str(notification.pk), subject, body, notification.is_payload, link)
    return delivery_of(block.block_type.slug, opened(block), message.short if notification.is_short else message)


def _failed(
    notification: Notification, reason: str, wait: timedelta | None, now: datetime, began: float | None
) -> None:
    if wait is None:
        attempts = notification.attempts + 1
        times = "attempt" if attempts == 1 else "attempts"
        logger.warning("Notification %s is given up after %d %s: %s", notification.pk, attempts, times, reason)
        _mark(notification, now, began, reason, last_error=reason, standing=Notification.Standing.GIVEN_UP)
    else:
        _mark(notification, now, began, reason, last_error=reason, due_at=now + wait)


def _mark(notification: Notification, now: datetime, began: float | None, outcome: str, **columns: Any) -> None:
    """Record an attempt. Without `began`, no request was made."""
    took = time.monotonic() - began if began is not None else 0.0
    made = {"at": now.isoformat(), "seconds": round(took, 3), "outcome": outcome}
    columns |= {"attempts": notification.attempts + 1, "tries": [*notification.tries, made]}
    for name, value in columns.items():
        setattr(notification, name, value)
    with write_transaction():
        Notification.objects.filter(pk=notification.pk).update(**columns)


def _forget_old(now: datetime) -> None:
    done = Notification.objects.exclude(standing=Notification.Standing.WAITING).filter(created__lt=now - KEPT_FOR)
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually there is nothing to delete.
    if done.exists():
        with write_transaction():
            done.delete()
