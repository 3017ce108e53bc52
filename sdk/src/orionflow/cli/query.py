"""The query language of lists: `state:failed flow:etl since:-24h tag:nightly name:brave*` becomes filters of the API.

A word without a key searches for names that contain it. A value may list alternatives, separated by commas; several
terms must all match. `*` stands for any characters.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from orionflow.calls import Collection
from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.task_runs import TASK_RUNS
from orionflow.cli.backend import Backend
from orionflow.cli.times import Clock
from orionflow.contract.states import ANY, BAD, NAMES, TERMINAL, UNFINISHED, in_order
from orionflow.spelling import did_you_mean

Filters = dict[str, Any]
STATE_TYPES = in_order(ANY)
# Names of states other than the name of their type, as the rules write them.
STATE_NAMES = tuple({name: None for names in NAMES.values() for name in list(names)[1:]})
STATE_GROUPS = {"unfinished": in_order(UNFINISHED), "finished": in_order(TERMINAL), "bad": in_order(BAD)}


def flow_run_filters(terms: Sequence[str], clock: Clock, api: Backend | None = None) -> Filters:
    """Return the body of POST /flow_runs/filter, without sort and limit. The API knows names of states from users."""
    return _filters(terms, {**_run_keys("flow_runs", clock), **FLOW_RUN_KEYS}, "flow_runs", api)


def task_run_filters(terms: Sequence[str], clock: Clock, api: Backend | None = None) -> Filters:
    """Return the body of POST /task_runs/filter, without sort and limit."""
    return _filters(terms, {**_run_keys("task_runs", clock), **TASK_RUN_KEYS}, "task_runs", api)


def flow_filters(terms: Sequence[str], clock: Clock, api: Backend | None = None) -> Filters:
    """Return the body of POST /flows/filter, without sort and limit."""
    return _filters(terms, FLOW_KEYS, "flows", api)


Term = Callable[[str], Filters]


def _filters(terms: Sequence[str], keys: dict[str, Term], own: str, api: Backend | None) -> Filters:
    filters: Filters = {}
    for word in _words(terms):
        key, colon, value = word.partition(":")
        if not colon:
            _merge(filters, {own: _named(word if "*" in word else f"*{word}*")})
        elif key.lower() not in keys:
            hint = did_you_mean(key, keys, f"use one of {', '.join(keys)}.")
            raise click.UsageError(f"{word!r}: there is no filter {key!r}; {hint}")
        elif not value:
            raise click.UsageError(f"{word!r} has no value; write {key}:something.")
        else:
            if key.lower() == "state":
                _refuse_unknown_states(value, own, api)
            _merge(filters, keys[key.lower()](value))
    return filters


def _words(terms: Sequence[str]) -> list[str]:
    """Return the words of one quoted query, or of several arguments."""
    try:
        return [word for term in terms for word in shlex.split(term)]
    except ValueError as error:
        raise click.UsageError(f"The query has an open quotation mark ({error}).") from None


def _merge(into: Filters, more: Filters) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif key == "all_":
            into[key] = [*into.get(key, []), *value]
        elif key in into:
            raise click.UsageError(f"A filter is given twice, again as {value!r}; join values with a comma: a,b.")
        else:
            into[key] = value


def _run_keys(own: str, clock: Clock) -> dict[str, Term]:
    """Return the keys that flow runs and task runs share."""
    # Task runs cannot be filtered by their expected start time.
    began = "expected_start_time" if own == "flow_runs" else "start_time"

    def moment(operator: str) -> Term:
        return lambda value: {own: {began: {operator: clock.moment(value).isoformat()}}}

    return {
        "state": lambda value: {own: {"state": _states(value)}},
        "name": lambda value: {own: _named(value)},
        "tag": lambda value: {own: {"tags": {"all_": value.split(",")}}},
        "id": lambda value: {own: {"id": {"any_": value.split(",")}}},
        "since": moment("after_"),
        "until": moment("before_"),
        "flow": lambda value: {"flows": _named(value)},
        "deployment": lambda value: {"deployments": _named(value)},
    }


FLOW_RUN_KEYS: dict[str, Term] = {
    "task": lambda value: {"task_runs": _named(value)},
    "queue": lambda value: {"flow_runs": {"work_queue_name": {"any_": value.split(",")}}},
    "version": lambda value: {"flow_runs": {"flow_version": {"any_": value.split(",")}}},
    "problem": lambda value: {"flow_runs": {"problem": {"startswith_": value.replace("-", "").lower()}}},
    "is": lambda value: {"flow_runs": {"parent_task_run_id": {"is_null_": _is_top(value)}}},
}
TASK_RUN_KEYS: dict[str, Term] = {
    "run": lambda value: {"flow_runs": _named(value)},
    "is": lambda value: {"task_runs": {"subflow_runs": {"exists_": not _is_top(value)}}},
}
FLOW_KEYS: dict[str, Term] = {
    "name": lambda value: {"flows": _named(value)},
    "tag": lambda value: {"flows": {"tags": {"all_": value.split(",")}}},
    "state": lambda value: {"flow_runs": {"state": _states(value)}},
    "id": lambda value: {"flows": {"id": {"any_": value.split(",")}}},
}


def _named(value: str) -> Filters:
    """Filter by exact names, or by a pattern. The API's `like_` searches within names and uses % for any characters."""
    if "*" not in value:
        return {"name": {"any_": value.split(",")}}
    return {"name": {"like_": value.strip("*").replace("*", "%")}}


