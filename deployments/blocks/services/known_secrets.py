"""Learn what is sealed, so that this process can mask it in whatever is reported to it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Max
from django.db.models.functions import Coalesce

from deployments.blocks.core.blocks import hidden_values
from deployments.blocks.services.encryption import Unopenable, flaw_of_keys, open_sealed
from deployments.models import BlockDocument
from orionflow.contract.masking import known

_seen: tuple[int, datetime | None] = (0, None)


def learn_secrets(now: datetime) -> None:
    """Learn secrets that other servers have sealed since the last call."""
    global _seen
    sealed = BlockDocument.objects.filter(sealed__isnull=False)
    newest = sealed.aggregate(count=Count("pk"), newest=Max(Coalesce("updated", "created")))
    stamp = (newest["count"], newest["newest"])
    if stamp == _seen or flaw_of_keys() is not None:
        return
    for shown, content in sealed.order_by("pk").values_list("content", "sealed").iterator():
        try:
            known.learn(hidden_values(shown, open_sealed(content or "")))
        except Unopenable:
            continue
    _seen = stamp
