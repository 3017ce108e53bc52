"""All that is sealed, looked at together: how much each key opens, and sealing it again with the first one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from deployments.blocks.services.encryption import Unopenable, is_sealed_by_first_key, open_sealed, seal
from deployments.models import BlockDocument
from orchestration.transactions import repeated_on_conflict, write_transaction


@dataclass(frozen=True, slots=True)
class Seals:
    """How many secrets the first key opens, how many an older key does, and which no key does."""

    current: int
    older: tuple[UUID, ...]
    unopenable: tuple[str, ...]


def look_at_seals() -> Seals:
    current, older, lost = 0, [], []
    sealed = BlockDocument.objects.filter(sealed__isnull=False).order_by("pk").values_list("pk", "name", "sealed")
    for pk, name, content in sealed.iterator():
        if is_sealed_by_first_key(content or ""):
            current += 1
            continue
        try:
            open_sealed(content or "")
        except Unopenable:
            lost.append(name or str(pk))
        else:
            older.append(pk)
    return Seals(current, tuple(older), tuple(lost))


def reseal() -> Seals:
    """Seal with the first key what an older one opens; what was found before. What no key opens stays as it is."""
    found = look_at_seals()
    for pk in found.older:
        _reseal(pk)
    return found


@repeated_on_conflict
def _reseal(pk: UUID) -> None:
    with write_transaction():
        document = BlockDocument.objects.select_for_update(no_key=True).filter(pk=pk, sealed__isnull=False).first()
        # Somebody may have changed or deleted it meanwhile.
        if document is not None and document.sealed and not is_sealed_by_first_key(document.sealed):
            document.sealed = seal(open_sealed(document.sealed))
            document.save(update_fields=["sealed"])
