"""Why a run is in its state: what it waits for, because of which runs, and the rules that led to each of its states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Any, Literal
from uuid import UUID

from deployments.models import Schedule
from orionflow.contract.names import quoted
from orionflow.contract.states import BETWEEN_ATTEMPTS, EXECUTING, LATE, TERMINAL, UNFINISHED
from runs.inputs.selectors import WantedInput, wanted_input
from runs.models import FlowRun, FlowRunState, StateRow, TaskRun
from runs.naming import listed
from runs.states.selectors import states_of_task_run
from runs.why.selectors.blockers import Reason, deadlines_of, full_limits, moment_text, overlapping_runs
from runs.why.selectors.cache import cache_reasons
from runs.why.selectors.queue_blockers import agent_of, queue_blockers

# The most states that are shown, the newest ones: they explain more than the oldest.
LONGEST_HISTORY = 1000
FIELDS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Why:
    """A run's state, the reasons for it, its history, and the last proposal that was refused."""

    run_id: UUID
    kind: Literal["flow-run", "task-run"]
    run: FlowRun | TaskRun
    state: Any
    moving: bool
    reasons: Sequence[Reason]
    history: Sequence[Any]
    refusal: dict[str, Any] | None


def why_flow_run(*, run_id: UUID, now: datetime) -> Why | None:
    run = FlowRun.objects.filter(pk=run_id).first()
    if run is None:
        return None
    history = _newest(FlowRunState.objects.filter(flow_run=run_id))
    state = history[-1] if history else None
    return Why(
        run_id, "flow-run", run, state, _moves(run), list(flow_run_reasons(run, state, now)), history, run.refusal
    )


def why_task_run(*, run_id: UUID, now: datetime) -> Why | None:
    run = TaskRun.objects.select_related("flow_run").filter(pk=run_id).first()
    if run is None:
        return None
    history = states_of_task_run(run)[-LONGEST_HISTORY:]
    state = history[-1] if history else None
    return Why(
        run_id, "task-run", run, state, _moves(run), list(task_run_reasons(run, state, now)), history, run.refusal
    )


def _newest(rows: Any) -> list[Any]:
    return list(reversed(rows.order_by("-seq")[:LONGEST_HISTORY]))


def _moves(run: FlowRun | TaskRun) -> bool:
    return run.state_type == "RUNNING"


def flow_run_reasons(run: FlowRun, state: StateRow | None, now: datetime) -> Iterator[Reason]:
    yield from _by_state(run, state, now)
    match run.state_type:
        case "SCHEDULED" if _is_due(run, now):
            yield from queue_blockers(run, now)
            yield from overlapping_runs(run)
        case "PENDING":
            yield from agent_of(run, now)
            yield from overlapping_runs(run)
        case executing if executing in EXECUTING:
            yield from agent_of(run, now)
    yield from deadlines_of(run)
    yield from _last_refusal(run)


def task_run_reasons(run: TaskRun, state: StateRow | None, now: datetime) -> Iterator[Reason]:
    yield from _by_state(run, state, now)
    yield from cache_reasons(run, state, now)
    if run.state_type in UNFINISHED - EXECUTING:
        yield from _flow_run_in_the_way(run)
        if _is_due(run, now):
            yield from full_limits(run)
    yield from _last_refusal(run)


def _is_due(run: FlowRun | TaskRun, now: datetime) -> bool:
    return run.next_scheduled_start_time is None or run.next_scheduled_start_time <= now


def _by_state(run: FlowRun | TaskRun, state: StateRow | None, now: datetime) -> Iterator[Reason]:
    """Yield the reasons that follow from the state itself."""
    since = run.state_timestamp
    match run.state_type:
        case None:
            yield Reason("no_state", "It was created without a state, and no state has been proposed yet.")
        case "SCHEDULED":
            yield _scheduled(run, now)
        case "PENDING":
            yield Reason("pending", "It is about to start: its process has not proposed RUNNING yet.", since=since)
        case "PAUSED":
            yield _paused(run, state)
        case "CANCELLING":
            fix = "If its process is gone, set it to CANCELLED with force."
            yield Reason("cancelling", "It was asked to stop, and its process has not confirmed yet.", fix, since)
        case final if final in TERMINAL:
            yield Reason("finished", f"It is {final}: there is nothing to wait for.", since=since)


