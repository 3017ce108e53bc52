"""Reconcile planned runs after a change: keep, reassign, update or delete them.

A planned run that no agent has taken stays as long as an active schedule of its deployment names its time, no matter
which schedule planned it. So a change leaves all other runs alone: those that a user moved stay moved, and those that a
user cancelled or deleted do not reappear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import inf
from typing import Any
from uuid import UUID

from django.db.models import F

from deployments.definitions.services.runs import DEADLINES, deadlines_of
from deployments.models import Deadline, Deployment, Schedule
from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.definitions import comparable
from deployments.schedules.core.timetable import named_among
from deployments.schedules.selectors import ExclusionsBySchedule, exclusions_of, left_out_of
from deployments.schedules.services.planned_runs import delete_planned_runs, key_of, of_planned, planned_run
from runs.models import FlowRun

# Columns that decide which times of a schedule get a run, besides its definition and its calendars.
LIMITS = ("ends_at", "max_runs", "max_scheduled_runs", "max_active_runs")
QUEUE = frozenset({"work_queue_id", "work_queue_name"})


@dataclass(frozen=True, slots=True)
class Plans:
    """A deployment with its schedules and their calendars at one moment, which decide about its planned runs."""

    deployment: Deployment
    schedules: Mapping[UUID, Schedule]
    calendars: Mapping[UUID, frozenset[UUID]]

    @classmethod
    def of(cls, deployment: Deployment) -> Plans:
        """Read the current plans, and lock the schedules. The caller has locked the deployment."""
        held = Schedule.objects.select_for_update(of=("self",)).filter(deployment=deployment).order_by("created", "pk")
        schedules = {one.pk: one for one in held}
        links = Schedule.calendars.through.objects.filter(schedule__in=schedules) if schedules else ()
        named: dict[UUID, set[UUID]] = {}
        for link in links:
            named.setdefault(link.schedule_id, set()).add(link.calendar_id)
        # A copy, because the caller then changes its object, and compares the plans.
        return cls(copy(deployment), schedules, {pk: frozenset(ids) for pk, ids in named.items()})

    @classmethod
    def of_new(cls, deployment: Deployment) -> Plans:
        return cls(copy(deployment), {}, {})

    def parameters_of(self, schedule: Schedule) -> tuple[bool, dict[str, Any]]:
        """Return the parameters of a schedule's runs, and whether the schedule sets some, so that it shares no runs."""
        return bool(schedule.parameters), {**self.deployment.parameters, **schedule.parameters}

    def planned(self, schedule_id: UUID | None) -> Schedule | None:
        """Return the schedule, if it and its deployment are active."""
        schedule = self.schedules.get(schedule_id) if schedule_id else None
        return schedule if schedule and schedule.active and not self.deployment.paused else None


@dataclass(frozen=True, slots=True)
class Changes:
    """Schedules by kind of change.

    Those that `started` name other times than before, or plan again. Those that were `limited` name the same times, and
    may plan more or fewer of them. Those that `ended` plan nothing any more.
    """

    started: frozenset[UUID]
    limited: frozenset[UUID]
    ended: frozenset[UUID]
    # Continuing schedules whose runs get other parameters.
    other_parameters: frozenset[UUID]

    @property
    def all(self) -> frozenset[UUID]:
        return self.started | self.limited | self.ended

    @classmethod
    def between(cls, before: Plans, after: Plans, moved_calendars: frozenset[UUID] = frozenset()) -> Changes:
        """Compare two moments. `moved_calendars` are schedules with a calendar whose events have changed."""
        now = {pk: one for pk in after.schedules if (one := after.planned(pk))}
        old = {pk: one for pk in before.schedules if (one := before.planned(pk))}
        started = {
            pk
            for pk, one in now.items()
            if pk not in old or comparable(one.definition) != comparable(old[pk].definition)
        }
        limited = {
            pk
            for pk, one in now.items()
            if pk in old
            and (
                pk in moved_calendars
                or any(getattr(one, name) != getattr(old[pk], name) for name in LIMITS)
                or after.calendars.get(pk) != before.calendars.get(pk)
            )
        }
        other_parameters = {
            pk for pk, one in now.items() if pk in old and before.parameters_of(old[pk]) != after.parameters_of(one)
        }
        gone = {pk for pk in before.schedules if pk not in now and (pk in old or pk not in after.schedules)}
        limited = (limited | other_parameters) - started
        return cls(frozenset(started), frozenset(limited), frozenset(gone), frozenset(other_parameters - started))


