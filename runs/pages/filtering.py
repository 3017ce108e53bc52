"""The filter of the runs list, as in its address: `?state=failed,crashed&flow=etl&tag=prod&since=-24h`.

The query box offers the same in one line, and more: `state:failed flow:etl dur>10m -tag:test otter`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.http import QueryDict

from orionflow.contract.states import NAMES, UNFINISHED, StateType, in_order
from runs.pages.selectors.runs import RunFilter
from runs.templatetags.states import spaced

SINCE = re.compile(r"-?(\d{1,4})([mhd])")
DURATION = re.compile(r"(\d{1,6}(?:\.\d+)?)(ms|s|m|h|d)?")
# No run took longer, and the date that long ago is valid.
LONGEST = timedelta(days=36_500)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "ms": "milliseconds"}
# Names of states that can be chosen in addition to types.
NAMED_STATES: Mapping[str, tuple[StateType, str]] = {
    spaced(name).lower().replace(" ", "-"): (kind, name)
    for kind, names in NAMES.items()
    for name, one in names.items()
    if one.is_choice
}
# The choices of the form: (value, label). Those of one group are listed together.
STATE_CHOICES = [
    ("", "Any state"),
    ("failed,crashed", "Failed or crashed"),
    (",".join(in_order(UNFINISHED)).lower(), "Not finished"),
    ("waiting", "Waiting to be started"),
    ("planned", "Planned for later"),
    *(
        choice
        for kind in StateType
        for choice in (
            (kind.value.lower(), kind.value.capitalize()),
            *((word, spaced(name)) for word, (of, name) in NAMED_STATES.items() if of is kind),
        )
    ),
]


def _chip(word: str) -> tuple[str, str, str, str]:
    kind, name = NAMED_STATES[word]
    return word, spaced(name), kind.value, name


# The choices above the list, each with a count: (value, label, type and name of the state whose icon is shown).
STATE_CHIPS = [
    ("failed,crashed", "Failed", "FAILED", ""),
    ("running", "Running", "RUNNING", ""),
    ("waiting", "Waiting", "SCHEDULED", ""),
    _chip("late"),
    ("pending", "Pending", "PENDING", ""),
    ("paused", "Paused", "PAUSED", ""),
    _chip("awaiting-retry"),
    _chip("retrying"),
    ("completed", "Completed", "COMPLETED", ""),
    ("cancelled", "Cancelled", "CANCELLED", ""),
]
USUAL_CHIPS = {"failed,crashed", "running", "waiting", "completed"}
SINCE_CHOICES = [
    ("", "Any time"),
    ("-1h", "Last hour"),
    ("-24h", "Last day"),
    ("-7d", "Last 7 days"),
    ("-30d", "Last 30 days"),
]


def since_choices(chosen: str) -> list[tuple[str, str]]:
    """Return the choices of the form, with one more for a moment that came from a link."""
    known = any(chosen == value for value, _ in SINCE_CHOICES)
    return SINCE_CHOICES if known else [*SINCE_CHOICES, (chosen, f"Since {chosen[:16].replace('T', ' ')}")]


# Parameters that links of the list set; users write the query instead.
PARTS = ("state", "flow", "tag", "since", "until", "q", "error", "problem", "queue", "deployment", "id")
LABELS = {"q": "query", "id": "runs"}
MOST_IDS = 500


@dataclass(frozen=True, slots=True)
class Chip:
    """One active part of the filter, and the address without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class AskedFilter:
    """The filter of an address: its meaning, the values of the form, and the parts that could not be read."""

    wanted: RunFilter
    values: dict[str, str]
    chips: list[Chip]
    problems: list[str] = field(default_factory=list)


def read_filter(query: QueryDict) -> AskedFilter:
    values = {name: query.get(name, "").strip() for name in PARTS}
    problems: list[str] = []
    # The form sends the id of each ticked run, and an empty value if none is ticked.
    values["id"] = ",".join(filter(None, (one.strip() for one in query.getlist("id"))))
    if "id" in query and not values["id"]:
        problems.append("No run is chosen: tick the rows that you mean.")
    wanted = with_states(RunFilter(), values["state"], problems)
    wanted = replace(
        wanted,
        flow=values["flow"],
        tag=values["tag"],
        since=read_since(values["since"], problems),
        until=read_since(values["until"], problems),
        error=values["error"],
        problem=read_id(values["problem"], "problem", problems),
        ids=_ids(values["id"], problems),
        deployment=read_id(values["deployment"], "deployment", problems),
    )
    wanted = _with_queue(wanted, values["queue"], problems)
    wanted = _with_query(wanted, values["q"], problems)
    return AskedFilter(wanted, values, _chips(query, values), problems)


def with_states(wanted: RunFilter, text: str, problems: list[str]) -> RunFilter:
    """Add states, separated by commas; report a word that is not a state as a problem."""
    states: list[StateType] = []
    names: list[tuple[StateType, str]] = []
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        if word == "waiting":
            wanted = replace(wanted, waiting=True)
        elif word == "planned":
            wanted = replace(wanted, planned=True)
        elif word.upper() in StateType.__members__:
            states.append(StateType(word.upper()))
        elif named := NAMED_STATES.get(word.replace("_", "-")):
            names.append(named)
        else:
            problems.append(f"There is no state {word!r}.")
    # A type of state includes all its names: "failed, timed out" means all failed runs.
    names = [one for one in names if one[0] not in states]
    types = tuple(dict.fromkeys([*states, *(of_type for of_type, _ in names)]))
    return replace(wanted, states=types, names=tuple(dict.fromkeys(names))) if types else wanted


