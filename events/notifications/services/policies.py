"""Notification policies: create, change and delete them. Missing blocks and unknown placeholders are refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.errors import BlockDocumentNotFound
from deployments.models import BlockDocument
from events.automations.core.message_templates import BadTemplate, check_template
from events.automations.errors import BadMessageTemplate, PolicyNotFound
from events.models import NotificationPolicy
from orchestration.new_ids import refuse_made
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7


@repeated_on_conflict
def create_policy(*, columns: Mapping[str, Any], now: datetime, id: UUID | None = None) -> NotificationPolicy:
    """Create a policy; with this id, once. Raises BadMessageTemplate, UnreadableName and MadeAlready."""
    refuse_invalid(columns)
    refuse_unreadable(columns.get("name"))
    with write_transaction():
        refuse_made(NotificationPolicy, id, "a policy")
        _check_block(columns)
        policy = NotificationPolicy(**columns, id=id or uuid7(), created=now)
        policy.save(force_insert=True)
        return policy


def update_policy(*, policy_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    refuse_invalid(changes)
    name = changes.get("name")
    refuse_unreadable(name, unless=NotificationPolicy.objects.filter(pk=policy_id, name=name))
    with write_transaction():
        _check_block(changes)
        if not NotificationPolicy.objects.filter(pk=policy_id).update(**changes, updated=now):
            raise PolicyNotFound


def delete_policy(*, policy_id: UUID) -> None:
    """Delete a policy with its unsent messages."""
    with write_transaction():
        deleted, _ = NotificationPolicy.objects.filter(pk=policy_id).delete()
        if not deleted:
            raise PolicyNotFound


def refuse_invalid(columns: Mapping[str, Any]) -> None:
    """Refuse a template that cannot be filled."""
    try:
        check_template(columns.get("message_template") or "")
    except BadTemplate as error:
        raise BadMessageTemplate(reason=error) from None


def _check_block(columns: Mapping[str, Any]) -> None:
    asked = columns.get("block_document_id")
    if asked is not None and not BlockDocument.objects.filter(pk=asked).exists():
        raise BlockDocumentNotFound(id=asked)