def reconcile(before: Plans, after: Plans, changes: Changes, now: datetime) -> None:
    """Adapt the planned runs that no agent has taken to the deployment and its schedules `after` a change.

    Missing runs are left to the planner.
    """
    is_paused_now = after.deployment.paused and not before.deployment.paused
    moved = changes.limited or changes.ended or changes.started & before.schedules.keys()
    if not (moved or is_paused_now or _columns_differ(before, after)):
        return
    waiting = _waiting_runs(after.deployment.pk, with_parameters=bool(changes.other_parameters))
    owners = Owners(after, changes, waiting, now)
    kept: dict[UUID, list[FlowRun]] = {}
    gone: list[FlowRun] = []
    for run in waiting:
        owner = owners.owner_of(run)
        if owner and owner.pk in changes.other_parameters and _is_replaced(run, owner, before, after, now):
            gone.append(run)
        elif owner:
            kept.setdefault(owner.pk, []).append(run)
        elif not _is_due(run, now) or _is_paused(run, after):
            gone.append(run)
    delete_planned_runs({run.pk: run.schedule_id for run in gone})
    _reassign(kept)
    _update_columns(before, after, kept, now)


def _is_replaced(run: FlowRun, owner: Schedule, before: Plans, after: Plans, now: datetime) -> bool:
    """Whether a future run is replaced by one with other parameters, because no user moved it or set its parameters."""
    if run.parameters == after.parameters_of(owner)[1]:
        return False
    schedule = before.schedules.get(run.schedule_id) if run.schedule_id else None
    if schedule is None or _is_due(run, now) or run.next_scheduled_start_time != run.expected_start_time:
        return False
    return bool(run.parameters == before.parameters_of(schedule)[1])


def _waiting_runs(deployment_id: UUID, *, with_parameters: bool) -> list[FlowRun]:
    """Lock and return the planned runs that no agent has taken, in the order of their times.

    This waits for an agent that is claiming a run; that run is then not among them.
    """
    waiting = of_planned(deployment_id).select_for_update()
    fields = ("pk", "schedule_id", "expected_start_time", "next_scheduled_start_time", "idempotency_key")
    return list(
        waiting.only(*fields, *(["parameters"] if with_parameters else [])).order_by("expected_start_time", "pk")
    )


def _is_due(run: FlowRun, now: datetime) -> bool:
    """Whether the run's time has come. It would not be planned again, so only a pause deletes it."""
    return run.next_scheduled_start_time is not None and run.next_scheduled_start_time <= now


def _is_paused(run: FlowRun, after: Plans) -> bool:
    schedule = after.schedules.get(run.schedule_id) if run.schedule_id else None
    return after.deployment.paused or (schedule is not None and not schedule.active)


class Owners:
    """Finds the schedule to which a run belongs after a change: its own, or another one that names its time."""

    def __init__(self, after: Plans, changes: Changes, waiting: Sequence[FlowRun], now: datetime) -> None:
        self._after = after
        self._changed = changes.all
        self._waiting = waiting
        self._now = now
        self._named: dict[UUID, frozenset[datetime]] = {}
        self._left: dict[UUID, float] = {}
        self._ahead: dict[UUID, float] = {}

    def owner_of(self, run: FlowRun) -> Schedule | None:
        own = self._after.planned(run.schedule_id)
        if own is not None and own.pk not in self._changed:
            return own
        others = (one for one in self._sharing if one is not own)
        candidates = [*([own] if own else []), *others]
        return next((one for one in candidates if self._takes(one, run)), None)

    @cached_property
    def _sharing(self) -> list[Schedule]:
        """Return the schedules without own parameters, whose runs are the same for each of them."""
        return [one for pk in self._after.schedules if (one := self._after.planned(pk)) and not one.parameters]

    @cached_property
    def _exclusions(self) -> ExclusionsBySchedule:
        return exclusions_of(list(self._after.schedules.values()) if self._after.calendars else [])

    def _takes(self, schedule: Schedule, run: FlowRun) -> bool:
        at = run.expected_start_time
        if at is None or run.idempotency_key != key_of(schedule, at):
            return False
        is_planned = schedule.pk in self._changed or (schedule.planned_until or at) >= at
        # With a limit of planned runs, the planner reaches times beyond the cursor later.
        is_wanted = is_planned or schedule.max_scheduled_runs is None
        return is_wanted and at in self._times_of(schedule) and self._has_room(schedule, run)

    def _times_of(self, schedule: Schedule) -> frozenset[datetime]:
        if schedule.pk not in self._named:
            self._named[schedule.pk] = self._named_by(schedule)
        return self._named[schedule.pk]

    def _named_by(self, schedule: Schedule) -> frozenset[datetime]:
        """Return the times of waiting runs that the schedule names; all of them if its definition cannot be read."""
        moments = {run.expected_start_time for run in self._waiting if run.expected_start_time}
        try:
            timetable = read_definition(schedule.definition)
            left_out = left_out_of(timetable, self._exclusions.of(schedule))
            found = named_among(timetable, sorted(moments))
            return frozenset(
                at
                for at in found
                if (schedule.ends_at is None or at <= schedule.ends_at) and not (left_out and left_out(at))
            )
        except ScheduleError:
            return frozenset(moments)

    def _has_room(self, schedule: Schedule, run: FlowRun) -> bool:
        """Count the run towards the schedule's limits. Return whether both limits leave room for it."""
        left, ahead = self._left_of(schedule), self._ahead_of(schedule)
        is_ahead = not _is_due(run, self._now)
        if left < 1 or (is_ahead and ahead < 1):
            return False
        self._left[schedule.pk] = left - 1
        self._ahead[schedule.pk] = ahead - is_ahead
        return True

    def _left_of(self, schedule: Schedule) -> float:
        if schedule.pk not in self._left:
            own = sum(run.schedule_id == schedule.pk for run in self._waiting) if schedule.pk in self._changed else 0
            limit = schedule.max_runs
            self._left[schedule.pk] = inf if limit is None else limit - schedule.runs_planned + own
        return self._left[schedule.pk]

    def _ahead_of(self, schedule: Schedule) -> float:
        limit = schedule.max_scheduled_runs
        return self._ahead.get(schedule.pk, inf if limit is None else limit)


