"""The lines under "Needs you": cause, extent, since when, and one thing to do, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import F, Max, Subquery, Value, aggregates
from django.db.models.functions import Coalesce, Greatest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orion_site.accounts.permissions import Action, may, who_asks
from orion_site.home.need import MOST_NAMED, Need, runs_at, runs_in_words
from orion_site.home.open_runs import OpenRun
from orion_site.home.setback_lines import set_back_lines
from orion_site.home.setbacks import Setback
from orion_site.home.stuck import WAITING_EVENTS, stuck_lines, waiting_lines
from orion_site.services.disks import disks
from orionflow.contract.names import quoted
from orionflow.contract.states import BAD, StateType, in_order
from runs.models import FlowRun, Problem
from runs.naming import listed
from runs.pages.selectors.failures import ErrorGroup, error_groups, with_guilty_tasks
from runs.pages.selectors.keyset import COUNT_CAP, Count
from runs.pages.selectors.usual import Usual
from runs.problems.selectors import as_seen
from runs.why.selectors.waiting import WaitingGroup

MOST_LINES = 7
# Errors fill the space that other lines leave; at least this many are shown.
ERRORS_IN_ANY_CASE = 3
DEADLINES_WITHIN = timedelta(hours=24)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cut:
    """Lines of one kind that are not shown, with a link to what they count."""

    cause: str
    words: str
    address: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The evidence that nothing needs attention: the last failure, and the number of runs that completed since."""

    last_failure: datetime | None
    completed: Count
    address: str


