"""Change a setting for all servers while they run, and reset it. Each change is an event."""

from __future__ import annotations

from datetime import datetime

from deployments.errors import BadSetting, SettingNotFound
from deployments.models import ChangedSetting
from deployments.upkeep.current_settings import CHANGEABLE, current, forget
from events.recording.record import record_event
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.kinds import RESOURCE_ID


@repeated_on_conflict
def change_setting(*, name: str, value: int, author: str, now: datetime) -> None:
    bounds = CHANGEABLE.get(name)
    if bounds is None:
        raise SettingNotFound(id=name)
    if not bounds.least <= value <= bounds.most:
        raise BadSetting(reason=f"{name} may be {bounds.least} to {bounds.most} {bounds.unit}, not {value}.")
    with write_transaction():
        before = _fresh(name)
        ChangedSetting.objects.update_or_create(name=name, defaults={"value": value, "changed": now, "author": author})
        _record("changed", name, before=before, after=value, author=author, now=now)
    forget()


@repeated_on_conflict
def reset_setting(*, name: str, author: str, now: datetime) -> None:
    """Reset the setting to the value in the environment."""
    if name not in CHANGEABLE:
        raise SettingNotFound(id=name)
    with write_transaction():
        before = _fresh(name)
        if not ChangedSetting.objects.filter(pk=name).delete()[0]:
            return
        _record("reset", name, before=before, after=_fresh(name), author=author, now=now)
    forget()


def _fresh(name: str) -> int:
    forget()
    return current(name)


def _record(what: str, name: str, *, before: int, after: int, author: str, now: datetime) -> None:
    resource = {RESOURCE_ID: f"orion.setting.{name}", "prefect.resource.name": name}
    record_event(
        f"orion.setting.{what}", resource=resource, payload={"before": before, "after": after, "by": author}, now=now
    )
