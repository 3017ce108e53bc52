"""Lines about setbacks: deadlines missed or at risk, automations that fail, and messages that are not delivered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from orion_site.home.need import MOST_NAMED, Need, runs_at, runs_in_words
from orion_site.home.setbacks import LOOKED_AT, Kind, Setback
from orionflow.contract.names import quoted
from runs.pages.selectors.usual import Usual
from runs.periods import period_text

# Where the usual duration of a run is not known, or has passed, its deadline is at risk this long before.
DUE_SOON = timedelta(minutes=10)
ZERO = timedelta()


def is_at_risk(one: Setback, usual: Usual, now: datetime) -> bool:
    """Whether a deadline will probably be missed: the usual duration of its run does not fit into the time left."""
    if one.kind == Kind.START:
        return (one.planned is None or one.planned <= now) and one.at <= now + DUE_SOON
    duration = usual.of(one)
    if duration is not None and one.earliest_end(duration, now) > one.at:
        return True
    is_overdue = duration is None or one.earliest_end(duration, now) <= now
    return is_overdue and one.at <= now + DUE_SOON


def set_back_lines(found: Sequence[Setback], usual: Usual, now: datetime) -> Iterator[Need]:
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
    number = f"{len(failed)}{'+' if len(failed) >= LOOKED_AT else ''}"
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
        extent=f"{'The first ' if is_cut else ''}{runs_in_words(len(found))} · {', '.join(names[:3])}",
        fix=fix,
        address=runs_at(id=ids) if len(found) > 1 else newest,
        look="late",
        state_type="SCHEDULED",
        since=min(one.at for one in found),
        event="due",
        action="See the run" if len(found) == 1 else "See the newest" if found[0].over else "See the next",
        action_address=newest,
    )