def _scheduled(run: FlowRun | TaskRun, now: datetime) -> Reason:
    due = run.next_scheduled_start_time
    if due is None or due <= now:
        text = f"It was due at {moment_text(due)} and has not been started." if due else "It has not been started yet."
        return Reason("late" if run.state_name == LATE else "due", text, since=due or run.state_timestamp)
    if run.state_name in BETWEEN_ATTEMPTS:
        text = f"Attempt {run.attempts} failed; the next one begins at {moment_text(due)}."
        return Reason("awaiting_retry", text, since=run.state_timestamp)
    text = f"It is scheduled for {moment_text(due)}.{_spread_text(run)}"
    return Reason("scheduled_later", text, since=run.state_timestamp)


def _spread_text(run: FlowRun | TaskRun) -> str:
    """Explain why a planned time differs from that of the schedule."""
    if not isinstance(run, FlowRun) or not run.auto_scheduled or run.schedule_id is None:
        return ""
    definition = Schedule.objects.filter(pk=run.schedule_id).values_list("definition", flat=True).first() or {}
    if not definition.get("spread"):
        return ""
    over, by = (timedelta(seconds=definition.get(name) or 0) for name in ("spread", "spread_by"))
    return f" Its schedule spreads runs over {over}: those of this deployment come {by} after the schedule's own time."


def _paused(run: FlowRun | TaskRun, state: StateRow | None) -> Reason:
    details = state.details if state else {}
    until = _moment_in(details.get("pause_timeout"))
    text = f"It is paused until it is resumed, at the latest until {until}." if until else "It is paused."
    if isinstance(run, TaskRun):
        return Reason("paused", text, since=run.state_timestamp)
    command = f"orion flow-run resume {run.id}"
    wanted = wanted_input(run_id=run.id, details=details)
    if wanted is None:
        return Reason("paused", text, f"Resume it: {command}", run.state_timestamp, command=command)
    if wanted.schema is None:
        return Reason("paused", f"{text} {wanted.problem}", since=run.state_timestamp)
    command += "".join(f" --input {quote(name)}=VALUE" for name in wanted.required)
    fix = f"Answer in the form on its page, or with: {command}"
    return Reason("paused", f"{text} {_wanted_in_words(wanted)}", fix, run.state_timestamp, command=command)


def _moment_in(stored: Any) -> str:
    try:
        return moment_text(datetime.fromisoformat(stored).astimezone(UTC))
    except (TypeError, ValueError, OverflowError):
        return str(stored or "")


def _wanted_in_words(wanted: WantedInput) -> str:
    needed, further = listed(wanted.required, FIELDS_NAMED), listed(wanted.optional, FIELDS_NAMED)
    if not needed:
        return f"It takes input; {further} may be given." if further else "It takes input."
    return f"It waits for input: {needed}{f'; {further} may be given' if further else ''}."


def _flow_run_in_the_way(run: TaskRun) -> Iterator[Reason]:
    parent = run.flow_run
    if parent is not None and parent.state_type != "RUNNING":
        holder = {"kind": "flow-run", "id": parent.id, "name": parent.name, "state_type": parent.state_type}
        state = parent.state_type or "without a state"
        text = f"Its flow run {quoted(parent.name)} is {state}, so no task of it may start."
        yield Reason("flow_run_not_running", text, since=parent.state_timestamp, holders=[holder])


def _last_refusal(run: FlowRun | TaskRun) -> Iterator[Reason]:
    refusal = run.refusal
    if not refusal:
        return
    proposed, verdict = refusal.get("proposed") or {}, refusal.get("verdict")
    text = f"The last proposal, {proposed.get('name')}, was answered with {verdict}: {refusal.get('reason')}"
    at = refusal.get("at")
    yield Reason("last_refusal", text, since=datetime.fromisoformat(at) if at else None)
