"""The query box of lists of runs: `state:failed flow:etl dur>10m -tag:test param.customer=7 agent:w3 otter`.

A word is part of a name, or a term: a key, a sign and a value. What looks like a term and is none is reported, with a
proposal, because a search for it as a name would find nothing and not say why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from orchestration.json_texts import read_json
from orionflow.contract.states import NAMES, StateType
from runs.pages.selectors.conditions import GivenParameter
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
# Scheduled runs by whether their time has come. The index that finds them has no others.
STANDING_ALONE = ("waiting", "planned")
# The terms, as the page lists them below the box: (what to write, what it finds).
TERMS = [
    ("state:failed,late", "states; -state:completed: all others"),
    ("flow:etl", "runs of a flow; -flow:etl: of all others"),
    ("tag:prod", "runs with a tag, or with all tags if there are several; -tag:test: without it"),
    ("dur>10m", "duration, also dur<90s"),
    ("since:-24h", "expected after that; until:-1h: before that"),
    ("agent:w3", "runs that this agent claimed, by name or id; also worker:w3"),
    ("param.customer=7", "runs with this value of a parameter; nested as param.order.customer=7"),
    ("name:a=b", "this text in a name, whatever it looks like"),
]
KEYS = ("state", "flow", "tag", "since", "until", "dur", "agent", "worker", "name")
CAN_BE_EXCLUDED = ("state", "flow", "tag")
HOLD_IDS = ("agent:", "worker:", "param.", "name:")
OTHER_WORDS = {"status": "state", "duration": "dur", "time": "since", "workers": "agent", "agents": "agent"}
PARAMETER = re.compile(r"(?:param|params|parameter|parameters)[.:](.+?)[=:](.*)", re.DOTALL)
TERM = re.compile(r"(-?)([A-Za-z_][\w.-]*)([:=<>])(.*)", re.DOTALL)
MOST_NESTED = 10


def words_of(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def text_of(words: Iterable[str]) -> str:
    """Return a query with these words; those with spaces or quotes are quoted."""
    return " ".join(shlex.quote(word) if re.search(r"[\s'\"\\]", word) or not word else word for word in words)


def is_term(word: str) -> bool:
    return word.startswith("param.") or TERM.fullmatch(word) is not None


def label_and_value(term: str) -> tuple[str, str]:
    """Return both sides of a term as a chip shows them: `tag:prod` is tag, prod; `dur>10m` is dur, >10m."""
    match = re.match(r"(param\.[^=]*|-?[A-Za-z_][\w.-]*)[:=]?(.*)", term, re.DOTALL)
    return (match[1], match[2]) if match else ("", term)


def without_states(text: str) -> str:
    """Return the text without the terms that choose or exclude states; unchanged if it has none."""
    words = words_of(text)
    others = [word for word in words if not re.match("-?state:", word)]
    return text if others == words else text_of(others)


def without_terms(text: str) -> str:
    """Return the text without the terms whose value may be an id: it is looked for in runs, not opened."""
    return " ".join(word for word in words_of(text) if not word.startswith(HOLD_IDS))


def with_query(wanted: RunFilter, text: str, problems: list[str]) -> RunFilter:
    """Add what the query box says to a filter; report words that cannot be read as problems."""
    names = []
    for word in words_of(text):
        match = None if word.startswith("param.") else TERM.fullmatch(word)
        if word.startswith("param."):
            wanted = _with_parameter(wanted, word, problems)
        elif match is None:
            names.append(word)
        elif match[1] + match[2] + match[3] == "name:":
            names.append(match[4])
        elif not match[4]:
            problems.append(f"{word!r} names nothing after the {match[3]!r}.")
        else:
            wanted = _with_term(wanted, word, match[1] + match[2], match[3], match[4], problems)
    return replace(wanted, name=" ".join(filter(None, names)))


def _with_term(wanted: RunFilter, word: str, key: str, sign: str, value: str, problems: list[str]) -> RunFilter:
    match key, sign:
        case "state", ":":
            return with_states(wanted, value, problems)
        case "-state", ":":
            asked = with_states(RunFilter(), value, problems)
            if asked.names or asked.waiting or asked.planned:
                problems.append(f"{word!r} cannot be excluded; exclude its type, as in -state:scheduled.")
                return wanted
            # Without any states, a filter chooses all of them, unless an earlier exclusion has left none.
            before = () if wanted.in_no_state else wanted.states or tuple(StateType)
            left = tuple(one for one in before if one not in asked.states)
            names = tuple(one for one in wanted.names if one[0] in left)
            return replace(wanted, states=left, names=names, in_no_state=not left)
        case "flow", ":":
            return replace(wanted, flow=value)
        case "-flow", ":":
            return replace(wanted, without_flows=(*wanted.without_flows, value))
        case "tag", ":":
            return replace(wanted, tags=tuple(dict.fromkeys((*wanted.tags, value))))
        case "-tag", ":":
            return replace(wanted, without_tags=(*wanted.without_tags, value))
        case "since", ":":
            return replace(wanted, since=read_since(value, problems))
        case "until", ":":
            return replace(wanted, until=read_since(value, problems))
        case "agent" | "worker", ":":
            return replace(wanted, agents=(*wanted.agents, value))
        case "dur", "<" | ">":
            length = _duration(value, problems)
            return replace(wanted, longer_than=length) if sign == ">" else replace(wanted, shorter_than=length)
    problems.append(f"{word!r} is not a filter. {_proposal(word, key, sign, value)}")
    return wanted


def _proposal(word: str, key: str, sign: str, value: str) -> str:
    in_names = f"To look for it in names, write {text_of(['name:' + word])}."
    if parameter := PARAMETER.fullmatch(word):
        return f"Did you mean {text_of([f'param.{parameter[1]}={parameter[2]}'])}?"
    meant = key.removeprefix("-").lower()
    known = OTHER_WORDS.get(meant) or next(iter(get_close_matches(meant, KEYS, 1, 0.7)), None)
    if key.startswith("-"):
        if known not in CAN_BE_EXCLUDED:
            return "Only state, flow and tag can be excluded, as in -tag:test."
        return f"Did you mean {text_of([f'-{known}:{value}'])}?"
    if known == "dur":
        return "Write a duration as dur>10m or dur<90s."
    if known:
        return f"Did you mean {text_of([f'{known}:{value}'])}?"
    if sign == "=":
        return f"Did you mean {text_of([f'param.{word}'])}? {in_names}"
    return f"Use {', '.join(f'{one}:' for one in KEYS if one != 'dur')}, dur>, dur< or param.NAME=VALUE. {in_names}"


def _with_parameter(wanted: RunFilter, word: str, problems: list[str]) -> RunFilter:
    name, sign, text = word.removeprefix("param.").partition("=")
    path = tuple(name.split("."))
    if not sign:
        meant = PARAMETER.fullmatch(word)
        example = text_of([f"param.{meant[1]}={meant[2]}"]) if meant else "param.customer=7"
        problems.append(f"{word!r} has no value; write it as {example}.")
    elif re.search(r"[\"\\]", name):
        problems.append(f"{name!r} cannot be looked for: it has a quotation mark or a backslash.")
    elif not all(path) or len(path) > MOST_NESTED or "\0" in name:
        problems.append(f"{name!r} is not the name of a parameter; write it as param.customer=7.")
    elif not text:
        problems.append(f"{word!r} names nothing after the '='.")
    else:
        values = _values_of(text)
        if values:
            return replace(wanted, parameters=(*wanted.parameters, GivenParameter(path, values)))
        problems.append(f"{text!r} cannot be compared; write a text, a number, true, false or null.")
    return wanted


def _values_of(text: str) -> Sequence[Any]:
    """Return the values that the text can mean: `7` is the number and the text, `"7"` in quotes only the text."""
    try:
        value = read_json(text)
    except ValueError:
        return (text,)
    if isinstance(value, dict | list):
        return ()
    return (value,) if isinstance(value, str) else (value, text)


def with_states(wanted: RunFilter, text: str, problems: list[str]) -> RunFilter:
    """Choose states, separated by commas, in place of others; report a word that is not a state as a problem."""
    states: list[StateType] = []
    names: list[tuple[StateType, str]] = []
    words = [word for part in text.split(",") if (word := part.strip().lower())]
    alone = [word for word in words if word in STANDING_ALONE]
    if alone and len(set(words)) > 1:
        problems.append(f"{alone[0]!r} cannot be combined with other states.")
    for word in words:
        if word in alone:
            continue
        if word.upper() in StateType.__members__:
            states.append(StateType(word.upper()))
        elif named := NAMED_STATES.get(word.replace("_", "-")):
            names.append(named)
        else:
            problems.append(f"There is no state {word!r}.")
    # A type of state includes all its names: "failed, timed out" means all failed runs.
    names = [one for one in names if one[0] not in states]
    types = tuple(dict.fromkeys([*states, *(of_type for of_type, _ in names)]))
    if not types and not alone:
        return wanted
    chosen = replace(wanted, states=types, names=tuple(dict.fromkeys(names)), in_no_state=False)
    return replace(chosen, waiting="waiting" in alone, planned="planned" in alone)


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


def _duration(text: str, problems: list[str]) -> timedelta | None:
    match = DURATION.fullmatch(text)
    if match is None:
        problems.append(f"{text!r} is not a duration; write it as 90s, 10m or 2h.")
        return None
    return min(timedelta(**{UNITS[match[2] or "s"]: float(match[1])}), LONGEST)
