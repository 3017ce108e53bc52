"""The services of a server: what runs, how often, and in which thread."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from deployments.archive.services import archive_age, archive_runs, sparing_restored
from deployments.backfills.services.making import make_runs_of_backfills
from deployments.blocks.services.known_secrets import learn_secrets
from deployments.definitions.services.statuses import record_statuses
from deployments.dispatch.services import reconciler
from deployments.dispatch.services.dead_processes import cancel_unserved_runs, crash_runs_of_dead_processes
from deployments.dispatch.services.hints import hint_due_runs
from deployments.dispatch.services.lateness import mark_late_runs, watch_deadlines
from deployments.limits.services.held_slots import sweep_leases
from deployments.schedules.services.planning import plan_due_schedules
from deployments.upkeep.current_settings import current
from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import retain
from events.automations.services.actions import do_actions
from events.automations.services.evaluation import judge_events
from events.notifications.services.notifications import send_notifications
from orchestration.database_clock import database_now
from orchestration.one_by_one import FirstError
from orion_site.audit.retention import remove_days
from orion_site.database.upkeep import tidy_database
from orion_site.services.ticker import Service, ServiceThread
from orionflow.processes import is_gone
from runs.background_tasks.services import offer_abandoned_calls
from runs.bulk_actions.services import work_on_bulk_actions
from runs.problems.services.counting import work_on_problems
from runs.roll_ups.services import add_up
from runs.upkeep import clean_up_cancelled, fail_expired_pauses


def services_of_this_server() -> list[Service]:
    return [*_quick(), *_slow(), *_long(), *_outside()]


def services_of_an_api() -> list[Service]:
    """Return the services that every server with agents runs, even if other processes run the rest."""
    every, purpose = (
        reconciler.seconds_between_api_heartbeats(),
        "Records that a server is there to receive the heartbeats of agents. Every server of the API runs it.",
    )
    return [
        Service(reconciler.API_PRESENCE, every, reconciler.record_api_heartbeat, purpose, ServiceThread.PRESENCE),
        Service(
            "secrets",
            2,
            learn_secrets,
            "Learns which secrets to mask in reports. Every server of the API runs it.",
            ServiceThread.SLOW,
        ),
    ]


def descriptions_of_services() -> dict[str, str]:
    return {service.name: service.description for service in [*services_of_an_api(), *services_of_this_server()]}


def service_named(name: str) -> Service:
    """Return a service by its name. Raises KeyError for an unknown one."""
    return {service.name: service for service in services_of_this_server()}[name]


def _quick() -> list[Service]:
    """Return services whose results users wait for."""
    return [
        Service(
            "hints",
            1,
            hint_due_runs,
            "Sends agents with free capacity a hint for each due run, and repeats it for runs that still wait.",
        ),
        Service(
            reconciler.SERVICE,
            settings.ORION_RECONCILE_SECONDS,
            reconciler.tick,
            "Revokes the runs of agents whose leases have run out.",
        ),
        Service("backfills", 2, make_runs_of_backfills, "Creates the runs of backfills, a few at a time."),
        Service(
            "lateness",
            5,
            _mark_late,
            "Marks runs late that were not started in time. Retries and resumed runs are never late.",
        ),
        Service("deadlines", 5, watch_deadlines, "Records runs that missed a deadline as events."),
    ]


def _slow() -> list[Service]:
    """Return services that may take a while, or whose delay by a second does not matter."""
    slow = ServiceThread.SLOW
    return [
        Service("planning", 5, plan_due_schedules, "Plans the runs of schedules ahead of time.", slow),
        Service(
            "crash detection",
            5,
            _crash_vanished,
            "Crashes runs of programs on this machine whose process no longer exists.",
            slow,
        ),
        Service(
            "statuses",
            10,
            record_statuses,
            "Records as events when queues, pools and deployments become ready or stop being ready.",
            slow,
        ),
        Service("triggers", 2, judge_events, "Decides which automations are triggered by new events.", slow),
        Service("actions", 2, do_actions, "Carries out the actions of triggered automations.", slow),
        Service("bulk actions", 1, work_on_bulk_actions, "Carries out bulk actions, some runs at a time.", slow),
        Service(
            "problems", 2, work_on_problems, "Groups failures by cause, and closes problems that no longer occur.", slow
        ),
        Service("roll-ups", 2, add_up, "Adds up the counts of runs that pages and histories show.", slow),
        Service("slot clean-up", 60, _sweep, "Removes expired slots of global limits.", slow),
        Service("pause expiry", 5, fail_expired_pauses, "Fails paused runs that were not resumed in time.", slow),
        Service(
            "cancellation clean-up",
            20,
            _clean_up,
            "Cancels what is still open below a cancelled run, and cancelling runs that no agent holds or serves.",
            slow,
        ),
        Service(
            "task calls",
            30,
            offer_abandoned_calls,
            "Offers calls of tasks again that a worker took and did not start, if it has not been connected for 30 s.",
            slow,
        ),
    ]


def _outside() -> list[Service]:
    """Return services that wait for servers of third parties, in a thread of their own."""
    outside = ServiceThread.OUTSIDE
    return [Service("notifications", 4, send_notifications, "Sends the messages of notification policies.", outside)]


def _long() -> list[Service]:
    """Return services that run every hour, and may take long."""
    hour, long = 3600.0, ServiceThread.LONG
    return [
        Service(
            "retention",
            hour,
            _retain,
            "Archives and deletes data that is older than the settings allow.",
            long,
            first_after=600,
        ),
        Service(
            "database upkeep",
            hour,
            tidy_database,
            "Writes SQLite's log back and updates planner statistics; on PostgreSQL, creates the coming partitions.",
            long,
            first_after=300,
        ),
    ]


def retention_ages() -> Ages:
    """Return the retention ages of the settings; 0 days means forever."""
    runs, logs, events = (
        timedelta(days=number) if number else None
        for number in (
            current("ORION_RETENTION_DAYS_RUNS"),
            current("ORION_RETENTION_DAYS_LOGS"),
            current("ORION_RETENTION_DAYS_EVENTS"),
        )
    )
    return Ages(runs, logs, events, archived=archive_age() is not None)


def _sweep(now: datetime) -> object:
    """Delete expired leases by the clock that dated them, because this server's own may differ."""
    return sweep_leases(database_now())


def _retain(now: datetime) -> object:
    if days := current("ORION_RETENTION_DAYS_AUDIT"):
        remove_days(older_than=timedelta(days=days), now=now)
    ages = retention_ages()
    if (age := archive_age()) is not None:
        # Runs that cannot be archived must not be deleted, so an unreachable archive is an error of this service.
        archive_runs(older_than=min(age, ages.runs or age), now=now)
    return retain(ages=sparing_restored(ages, now), now=now)


def _clean_up(now: datetime) -> int:
    first, number = FirstError(), 0
    with first.of_one("Cancelling runs without an agent"):
        number += cancel_unserved_runs(now)
    number += clean_up_cancelled(now)
    first.raise_any()
    return number


def _mark_late(now: datetime) -> int:
    return mark_late_runs(now, grace_seconds=current("ORION_LATE_AFTER_SECONDS"))


class CrashDetection:
    """Remembers since when this process runs services: processes that ended before may still be reported."""

    def __init__(self) -> None:
        self._began: datetime | None = None

    def __call__(self, now: datetime) -> int:
        began = self._began = self._began or now
        is_early = now - began < timedelta(seconds=current("ORION_CRASH_GRACE_SECONDS"))
        return crash_runs_of_dead_processes(now, is_gone=is_gone, made_after=began if is_early else None)


_crash_vanished = CrashDetection()
