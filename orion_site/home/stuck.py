"""Lines about runs that do not go on: those that are held back, and those that are stuck in a state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from django.urls import reverse

from orion_site.accounts.permissions import Action, may, may_in_part, who_asks
from orion_site.home.need import MOST_NAMED, Need, runs_at, runs_in_words
from orion_site.home.open_runs import LOOKED_AT, OpenRun
from orionflow.contract.names import quoted
from orionflow.contract.states import StateType
from runs.why.selectors.waiting import WaitingGroup

# What should take seconds counts as stuck after this time.
STUCK_AFTER = timedelta(minutes=5)
WAITING_EVENTS = ("due", "the first due")


def waiting_lines(groups: Sequence[WaitingGroup], now: datetime, tags: Sequence[str]) -> Iterator[Need]:
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
            extent=f"{runs_in_words(number, is_cut=group.is_cut)} {'wait' if number > 1 or group.is_cut else 'waits'}",
            address=runs_at(state="waiting", **query, tag=tags),
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


def stuck_lines(running: Sequence[OpenRun], now: datetime, tags: Sequence[str]) -> Iterator[Need]:
    paused = [run for run in running if run.state_type == StateType.PAUSED]
    silent = [run for run in running if run.lease_expires_at is not None and run.lease_expires_at <= now]
    starting = [run for run in _old(running, StateType.PENDING, now) if run not in silent]
    stopping = [run for run in _old(running, StateType.CANCELLING, now) if run not in silent]
    line_of = partial(_stuck_line, tags=tags, is_cut=len(running) > LOOKED_AT)
    yield from line_of(silent, "The agent has gone silent", "running")
    yield from line_of(stopping, "Asked to stop, and has not stopped", "cancelling")
    yield from line_of(starting, "About to start, and does not", "pending")
    for line in line_of(paused, "Waits until it is resumed", "paused"):
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


def _stuck_line(
    found: Sequence[OpenRun], cause: str, state: str, *, tags: Sequence[str], is_cut: bool
) -> Iterator[Need]:
    if not found:
        return
    oldest = min(found, key=lambda run: (run.state_timestamp is None, run.state_timestamp))
    # Other runs in the same state are not stuck. Very many are not named one by one, so that the page stays small.
    if len(found) <= MOST_NAMED:
        address = runs_at(id=",".join(str(run.id) for run in found))
    else:
        address = runs_at(state=state, tag=tags)
    yield Need(
        cause=cause,
        extent=runs_in_words(len(found), is_cut=is_cut),
        address=address,
        look=state,
        state_type=oldest.state_type,
        since=oldest.state_timestamp,
        event="last change",
        action="See it" if len(found) == 1 else "See the oldest",
        action_address=reverse("runs:run", args=[oldest.id]),
    )
