"""The sender of the outbox: what is due is claimed, sent outside of any transaction, and marked with how it went.

A message that was sent but could not be marked is sent again, under the same id: at least once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from deployments.models import BlockDocument
from deployments.services.blocks import opened
from events.core.delivering import Circuit, wait_after
from events.core.messages import Delivery, Message, Undeliverable, delivery_of
from events.models import Notification
from events.services.sending import NotSent, host_of, send
from orchestration.errors import SecretsUnreadable
from orchestration.transactions import write_transaction

logger = logging.getLogger("orion.notifications")

BATCH = 20
# Longer than any one request may take; whoever dies with a message in hand leaves it to others after this.
CLAIMED_FOR = timedelta(minutes=5)
SECONDS_PER_PASS = 30
KEPT_FOR = timedelta(days=7)
_circuit = Circuit()


def send_notifications(now: datetime) -> int:
    """Send what is due, for half a minute at most; the number of messages that were taken in."""
    began, sent = time.monotonic(), 0
    while claimed := _claim(now):
        for position, notification in enumerate(claimed):
            if time.monotonic() - began > SECONDS_PER_PASS:
                _give_back(claimed[position:], now)
                return sent
            sent += _deliver(notification, now)
    _forget_old(now)
    return sent


def _claim(now: datetime) -> list[Notification]:
    with write_transaction():
        due = Notification.objects.filter(standing=Notification.Standing.WAITING, due_at__lte=now)
        ids = list(
            due.select_for_update(skip_locked=True).order_by("due_at", "id").values_list("pk", flat=True)[:BATCH]
        )
        if not ids:
            return []
        Notification.objects.filter(pk__in=ids).update(due_at=now + CLAIMED_FOR)
    return list(Notification.objects.filter(pk__in=ids).order_by("created", "id"))


def _give_back(claimed: Sequence[Notification], now: datetime) -> None:
    with write_transaction():
        Notification.objects.filter(pk__in=[one.pk for one in claimed]).update(due_at=now)


def _deliver(notification: Notification, now: datetime) -> bool:
    destination = ""
    try:
        delivery = _delivery(notification)
        destination = host_of(delivery)
        if until := _circuit.rests_until(destination, now):
            _mark(notification, due_at=until)
            return False
        send(delivery)
    except (NotSent, Undeliverable, SecretsUnreadable) as problem:
        again = getattr(problem, "again", False)
        if destination and again:
            _circuit.failed(destination, now)
        _failed(notification, str(problem), again, now)
        return False
    except (ValueError, TypeError, LookupError) as problem:
        # A block with settings that nobody foresaw: those behind it have their turn.
        logger.exception("A notification cannot be sent.")
        _failed(notification, f"{type(problem).__name__}: {problem}", True, now)
        return False
    _circuit.went_well(destination)
    sent = {"standing": Notification.Standing.SENT, "sent_at": now, "last_error": ""}
    _mark(notification, attempts=notification.attempts + 1, **sent)
    return True


def _delivery(notification: Notification) -> Delivery:
    block = BlockDocument.objects.select_related("block_type").filter(pk=notification.block_document_id).first()
    if block is None:
        raise Undeliverable("The block was deleted meanwhile.")
    message = Message(str(notification.pk), notification.subject, notification.body, notification.is_payload)
    return delivery_of(block.block_type.slug, opened(block), message)


def _failed(notification: Notification, reason: str, again: bool, now: datetime) -> None:
    attempts = notification.attempts + 1
    wait = wait_after(attempts) if again else None
    if wait is None:
        logger.warning("A notification is given up after %d attempts: %s", attempts, reason)
        _mark(notification, attempts=attempts, last_error=reason, standing=Notification.Standing.GIVEN_UP)
    else:
        _mark(notification, attempts=attempts, last_error=reason, due_at=now + wait)


def _mark(notification: Notification, **columns: object) -> None:
    with write_transaction():
        Notification.objects.filter(pk=notification.pk).update(**columns)


def _forget_old(now: datetime) -> None:
    with write_transaction():
        done = Notification.objects.exclude(standing=Notification.Standing.WAITING)
        done.filter(created__lt=now - KEPT_FOR).delete()
