"""The filter of the runs list, as in its address: `?state=failed,crashed&flow=etl&tag=prod&since=-24h`.

The query box (`runs.pages.query_box`) offers the same in one line, and more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.http import QueryDict
from django.utils.http import MAX_URL_REDIRECT_LENGTH

from orionflow.contract.states import UNFINISHED, StateType, in_order
from runs.pages.query_box import (
    NAMED_STATES,
    is_term,
    label_and_value,
    read_since,
    text_of,
    with_query,
    with_states,
    without_states,
    words_of,
)
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.runs import RunFilter
from runs.templatetags.states import spaced

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
# A query with more words is one chip. An address may have as many tags, since each has an address without it.
MOST_WORDS = 12


@dataclass(frozen=True, slots=True)
class Chip:
    """One active part of the filter, and the address without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Without:
    """An active part of a filter that finds nothing, and what the list would have without it."""

    words: str
    count: Count | None
    address: str


@dataclass(frozen=True, slots=True)
class RequestedFilter:
    """The filter of an address: its meaning, the values of the form, and the parts that could not be read."""

    wanted: RunFilter
    values: dict[str, str]
    chips: list[Chip]
    problems: list[str] = field(default_factory=list)
    # Those of the address; those of the query are only part of the meaning.
    tags: Sequence[str] = ()


def read_filter(query: QueryDict) -> RequestedFilter:
    values = {name: query.get(name, "").strip() for name in PARTS}
    problems: list[str] = []
    # The form sends the id of each ticked run, and an empty value if none is ticked.
    values["id"] = ",".join(filter(None, (one.strip() for one in query.getlist("id"))))
    if "id" in query and not values["id"]:
        problems.append("No run is chosen: tick the rows that you mean.")
    tags = tags_in(query, problems)
    values["tag"] = ", ".join(tags)
    wanted = with_states(RunFilter(), values["state"], problems)
    wanted = replace(
        wanted,
        flow=values["flow"],
        tags=tuple(tags),
        since=read_since(values["since"], problems),
        until=read_since(values["until"], problems),
        error=values["error"],
        problem=read_id(values["problem"], "problem", problems),
        ids=_ids(values["id"], problems),
        deployment=read_id(values["deployment"], "deployment", problems),
    )
    wanted = _with_queue(wanted, values["queue"], problems)
    wanted = with_query(wanted, values["q"], problems)
    return RequestedFilter(wanted, values, _chips(query, values, tags), problems, tags)


def tags_in(query: QueryDict, problems: list[str]) -> list[str]:
    """Return the tags of an address, as in `?tag=prod&tag=eu`. A form sends an empty one if none is added."""
    tags = list(dict.fromkeys(filter(None, (one.strip() for one in query.getlist("tag")))))
    if len(tags) > MOST_WORDS:
        problems.append(
            f"A filter takes {MOST_WORDS} tags; this address has {len(tags)}, of which the first {MOST_WORDS} are used."
        )
    return tags[:MOST_WORDS]


def chips_of_tags(query: QueryDict, tags: Sequence[str]) -> list[Chip]:
    chips = list[Chip]()
    for tag in tags:
        others = query.copy()
        others.pop("after", None)
        others.setlist("tag", [one for one in tags if one != tag])
        chips.append(Chip("tag", tag, f"?{others.urlencode()}"))
    return chips


def moment_since(query: QueryDict, now: datetime, problems: list[str]) -> datetime | None:
    """Return the moment that `since` in an address names; None if it sets no limit."""
    since = read_since(query.get("since", "").strip(), problems)
    return now - since if isinstance(since, timedelta) else since


def _ids(text: str, problems: list[str]) -> tuple[UUID, ...] | None:
    if not text:
        return None
    chosen = text.split(",")
    if len(chosen) > MOST_IDS:
        problems.append(
            f"At most {MOST_IDS} runs can be chosen; this address has {len(chosen)}, of which the first {MOST_IDS} are "
            "used."
        )
    found = [read_id(one, "run", problems) for one in chosen[:MOST_IDS]]
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


