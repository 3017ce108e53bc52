"""The filter of the runs list as its address carries it: `?state=failed,crashed&flow=etl&tag=prod&since=-24h`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from django.http import QueryDict

from orchestration.core.states import StateType
from runs.pages.selectors.runs import RunFilter

SINCE = re.compile(r"-(\d{1,4})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# What the form offers: (value, words).
STATE_CHOICES = [
    ("", "Any state"),
    ("failed,crashed", "Failed or crashed"),
    ("scheduled,pending,running,paused,cancelling", "Not finished"),
    *[(state_type.value.lower(), state_type.value.capitalize()) for state_type in StateType],
]
SINCE_CHOICES = [
    ("", "Any time"),
    ("-1h", "Last hour"),
    ("-24h", "Last day"),
    ("-7d", "Last 7 days"),
    ("-30d", "Last 30 days"),
]


@dataclass(frozen=True, slots=True)
class Chip:
    """One active part of the filter, and the address without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class AskedFilter:
    """The filter as asked for: what it means, how the form shows it, and what in it could not be read."""

    wanted: RunFilter
    values: dict[str, str]
    chips: list[Chip]
    problems: list[str]


def read_filter(query: QueryDict) -> AskedFilter:
    values = {name: query.get(name, "").strip() for name in ("state", "flow", "tag", "since", "q")}
    problems: list[str] = []
    wanted = RunFilter(
        states=_states(values["state"], problems),
        flow=values["flow"],
        tag=values["tag"],
        name=values["q"],
        since=_since(values["since"], problems),
    )
    return AskedFilter(wanted, values, _chips(query, values), problems)


def _states(text: str, problems: list[str]) -> tuple[StateType, ...]:
    states = []
    for word in filter(None, (part.strip().upper() for part in text.split(","))):
        if word in StateType.__members__:
            states.append(StateType(word))
        else:
            problems.append(f"There is no state {word.lower()!r}.")
    return tuple(dict.fromkeys(states))


def _since(text: str, problems: list[str]) -> timedelta | None:
    if not text:
        return None
    match = SINCE.fullmatch(text)
    if match is None:
        problems.append(f"{text!r} is not a time to look back; write it as -30m, -24h or -7d.")
        return None
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _chips(query: QueryDict, values: dict[str, str]) -> list[Chip]:
    labels = {"state": "state", "flow": "flow", "tag": "tag", "since": "since", "q": "name"}
    return [Chip(labels[name], text, address_without(query, name)) for name, text in values.items() if text]


def address_without(query: QueryDict, *names: str) -> str:
    """Return the query's address, on its first page, without these parameters."""
    kept = query.copy()
    for name in (*names, "after"):
        kept.pop(name, None)
    return "?" + kept.urlencode()


def address_with(query: QueryDict, **values: str) -> str:
    """Return the query's address, on its first page, with these parameters."""
    kept = query.copy()
    kept.pop("after", None)
    for name, value in values.items():
        kept[name] = value
    return "?" + kept.urlencode()


def address_after(query: QueryDict, after: object) -> str:
    """Return the query's address on the page that begins at `after`; empty where there is none."""
    if not after:
        return ""
    kept = query.copy()
    kept["after"] = str(after)
    return "?" + kept.urlencode()
