"""The lines under "Needs you": cause, extent, since when, and one thing to do, the most urgent first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import F, Max, Subquery, Value, aggregates
from django.db.models.functions import Coalesce, Greatest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orion_site.accounts.permissions import Action, may, may_in_part, who_asks
from orion_site.home.open_runs import OpenRun
from orion_site.home.setbacks import LOOKED_AT as SETBACKS_LOOKED_AT
from orion_site.home.setbacks import Kind, Setback
from orion_site.services.disks import disks
from orionflow.contract.names import quoted
from orionflow.contract.states import BAD, StateType, in_order
from runs.models import FlowRun, Problem
from runs.naming import listed
from runs.pages.selectors.failures import ErrorGroup, error_groups, with_guilty_tasks
from runs.pages.selectors.keyset import COUNT_CAP, Count
from runs.pages.selectors.usual import Usual
from runs.periods import period_text
from runs.problems.selectors import as_seen
from runs.why.selectors.waiting import WaitingGroup

MOST_LINES = 7
# Errors fill the space that other lines leave; at least this many are shown.
ERRORS_IN_ANY_CASE = 3
# What should take seconds counts as stuck after this time.
STUCK_AFTER = timedelta(minutes=5)
# Where the usual duration of a run is not known, or has passed, its deadline is at risk this long before.
DUE_SOON = timedelta(minutes=10)
DEADLINES_WITHIN = timedelta(hours=24)
# An address lists at most this many ids.
MOST_NAMED = 200
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = timedelta()
WAITING_EVENTS = ("due", "the first due")


@dataclass(frozen=True, slots=True)
class Need:
    """One line. `address`, if any, leads to exactly the runs that it counts; a button retries the one run `retry`."""

    cause: str
    extent: str
    address: str
    look: str
    state_type: str
    # A time, and the label before it, such as "first failed".
    since: datetime | None = None
    event: str = ""
    detail: str = ""
    detail_address: str = ""
    cause_address: str = ""
    retry: UUID | None = None
    command: str = ""
    fix: str = ""
    action: str = ""
    action_address: str = ""
    # The runs that it counts, if it counts runs.
    runs: Sequence[UUID] = ()


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
        *_set_back(set_back, usual, now),
        *_waiting(waiting, now, tags),
        *_stuck(running, now, tags),
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
            Cut(f"{hidden} more cause{'' if hidden == 1 else 's'} of failures", "all failed runs", _runs(**query))
        )
    cut += _cut([one for one in others if one not in lines], tags)
    return Needs(lines, total, None if total else _proof(now), cut)


def _cut(needs: Sequence[Need], tags: Sequence[str]) -> Iterator[Cut]:
    """Yield one line for each kind of line that is not shown; only queues can have several with runs."""
    waiting = [one for one in needs if one.event in WAITING_EVENTS and one.runs]
    number = sum(len(one.runs) for one in waiting)
    if len(waiting) > 1 and number <= MOST_NAMED:
        ids = ",".join(str(run) for one in waiting for run in one.runs)
        yield Cut(f"Runs wait, for {len(waiting)} more reasons", _runs_in_words(number), _runs(id=ids))
    elif len(waiting) > 1:
        query = {"state": "waiting", "tag": tags}
        yield Cut(f"Runs wait, for {len(waiting)} more reasons", "all waiting runs", _runs(**query))
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
    address = _runs(**query)
    retried = sum(run.deployment_id is not None for run in group.runs)
    may_retry = number == 1 and group.newest.deployment_id is not None
    one = reverse("runs:run", args=[group.newest.id])
    return Need(
        cause=problem.title if problem else group.error,
        cause_address=reverse("runs:problem", args=[problem.pk]) if problem else "",
        extent=f"{_runs_in_words(number)} · {shown}"
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


def _waiting(groups: Sequence[WaitingGroup], now: datetime, tags: Sequence[str]) -> Iterator[Need]:
    """Yield groups of runs that are held back; runs that are due only for a moment are left out."""
    for group in sorted(groups, key=lambda one: len(one.runs), reverse=True):
        if not group.is_late(now):
            continue
        reason = group.reason
        if reason is not None:
            cause = reason.text.partition(": ")[0]
            fix, command = ("", reason.command) if reason.command else (reason.fix or "", "")
        else:
            served = f"work queue {quoted(group.queue.name)}" if group.queue else "these runs"
            cause = f"The agents of {served} have not taken what is due"
            fix, command = "See what the agents are doing.", ""
        query = {"queue": str(group.queue.pk)} if group.queue else {"queue": f"none,{group.oldest.deployment_id or ''}"}
        number = len(group.runs)
        yield Need(
            cause=cause.rstrip("."),
            extent=f"{_runs_in_words(number)} {'waits' if number == 1 else 'wait'}",
            address=_runs(state="waiting", **query, tag=tags),
            look="late",
            state_type="SCHEDULED",
            since=group.since,
            event="due" if number == 1 else "the first due",
            command=command,
            fix=fix,
            action="See why",
            action_address=reverse("runs:run", args=[group.oldest.pk]),
            runs=[run.pk for run in group.runs],
        )


def _stuck(running: Sequence[OpenRun], now: datetime, tags: Sequence[str]) -> Iterator[Need]:
    paused = [run for run in running if run.state_type == StateType.PAUSED]
    silent = [run for run in running if run.lease_expires_at is not None and run.lease_expires_at <= now]
    starting = [run for run in _old(running, StateType.PENDING, now) if run not in silent]
    stopping = [run for run in _old(running, StateType.CANCELLING, now) if run not in silent]
    yield from _stuck_line(silent, "The agent has gone silent", "running", "running", tags)
    yield from _stuck_line(stopping, "Asked to stop, and has not stopped", "cancelling", "cancelling", tags)
    yield from _stuck_line(starting, "About to start, and does not", "pending", "pending", tags)
    for line in _stuck_line(paused, "Waits until it is resumed", "paused", "paused", tags):
        yield _to_be_resumed(line, len(paused))


def _to_be_resumed(line: Need, number: int) -> Need:
    if not may(who_asks(), Action.CHANGE_RUNS) and not may_in_part(who_asks(), Action.CHANGE_RUNS):
        return line
    # The page of the run has the form of a pause that asks for input, or a button.
    verb = "Resume it…" if number == 1 else "Resume the oldest…"
    return replace(line, action=verb, action_address=f"{line.action_address}#answer")


def _old(running: Sequence[OpenRun], state_type: StateType, now: datetime) -> list[OpenRun]:
    return [
        run
        for run in running
        if run.state_type == state_type and run.state_timestamp and run.state_timestamp < now - STUCK_AFTER
    ]


def _stuck_line(found: Sequence[OpenRun], cause: str, look: str, state: str, tags: Sequence[str]) -> Iterator[Need]:
    if not found:
        return
    oldest = min(found, key=lambda run: (run.state_timestamp is None, run.state_timestamp))
    # Other runs in the same state are not stuck. Very many are not named one by one, so that the page stays small.
    if len(found) <= MOST_NAMED:
        address = _runs(id=",".join(str(run.id) for run in found))
    else:
        address = _runs(state=state, tag=tags)
    yield Need(
        cause=cause,
        extent=_runs_in_words(len(found)),
        address=address,
        look=look,
        state_type=oldest.state_type,
        since=oldest.state_timestamp,
        event="last change",
        action="See it" if len(found) == 1 else "See the oldest",
        action_address=reverse("runs:run", args=[oldest.id]),
    )


def is_at_risk(one: Setback, usual: Usual, now: datetime) -> bool:
    """Whether a deadline will probably be missed: the usual duration of its run does not fit into the time left."""
    if one.kind == Kind.START:
        return (one.planned is None or one.planned <= now) and one.at <= now + DUE_SOON
    duration = usual.of(one)
    if duration is not None and one.earliest_end(duration, now) > one.at:
        return True
    is_overdue = duration is None or one.earliest_end(duration, now) <= now
    return is_overdue and one.at <= now + DUE_SOON


def _set_back(found: Sequence[Setback], usual: Usual, now: datetime) -> Iterator[Need]:
    for kind, goal in ((Kind.START, "start"), (Kind.FINISH, "finish")):
        deadlines = [one for one in found if one.kind == kind]
        if missed := [one for one in deadlines if one.over is not None]:
            yield _of_deadlines(missed, f"Missed its deadline to {goal}")
        coming = sorted((one for one in deadlines if one.over is None and one.at > now), key=lambda one: one.at)
        if at_risk := [one for one in coming if is_at_risk(one, usual, now)]:
            yield _of_deadlines(at_risk, f"May miss its deadline to {goal}", _forecast(at_risk[0], usual, now))
    for kind, of_kind in ((Kind.ACTION, _of_automation), (Kind.MESSAGE, _of_block)):
        grouped: defaultdict[UUID, list[Setback]] = defaultdict(list)
        for one in found:
            if one.kind == kind:
                grouped[one.subject].append(one)
        # If the automation or block succeeded after its last failure, nothing is reported.
        yield from (of_kind(group) for group in grouped.values() if group[0].at == group[0].last)


def _of_automation(failed: Sequence[Setback]) -> Need:
    page = reverse("events:automation", args=[failed[0].subject])
    return _of_failures(
        failed,
        cause=f"Automation {quoted(failed[0].name)} fails",
        noun="action",
        address=f"{page}?{urlencode({'outcome': 'failed', 'since': failed[-1].at.isoformat()})}",
        action="See the automation",
        action_address=page,
    )


def _of_block(given_up: Sequence[Setback]) -> Need:
    query = {"standing": "GIVEN_UP", "block": given_up[0].subject, "since": given_up[-1].at.isoformat()}
    return _of_failures(
        given_up,
        cause=f"Messages through {quoted(given_up[0].name)} are not delivered",
        noun="message",
        address=f"{reverse('events:notifications')}?{urlencode(query)}",
        action="Check the block",
        action_address=reverse("deployments:block", args=[given_up[0].subject]),
    )


def _of_failures(
    failed: Sequence[Setback], *, cause: str, noun: str, address: str, action: str, action_address: str
) -> Need:
    number = f"{len(failed)}{'+' if len(failed) >= SETBACKS_LOOKED_AT else ''}"
    error = next(iter(failed[0].error.strip().splitlines()), "")
    return Need(
        cause=cause,
        address=address,
        extent=f"{number} {noun}{'' if len(failed) == 1 else 's'}",
        look="failed",
        state_type="FAILED",
        since=failed[-1].at,
        event="" if len(failed) == 1 else "the first",
        fix=error[:160],
        action=action,
        action_address=action_address,
    )


def _forecast(first: Setback, usual: Usual, now: datetime) -> str:
    """Say why the first deadline is at risk, if that is known from earlier runs."""
    duration = usual.of(first)
    if first.kind == Kind.START or duration is None:
        return ""
    beyond = first.earliest_end(duration, now) - first.at
    return f"usually takes {period_text(duration)}" + (f", {period_text(beyond)} too long" if beyond > ZERO else "")


def _of_deadlines(found: Sequence[Setback], cause: str, fix: str = "") -> Need:
    names = list(dict.fromkeys(one.name for one in found))
    # An address names so many runs at most, and the number beside it is that of its list.
    is_cut, found = len(found) > MOST_NAMED, found[:MOST_NAMED]
    ids = ",".join(str(one.subject) for one in found)
    newest = reverse("runs:run", args=[found[0].subject])
    return Need(
        cause=cause,
        extent=f"{'The first ' if is_cut else ''}{_runs_in_words(len(found))} · {', '.join(names[:3])}",
        fix=fix,
        address=_runs(id=ids) if len(found) > 1 else newest,
        look="late",
        state_type="SCHEDULED",
        since=min(one.at for one in found),
        event="due",
        action="See the run" if len(found) == 1 else "See the newest" if found[0].over else "See the next",
        action_address=newest,
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
    return Proof(failure, Count(min(number, COUNT_CAP), capped=number > COUNT_CAP), _runs(**query))


def _runs(**query: str | Sequence[str]) -> str:
    return f"{reverse('runs:runs')}?{urlencode(query, doseq=True)}"


def _runs_in_words(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"
