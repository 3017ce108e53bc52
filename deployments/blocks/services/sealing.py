"""All seals of the installation: how many each key opens, and sealing everything again with the first key."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from deployments.blocks.services.encryption import (
    Unopenable,
    add_key,
    is_sealed_by_first_key,
    open_sealed,
    retire_keys,
    seal,
    seconds_since_new_key,
)
from deployments.models import BlockDocument
from orchestration.transactions import repeated_on_conflict, write_transaction


@dataclass(frozen=True, slots=True)
class Seals:
    """The number of secrets that the first key opens, those that an older key opens, and those that no key opens."""

    current: int
    older: tuple[UUID, ...]
    unopenable: tuple[str, ...]


def look_at_seals() -> Seals:
    """Find out which key opens each seal, without changing any."""
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
    """Seal with the first key what an older one sealed. Return the seals found before. Seals that no key opens stay."""
    found = look_at_seals()
    for pk in found.older:
        _reseal(pk)
    return found


# Seconds after which every transaction that used the previous key has been committed, or ended by the database.
SETTLED_SECONDS = 60.0


class StillInUse(Exception):
    """Older keys cannot be removed yet. The message says why."""


def rotate() -> Seals:
    """Seal everything with a new key while readers and writers continue; or finish a rotation that was interrupted.

    Older keys are kept and open what they sealed, so that everything stays readable. Raises KeysOfEnvironment.
    """
    if not look_at_seals().older:
        add_key()
    return reseal()


def retire() -> int:
    """Remove the older keys if nothing needs them, and return their number. Raises StillInUse and KeysOfEnvironment."""
    if lost := reseal().unopenable:
        raise StillInUse(f"{len(lost)} secrets are opened by no key; look for theirs, or set them again.")
    waiting = SETTLED_SECONDS - seconds_since_new_key()
    if waiting > 0:
        raise StillInUse(f"Somebody may still write with the key before this one; try again in {waiting:.0f} s.")
    if look_at_seals().older:
        raise StillInUse("Somebody seals with an older key: give every server the same keys.")
    return retire_keys()


@repeated_on_conflict
def _reseal(pk: UUID) -> None:
    with write_transaction():
        document = BlockDocument.objects.select_for_update(no_key=True).filter(pk=pk, sealed__isnull=False).first()
        # Another process may have changed or deleted it meanwhile.
        if document is not None and document.sealed and not is_sealed_by_first_key(document.sealed):
            document.sealed = seal(open_sealed(document.sealed))
            document.save(update_fields=["sealed"])