def read_since(text: str, problems: list[str]) -> timedelta | datetime | None:
    if not text:
        return None
    if match := SINCE.fullmatch(text):
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        problems.append(f"{text!r} is not a time to look back; write it as -30m, -24h or -7d.")
        return None


def moment_since(query: QueryDict, now: datetime, problems: list[str]) -> datetime | None:
    """Return the moment that `since` in an address names; None if it sets no limit."""
    since = read_since(query.get("since", "").strip(), problems)
    return now - since if isinstance(since, timedelta) else since


def _ids(text: str, problems: list[str]) -> tuple[UUID, ...] | None:
    if not text:
        return None
    found = [read_id(one, "run", problems) for one in text.split(",")[:MOST_IDS]]
    return tuple(one for one in found if one)


def read_id(text: str, what: str, problems: list[str]) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        problems.append(f"{text!r} is not the id of a {what}.")
        return None


def _with_queue(wanted: RunFilter, text: str, problems: list[str]) -> RunFilter:
    """Read `<id>`, or `none,<id of a deployment>` for runs of the deployment without a queue."""
    if text.startswith("none"):
        deployment = read_id(text.partition(",")[2], "deployment", problems)
        return replace(wanted, without_queue=True, deployment=deployment or wanted.deployment)
    return replace(wanted, queue=read_id(text, "work queue", problems))


def _with_query(wanted: RunFilter, text: str, problems: list[str]) -> RunFilter:
    """Read the query box: words are parts of a run's name, `key:value` is a filter, and a leading `-` excludes."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    names = []
    for word in words:
        key, sign, value = _parts_of(word)
        if sign is None:
            names.append(word)
        elif not value:
            problems.append(f"{word!r} names nothing after the {sign!r}.")
        else:
            wanted = _with_word(wanted, word, key, sign, value, problems)
    return replace(wanted, name=" ".join(names))


def _parts_of(word: str) -> tuple[str, str | None, str]:
    match = re.match(r"(-?[a-z]+)([:<>])(.*)", word, re.DOTALL)
    return (match[1], match[2], match[3]) if match else (word, None, "")


def _with_word(wanted: RunFilter, word: str, key: str, sign: str, value: str, problems: list[str]) -> RunFilter:
    match key, sign:
        case "state", ":":
            return with_states(wanted, value, problems)
        case "-state", ":":
            asked = with_states(RunFilter(), value, problems)
            if asked.names or asked.waiting or asked.planned:
                problems.append(f"{word!r} cannot be excluded; exclude its type, as in -state:scheduled.")
                return wanted
            return replace(wanted, states=tuple(one for one in wanted.states or StateType if one not in asked.states))
        case "flow", ":":
            return replace(wanted, flow=value)
        case "-flow", ":":
            return replace(wanted, without_flows=(*wanted.without_flows, value))
        case "tag", ":":
            return replace(wanted, tag=value)
        case "-tag", ":":
            return replace(wanted, without_tags=(*wanted.without_tags, value))
        case "since", ":":
            return replace(wanted, since=read_since(value, problems))
        case "until", ":":
            return replace(wanted, until=read_since(value, problems))
        case "dur", "<" | ">":
            length = _duration(value, problems)
            return replace(wanted, longer_than=length) if sign == ">" else replace(wanted, shorter_than=length)
    known = "state:, flow:, tag:, since:, until:, dur>, dur<, -state:, -flow: or -tag:"
    problems.append(f"{word!r} is not a filter. Use {known}.")
    return wanted


def _duration(text: str, problems: list[str]) -> timedelta | None:
    match = DURATION.fullmatch(text)
    if match is None:
        problems.append(f"{text!r} is not a duration; write it as 90s, 10m or 2h.")
        return None
    return min(timedelta(**{UNITS[match[2] or "s"]: float(match[1])}), LONGEST)


def _chips(query: QueryDict, values: dict[str, str]) -> list[Chip]:
    words = {value: text for value, text in STATE_CHOICES if value}
    chips = []
    for name, text in values.items():
        if text:
            shown = words.get(text, text).lower() if name == "state" else text
            if name == "id":
                shown = f"{len(text.split(','))} chosen"
            if name == "problem":
                shown = text[:8]
            chips.append(Chip(LABELS.get(name, name), shown, address_without(query, name)))
    return chips


def address_without(query: QueryDict, *names: str) -> str:
    """Return the address of the first page without these parameters."""
    kept = query.copy()
    for name in (*names, "after"):
        kept.pop(name, None)
    return "?" + kept.urlencode()


def address_with(query: QueryDict, **values: str) -> str:
    """Return the address of the first page with these parameters."""
    kept = query.copy()
    kept.pop("after", None)
    for name, value in values.items():
        kept[name] = value
    return "?" + kept.urlencode()


def address_after(query: QueryDict, after: object) -> str:
    """Return the address of the page that starts after `after`; empty if that is None."""
    if not after:
        return ""
    kept = query.copy()
    kept["after"] = str(after)
    return "?" + kept.urlencode()