def _reassign(kept: Mapping[UUID, Sequence[FlowRun]]) -> None:
    for schedule_id, runs in kept.items():
        came = [run for run in runs if run.schedule_id != schedule_id]
        if not came:
            continue
        FlowRun.objects.filter(pk__in=[run.pk for run in came]).update(schedule_id=schedule_id)
        Schedule.objects.filter(pk=schedule_id).update(runs_planned=F("runs_planned") + len(came))
        for old_id, number in Counter(run.schedule_id for run in came if run.schedule_id).items():
            # Never below zero, which the column refuses.
            Schedule.objects.filter(pk=old_id, runs_planned__gte=number).update(runs_planned=F("runs_planned") - number)


def _columns_differ(before: Plans, after: Plans) -> bool:
    """Whether planned runs would get other columns now."""
    if any(getattr(before.deployment, name) != getattr(after.deployment, name) for name in DEADLINES.values()):
        return True
    return any(
        _columns(before, before.schedules[pk]) != _columns(after, one)
        for pk, one in after.schedules.items()
        if pk in before.schedules
    )


def _columns(plans: Plans, schedule: Schedule) -> dict[str, Any]:
    run = planned_run(plans.deployment, schedule)
    return {**run.columns(), "empirical_policy": run.empirical_policy}


def _update_columns(before: Plans, after: Plans, kept: Mapping[UUID, Sequence[FlowRun]], now: datetime) -> None:
    """Give future runs the new columns of their deployment, where they still have the old values.

    A column that a user changed for one run stays. A run that is due keeps everything except its queue.
    """
    for schedule_id, runs in kept.items():
        schedule = after.schedules[schedule_id]
        old, new = _columns(before, before.schedules.get(schedule_id, schedule)), _columns(after, schedule)
        changed = {name for name in new if old[name] != new[name]}
        due = [run.pk for run in runs if _is_due(run, now)]
        ahead = [run.pk for run in runs if not _is_due(run, now)]
        _replace(due, old, {name: new[name] for name in changed & QUEUE})
        _replace(ahead, old, {name: new[name] for name in changed})
        if any(getattr(before.deployment, name) != getattr(after.deployment, name) for name in DEADLINES.values()):
            Deadline.objects.filter(flow_run__in=ahead).delete()
            times = [(run.pk, run.expected_start_time) for run in runs if run.pk in set(ahead)]
            Deadline.objects.bulk_create(deadlines_of(times, after.deployment))


def _replace(runs: Sequence[UUID], old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    if not runs or not new:
        return
    names = sorted(new)
    # By the columns that still have the old value: usually all of them, and then there is one statement.
    groups: dict[tuple[str, ...], list[UUID]] = {}
    for pk, *values in FlowRun.objects.filter(pk__in=runs).values_list("pk", *names):
        given = tuple(name for name, value in zip(names, values, strict=True) if value == old[name])
        groups.setdefault(given, []).append(pk)
    for given, ids in groups.items():
        if given:
            FlowRun.objects.filter(pk__in=ids).update(**{name: new[name] for name in given})