@dataclass(frozen=True, slots=True)
class Needs:
    """The lines that are shown, and the total number of lines."""

    lines: Sequence[Need]
    total: int
    proof: Proof | None
    cut: Sequence[Cut] = ()

    @property
    def hidden(self) -> int:
        return self.total - len(self.lines)


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of the period by cause, and the problems of these."""

    groups: Sequence[ErrorGroup]
    problems: Mapping[UUID | None, Problem]

    @property
    def flows(self) -> list[UUID]:
        return list(dict.fromkeys(run.flow_id for group in self.groups for run in group.runs))


def failures_of(*, since: datetime, tags: Sequence[str]) -> Failures:
    return Failures(*_open_groups(error_groups(since=since, tags=tags)))


def needs_of(
    *,
    failures: Failures,
    waiting: Sequence[WaitingGroup],
    running: Sequence[OpenRun],
    set_back: Sequence[Setback],
    usual: Usual,
    now: datetime,
    tags: Sequence[str],
    words: str,
) -> Needs:
    """Return the lines for a period; `words` is the period as in an address."""
    groups, problems = failures.groups, failures.problems
    others = [
        *_of_server(now),
        *set_back_lines(set_back, usual, now),
        *waiting_lines(waiting, now, tags),
        *stuck_lines(running, now, tags),
    ]
    room = max(MOST_LINES - len(others), ERRORS_IN_ANY_CASE)
    shown = with_guilty_tasks(groups[:room]) if groups else []
    errors = [_of_error(group, problems.get(group.problem), words, tags) for group in shown]
    lines = [*errors, *others][:MOST_LINES]
    total = len(groups) + len(others)
    cut = []
    if hidden := len(groups) - len(errors):
        query = {"state": "failed,crashed", "since": words, "tag": tags}
        cut.append(
            Cut(f"{hidden} more cause{'' if hidden == 1 else 's'} of failures", "all failed runs", runs_at(**query))
        )
    cut += _cut([one for one in others if one not in lines], tags)
    return Needs(lines, total, None if total else _proof(now), cut)


def _cut(needs: Sequence[Need], tags: Sequence[str]) -> Iterator[Cut]:
    """Yield one line for each kind of line that is not shown; only queues can have several with runs."""
    waiting = [one for one in needs if one.event in WAITING_EVENTS and one.runs]
    number = sum(len(one.runs) for one in waiting)
    if len(waiting) > 1 and number <= MOST_NAMED:
        ids = ",".join(str(run) for one in waiting for run in one.runs)
        yield Cut(f"Runs wait, for {len(waiting)} more reasons", runs_in_words(number), runs_at(id=ids))
    elif len(waiting) > 1:
        query = {"state": "waiting", "tag": tags}
        yield Cut(f"Runs wait, for {len(waiting)} more reasons", "all waiting runs", runs_at(**query))
    for one in needs if len(waiting) < 2 else [one for one in needs if one not in waiting]:
        yield Cut(one.cause, one.extent or "see more", one.address)


def _open_groups(groups: Sequence[ErrorGroup]) -> tuple[list[ErrorGroup], dict[UUID | None, Problem]]:
    """Leave out muted and resolved problems. Return the other groups, and their problems as far as these are counted.

    Regressed problems come first, then new ones.
    """
    found = Problem.objects.in_bulk({one.problem for one in groups if one.problem})
    problems: dict[UUID | None, Problem] = {problem_id: as_seen(one) for problem_id, one in found.items()}
    closed = {Problem.Status.MUTED, Problem.Status.RESOLVED}
    left = [one for one in groups if one.problem not in problems or problems[one.problem].status not in closed]
    order: dict[str, int] = {Problem.Status.REGRESSED: 0, Problem.Status.NEW: 1}
    return sorted(
        left, key=lambda one: order.get(problems[one.problem].status, 2) if one.problem in problems else 2
    ), problems


def _of_error(group: ErrorGroup, problem: Problem | None, words: str, tags: Sequence[str]) -> Need:
    number, names = len(group.runs), group.flow_names
    shown = listed(names)
    query = {"error": group.key, "since": words, "tag": tags}
    address = runs_at(**query)
    retried = sum(run.deployment_id is not None for run in group.runs)
    may_retry = number == 1 and group.newest.deployment_id is not None
    one = reverse("runs:run", args=[group.newest.id])
    return Need(
        cause=problem.title if problem else group.error,
        cause_address=reverse("runs:problem", args=[problem.pk]) if problem else "",
        extent=f"{runs_in_words(number)} · {shown}"
        + (f" · {problem.status}" if problem and problem.status != "ongoing" else ""),
        address=address,
        look="failed" if group.newest.state_type == StateType.FAILED else "crashed",
        state_type=group.newest.state_type,
        since=group.first,
        event="failed" if number == 1 else "first failed",
        detail=f"in {group.guilty.name}" if group.guilty else "",
        detail_address=reverse("runs:task-run", args=[group.guilty.pk]) if group.guilty else "",
        retry=group.newest.id if may_retry else None,
        action=f"Retry {retried}…" if retried > 1 else "See the run" if number == 1 else "See the newest",
        action_address=f"{reverse('runs:bulk', args=['retry'])}?{urlencode(query, doseq=True)}" if retried > 1 else one,
    )


def _of_server(now: datetime) -> Sequence[Need]:
    """Return what is wrong with the server; errors and paths only for those who may see its settings."""
    services = services_and_health(now=now)
    if may(who_asks(), Action.READ_SETTINGS):
        return [*_ailing(services), *_full_disks()]
    causes = {
        "A service fails": any(service.verdict != "well" for service in services),
        "A disk is nearly full": any(disk.is_nearly_full for disk in disks()),
    }
    extent = "Ask a user who may see the settings of the server"
    return [Need(cause, extent, "", "failed", "FAILED") for cause, holds in causes.items() if holds]


def _ailing(services: Sequence[ServiceHealth]) -> Iterator[Need]:
    for service in services:
        if service.verdict == "well":
            continue
        is_failing = service.verdict == "failing"
        error = service.record.last_error.strip().splitlines()
        yield Need(
            cause=f"Service {quoted(service.record.name)} {'fails' if is_failing else 'is not ticked'}",
            extent=error[-1] if is_failing and error else "",
            address=reverse("status"),
            look="failed",
            state_type="FAILED",
            since=service.record.last_error_at if is_failing else service.record.last_tick,
            event="last error" if is_failing else "last tick",
            action="See the services",
            action_address=reverse("status"),
        )


def _full_disks() -> Iterator[Need]:
    for disk in disks():
        if disk.is_nearly_full:
            yield Need(
                cause="The disk is nearly full",
                extent=f"{filesizeformat(disk.free)} free of {filesizeformat(disk.size)}",
                address=reverse("status"),
                look="failed",
                state_type="FAILED",
                fix=f"Make room at {disk.path}, or keep runs, logs and events for fewer days.",
                action="Delete what is old",
                action_address=reverse("admin:prune"),
            )


def _proof(now: datetime) -> Proof:
    """Count the runs that completed since the last failure. One query."""
    failed = [
        Subquery(
            FlowRun.objects.filter(state_type=one, expected_start_time__lte=now)
            .order_by("-expected_start_time")
            .values("expected_start_time")[:1]
        )
        for one in in_order(BAD)
    ]
    last = Greatest(*(Coalesce(one, Value(NEVER)) for one in failed))
    completed = FlowRun.objects.filter(state_type=StateType.COMPLETED.value, expected_start_time__lte=now)
    found = completed.annotate(last=last).filter(expected_start_time__gte=F("last")).order_by()
    counted = found.values("pk", "last")[: COUNT_CAP + 1].aggregate(number=aggregates.Count("pk"), failure=Max("last"))
    number, failure = counted["number"], counted["failure"]
    failure = None if failure == NEVER else failure
    query = {"state": "completed", **({"since": failure.isoformat()} if failure else {})}
    return Proof(failure, Count(min(number, COUNT_CAP), capped=number > COUNT_CAP), runs_at(**query))
