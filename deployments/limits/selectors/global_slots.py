"""Which slots of global limits count: those whose time has not run out, and whose run's attempt goes on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, Sum

from deployments.models import GlobalSlot
from orionflow.contract.states import TERMINAL, in_order

_ENDED = in_order(TERMINAL)


def is_held(now: datetime) -> Q:
    """A slot goes with its attempt in the moment in which that ends: nothing has to be given back for it."""
    of_attempt = Q(flow_run__epoch=F("epoch")) & ~Q(flow_run__state_type__in=_ENDED)
    return Q(expires_at__gt=now) & (Q(flow_run__isnull=True) | of_attempt)


def slots_held(limit_ids: Collection[UUID], now: datetime) -> dict[UUID, int]:
    """How many slots named holders have, by limit."""
    if not limit_ids:
        return {}
    held = GlobalSlot.objects.filter(is_held(now), limit__in=limit_ids)
    return dict(held.values_list("limit_id").annotate(Sum("slots")).order_by())