def _chips(query: QueryDict, values: dict[str, str], tags: Sequence[str]) -> list[Chip]:
    words = {value: text for value, text in STATE_CHOICES if value}
    chips = []
    for name, text in values.items():
        if text:
            shown = words.get(text, text).lower() if name == "state" else text
            if name == "q":
                chips += _chips_of_query(query, text)
                continue
            if name == "tag":
                chips += chips_of_tags(query, tags)
                continue
            if name == "id":
                shown = f"{len(text.split(','))} chosen"
            if name == "problem":
                shown = text[:8]
            chips.append(Chip(LABELS.get(name, name), shown, address_without(query, name)))
    return chips


def without(
    requested: RequestedFilter,
    count: Callable[[Sequence[RunFilter], datetime], Sequence[Count | None]],
    everything: str,
    now: datetime,
) -> list[Without]:
    """Return each part of a filter that finds nothing, with what the list would have without it."""
    chips = requested.chips[:MOST_WORDS]
    others = [read_filter(QueryDict(chip.without.removeprefix("?"))).wanted for chip in chips]
    return blamed(chips, count(others, now), everything)


def blamed(chips: Sequence[Chip], counts: Sequence[Count | None], everything: str) -> list[Without]:
    """Return each part of a filter with what the list would have without it; the part that removes most comes first."""
    found = [
        # Without any parameter, an address opens the default view.
        Without(f"{chip.label} {chip.value}", count, everything if chip.without == "?" else chip.without)
        for chip, count in zip(chips, counts, strict=True)
    ]
    return sorted(found, key=lambda one: -one.count.number if one.count else 0)


def _chips_of_query(query: QueryDict, text: str) -> list[Chip]:
    """Return a chip for each term, and one for the words of the name."""
    words = words_of(text)
    terms = [word for word in words if is_term(word)]
    if not terms or len(words) > MOST_WORDS:
        return [Chip(LABELS["q"], text, address_without(query, "q"))]
    names = [word for word in words if not is_term(word)]
    chips = [Chip(LABELS["q"], text_of(names), address_with(query, q=text_of(terms)))] if names else []
    for place, word in enumerate(words):
        if is_term(word):
            others = text_of(words[:place] + words[place + 1 :])
            label, value = label_and_value(word)
            chips.append(Chip(label, value, address_with(query, q=others) if others else address_without(query, "q")))
    return chips


def address_without(query: QueryDict, *names: str) -> str:
    """Return the address of the first page without these parameters."""
    kept = query.copy()
    for name in (*names, "after"):
        kept.pop(name, None)
    return "?" + kept.urlencode()


def address_for_redirect(path: str, query: QueryDict) -> str:
    """Return the address with these parameters; without the chosen runs if Django would not redirect to it."""
    address = f"{path}?{query.urlencode()}"
    return address if len(address) <= MAX_URL_REDIRECT_LENGTH else path + address_without(query, "id")


def address_with(query: QueryDict, **values: str) -> str:
    """Return the address of the first page with these parameters."""
    kept = query.copy()
    kept.pop("after", None)
    for name, value in values.items():
        kept[name] = value
    return "?" + kept.urlencode()


def address_in_state(query: QueryDict, state: str) -> str:
    """Return the address of the first page with these states, instead of those that the query box names."""
    text = query.get("q", "")
    others = without_states(text)
    if others == text:
        return address_with(query, state=state) if state else address_without(query, "state")
    kept = QueryDict(address_without(query, "state", "q").removeprefix("?"), mutable=True)
    kept.update({name: value for name, value in (("q", others), ("state", state)) if value})
    return "?" + kept.urlencode()


def address_after(query: QueryDict, after: object) -> str:
    """Return the address of the page that starts after `after`; empty if that is None."""
    if not after:
        return ""
    kept = query.copy()
    kept["after"] = str(after)
    return "?" + kept.urlencode()