def _states(value: str) -> Filters:
    """Filter types of states by type, and names by name."""
    types, names = _types_and_names(value.split(","), lambda word: word)
    if types and names:
        return {"operator": "or_", "type": {"any_": types}, "name": {"any_": names}}
    return {"type": {"any_": types}} if types else {"name": {"any_": names}}


def read_states(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Read states such as `failed,late` as types, which include all their names, and names; both empty for `any`."""

    def unknown(word: str) -> str:
        raise _no_such_state(word, [*_known_states(), "any"])

    split = [one.strip() for given in words for one in given.split(",") if one.strip()]
    if any(word.lower() == "any" for word in split):
        return [], []
    types, names = _types_and_names(split, unknown)
    return list(dict.fromkeys(types)), list(dict.fromkeys(names))


def states_text(types: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join([*(one.lower() for one in types), *names]) or "any state"


def _types_and_names(words: Sequence[str], other: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """Split words into types and names of states; `other` handles a word that is neither."""
    types: list[str] = []
    names: list[str] = []
    for word in words:
        found = STATE_GROUPS.get(word.lower()) or tuple(one for one in STATE_TYPES if one == word.upper())
        types += found
        if not found:
            names.append(next((name for name in STATE_NAMES if name.lower() == word.lower()), None) or other(word))
    return types, names


def _known_states() -> list[str]:
    return [*(one.lower() for one in STATE_TYPES), *STATE_GROUPS, *(name.lower() for name in STATE_NAMES)]


def _no_such_state(word: str, known: list[str]) -> click.UsageError:
    hint = did_you_mean(word, known, f"there are {', '.join(known)}.")
    return click.UsageError(f"There is no state {word!r}; {hint}")


def _refuse_unknown_states(value: str, own: str, api: Backend | None) -> None:
    """Refuse a state that no run can be in, as the list would be misleadingly empty. The API knows users' names."""
    known = _known_states()
    for word in value.split(","):
        if word.lower() not in known and not (api is not None and _is_in_use(word, own, api)):
            raise _no_such_state(word, known)


def _is_in_use(name: str, own: str, api: Backend) -> bool:
    runs: Collection[Any] = TASK_RUNS if own == "task_runs" else FLOW_RUNS
    return bool(api.ask(runs.find({runs.name: {"state": {"name": {"any_": [name]}}}, "limit": 1})))


def _is_top(value: str) -> bool:
    if value not in ("top", "subflow"):
        raise click.UsageError(f"is:{value} is unknown; write is:top or is:subflow.")
    return value == "top"
