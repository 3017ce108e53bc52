"""Lookup of objects by their names on the command line: found, "did you mean", or "more than one".

A run is named by an id, the start of an id, a name, `@last` or `@last-failed`. The last run is the last one that is
due: runs planned for later do not count. A task run may also be named `flow-run/task-run`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orionflow.calls import Call, Collection
from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.flows import FLOWS
from orionflow.calls.task_runs import TASK_RUNS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.contract.states import BAD, in_order
from orionflow.spelling import did_you_mean

NEWEST = "EXPECTED_START_TIME_DESC"
BAD_STATES = {"state": {"type": {"any_": in_order(BAD)}}}
# The API replaces values that lists omit by this key.
OMITTED = "__orion_omitted__"
_PREFIX = re.compile(r"^[0-9a-fA-F][0-9a-fA-F-]{3,35}$")
# Names that are compared with a missing one at most, and candidates that are shown at most.
_COMPARED = 1000
_SHOWN = 8


def missing(kind: str, wanted: str, known: Iterable[str], *, command: str = "") -> CommandFailed:
    """Return the error for exit code 5 with similar names, or with the command that lists all names."""
    fix = did_you_mean(wanted, known, command or f"orion {kind.replace(' ', '-')} ls")
    return CommandFailed(ExitCode.NOT_FOUND, f"There is no {kind} {wanted!r}.", fix=fix)


def ambiguous(
    kind: str, wanted: str, candidates: Sequence[str], fix: str = "give the id of the one you mean"
) -> CommandFailed:
    """Return the error for exit code 5 that lists the objects that a name matches."""
    lines = [*candidates[:_SHOWN]]
    if len(candidates) > _SHOWN:
        lines.append(f"and {len(candidates) - _SHOWN} more")
    return CommandFailed(ExitCode.NOT_FOUND, f"{wanted!r} means more than one {kind}.", "\n".join(lines), fix)


def found_by(api: Backend, call: Call[Any], otherwise: Callable[[], CommandFailed]) -> Json:
    """Fetch the object of a call; if it does not exist, raise the other error."""
    from orionflow.errors import NotFound

    try:
        found: Json = api.ask(call)
    except NotFound:
        raise otherwise() from None
    return found


def by_name(
    api: Backend, call: Call[Any], kind: str, name: str, every: Collection[Any], *, key: str = "name",
    command: str = "",
) -> Json:  # fmt: skip
    """Fetch the object of a call by its name; otherwise exit 5, with similar names of the collection."""
    if not name.strip("/"):
        # It would lead to the address of all objects.
        raise missing(kind, name, [], command=command)
    return found_by(
        api, call, lambda: missing(kind, name, [str(row[key]) for row in listed(api, every)], command=command)
    )


def listed(api: Backend, every: Collection[Any]) -> list[Json]:
    """Fetch the objects with whose names a missing name is compared."""
    return list(api.pages(every, {}, _COMPARED))


def find_named(api: Backend, every: Collection[Any], kind: str, wanted: str, *, command: str = "") -> Json:
    """Find the object with this name or id, or the only one whose id starts with it; otherwise exit 5."""
    rows = list(api.pages(every, {every.name: {"name": {"any_": [wanted]}}}, _SHOWN + 1))
    return by_name_or_id(kind, wanted, rows or list(api.pages(every, {}, None)), command=command)


def by_name_or_id(kind: str, wanted: str, rows: Sequence[Json], *, command: str = "") -> Json:
    """Find the row with this name or id, or the only one whose id starts with it; otherwise exit 5."""
    found = [row for row in rows if wanted in (row.get("name"), row["id"])] or by_prefix(rows, wanted)
    if len(found) == 1:
        return found[0]
    if not found:
        raise missing(kind, wanted, [row["name"] for row in rows if row.get("name")], command=command)
    raise ambiguous(kind, wanted, [f"{row['id']}  {row.get('name') or ''}".rstrip() for row in found])


def by_prefix(rows: Iterable[Json], wanted: str) -> list[Json]:
    """Find the rows whose ids start with it; with fewer than four characters, none."""
    if not _PREFIX.match(wanted):
        return []
    prefix = wanted.lower().replace("-", "")
    return [row for row in rows if row["id"].replace("-", "").startswith(prefix)]


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def find_flow(api: Backend, wanted: str) -> Json:
    """Find the flow with this name or id; otherwise exit 5."""
    found: list[Json] = api.ask(FLOWS.find({"flows": {"name": {"any_": [wanted]}}}))
    if found:
        return found[0]
    every = listed(api, FLOWS)
    if by_id := [flow for flow in every if flow["id"] == wanted.lower()]:
        return by_id[0]
    raise missing("flow", wanted, [flow["name"] for flow in every])


def find_flow_run(api: Backend, wanted: str) -> Json:
    """Find the one flow run that is meant; otherwise exit 5, with the candidates."""
    return _find_run(api, FLOW_RUNS, wanted, {})


def find_task_run(api: Backend, wanted: str) -> Json:
    """Find the one task run that is meant; otherwise exit 5, with the candidates."""
    owner, slash, name = wanted.rpartition("/")
    within: Json = {}
    if slash:
        within = {"flow_runs": {"id": {"any_": [find_flow_run(api, owner)["id"]]}}}
    return _find_run(api, TASK_RUNS, name, within)


def _find_run(api: Backend, runs: Collection[Any], wanted: str, within: Json) -> Json:
    kind = runs.name.replace("_", " ").removesuffix("s")

    def ask(conditions: Json, limit: int) -> list[Json]:
        filters = {**within, runs.name: conditions} if conditions else within
        found: list[Json] = api.ask(runs.find({**filters, "sort": NEWEST, "limit": limit}))
        return found

    def none_such() -> CommandFailed:
        return missing(kind, wanted, [run["name"] for run in ask({}, 50)])

    if wanted.startswith("@"):
        found = _newest(ask, runs, kind, wanted)
    elif whole := as_uuid(wanted):
        return found_by(api, runs.read(whole), none_such)
    else:
        found = ask({"name": {"any_": [wanted]}}, 20)
        if not found and _PREFIX.match(wanted):
            found = ask({"id": {"startswith_": wanted.lower().replace("-", "")}}, 20)
    if not found:
        raise none_such()
    if len(found) > 1:
        raise ambiguous(kind, wanted, [f"{run['id']}  {run['name']}  {run['state_name']}" for run in found])
    return _whole(api, runs, found[0])


def _newest(ask: Callable[[Json, int], list[Json]], runs: Collection[Any], kind: str, wanted: str) -> list[Json]:
    if wanted not in ("@last", "@last-failed"):
        raise CommandFailed(ExitCode.USAGE, f"{wanted} is unknown.", fix="write @last or @last-failed")
    conditions: Json = {}
    if runs is FLOW_RUNS:
        # The server's clock may be slightly ahead of ours.
        due = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
        conditions["expected_start_time"] = {"before_": due}
    if wanted == "@last-failed":
        conditions |= BAD_STATES
    found = ask(conditions, 1)
    if not found:
        which = "has failed yet" if wanted == "@last-failed" else "is known yet"
        raise CommandFailed(ExitCode.NOT_FOUND, f"No {kind} {which}.", fix="orion run flows.py:my_flow")
    return found


def _whole(api: Backend, runs: Collection[Any], listed: Json) -> Json:
    """Fetch the run separately if the list omitted something large."""
    fields = [*listed.values(), (listed.get("state") or {}).get("data")]
    if not any(isinstance(field, dict) and OMITTED in field for field in fields):
        return listed
    whole: Json = api.ask(runs.read(listed["id"]))
    return whole
