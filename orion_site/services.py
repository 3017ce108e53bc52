"""The services of a server: what is ticked, how often, and in which lane."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib import import_module

from django.conf import settings

from orion_site.ticker import Lane, Service


def services_of_this_server() -> list[Service]:
    return [*_quick(), *_slow()]


def service_named(name: str) -> Service:
    """Raises KeyError for a name that no service has."""
    return {service.name: service for service in services_of_this_server()}[name]


def _quick() -> list[Service]:
    """What somebody waits for."""
    from deployments.services.hints import hint_due_runs
    from deployments.services.lateness import mark_late_runs, watch_deadlines

    return [
        Service("hints", 1, hint_due_runs, "Tells agents of runs that are due, and again of those that still wait."),
        Service(
            "reconciliation",
            settings.ORION_RECONCILE_SECONDS,
            _later("deployments.services.dispatch.reconciler", "tick"),
            "Takes back the runs of agents that are gone.",
        ),
        Service("lateness", 5, _with_grace(mark_late_runs), "Marks runs late that nobody started in time."),
        Service("deadlines", 5, watch_deadlines, "Records which runs did not start or finish by their deadline."),
    ]


def _slow() -> list[Service]:
    """What may take a while, and what nobody notices a second later."""
    from deployments.services.held_slots import sweep_leases
    from runs.services.upkeep import clean_up_cancelled, fail_expired_pauses

    slow = Lane.SLOW
    return [
        Service(
            "planning",
            5,
            _later("deployments.services.planning", "plan_due_schedules"),
            "Plans the runs of schedules ahead of their time.",
            slow,
        ),
        Service("pause expiry", 5, fail_expired_pauses, "Fails paused runs that nobody resumed in time.", slow),
        Service(
            "cancellation clean-up", 20, clean_up_cancelled, "Cancels what is still open below a cancelled run.", slow
        ),
        Service("slots", 60, sweep_leases, "Forgets leases of slots that are over.", slow),
    ]


def _with_grace(mark: Callable[..., int]) -> Callable[[datetime], int]:
    return lambda now: mark(now, grace_seconds=settings.ORION_LATE_AFTER_SECONDS)


def _later(module: str, name: str) -> Callable[[datetime], object]:
    def tick(now: datetime) -> object:
        try:
            found = import_module(module)
        except ModuleNotFoundError:
            return None
        return getattr(found, name)(now)

    return tick
