"""How a run is named on the command line: id, the beginning of an id, run name, `@last`, `@last-failed`.

The last run is the last one whose time has come: runs that are planned for later are not.

A task run may also be named `flow-run/task-run`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.spelling import near

NEWEST = "EXPECTED_START_TIME_DESC"
BAD_STATES = {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}}
_PREFIX = re.compile(r"^[0-9a-fA-F][0-9a-fA-F-]{3,35}$")
_SHOWN = 8


# In the place of what lists leave out.
OMITTED = "__orion_omitted__"


def find_flow_run(api: Backend, wanted: str) -> Json:
    """The one flow run that is meant; otherwise exit 5, with the candidates."""
    return _find(api, "flow_runs", "flow run", wanted, {})


def find_task_run(api: Backend, wanted: str) -> Json:
    """The one task run that is meant; otherwise exit 5, with the candidates."""
    owner, slash, name = wanted.rpartition("/")
    within: Json = {}
    if slash:
        within = {"flow_runs": {"id": {"any_": [find_flow_run(api, owner)["id"]]}}}
    return _find(api, "task_runs", "task run", name, within)


def _find(api: Backend, resource: str, kind: str, wanted: str, within: Json) -> Json:
    if wanted.startswith("@"):
        return _newest(api, resource, kind, wanted, within)
    if whole := _as_uuid(wanted):
        from orionflow.errors import NotFound

        try:
            run: Json = api.get(f"/{resource}/{whole}")
        except NotFound:
            raise _missing(api, resource, kind, wanted, within) from None
        return run
    found = _by_name(api, resource, wanted, within) or _by_prefix(api, resource, wanted, within)
    if len(found) == 1:
        return _whole(api, resource, found[0])
    raise _ambiguous(kind, wanted, found) if found else _missing(api, resource, kind, wanted, within)


def _newest(api: Backend, resource: str, kind: str, wanted: str, within: Json) -> Json:
    conditions = {"@last": {}, "@last-failed": {resource: BAD_STATES}}
    if wanted not in conditions:
        raise CommandFailed(ExitCode.USAGE, f"{wanted} is unknown.", fix="write @last or @last-failed")
    found = _ask(api, resource, {**within, resource: {**_due(resource), **conditions[wanted].get(resource, {})}}, 1)
    if not found:
        which = "has failed yet" if wanted == "@last-failed" else "is known yet"
        raise CommandFailed(ExitCode.NOT_FOUND, f"No {kind} {which}.", fix="orion run flows.py:my_flow")
    return _whole(api, resource, found[0])


def _whole(api: Backend, resource: str, listed: Json) -> Json:
    """The run as it is by itself: lists leave out what is large."""
    state = listed.get("state") or {}
    fields = [*listed.values(), state.get("data")]
    if not any(isinstance(field, dict) and OMITTED in field for field in fields):
        return listed
    whole: Json = api.get(f"/{resource}/{listed['id']}")
    return whole


def _due(resource: str) -> Json:
    if resource != "flow_runs":
        return {}
    # The server's clock may be a little ahead of ours.
    return {"expected_start_time": {"before_": (datetime.now(UTC) + timedelta(seconds=30)).isoformat()}}


def _by_name(api: Backend, resource: str, name: str, within: Json) -> list[Json]:
    return _ask(api, resource, {**within, resource: {"name": {"any_": [name]}}}, 20)


def _by_prefix(api: Backend, resource: str, beginning: str, within: Json) -> list[Json]:
    if not _PREFIX.match(beginning):
        return []
    return _ask(api, resource, {**within, resource: {"id": {"startswith_": beginning.lower().replace("-", "")}}}, 20)


def _ask(api: Backend, resource: str, filters: Json, limit: int) -> list[Json]:
    found: list[Json] = api.post(f"/{resource}/filter", {**filters, "sort": NEWEST, "limit": limit})
    return found


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _ambiguous(kind: str, wanted: str, found: list[Json]) -> CommandFailed:
    lines = [f"{run['id']}  {run['name']}  {run['state_name']}" for run in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    return CommandFailed(
        ExitCode.NOT_FOUND,
        f"{wanted!r} means more than one {kind}.",
        "\n".join(lines),
        "give the id of the one you mean",
    )


def _missing(api: Backend, resource: str, kind: str, wanted: str, within: Json) -> CommandFailed:
    latest: list[Any] = [run["name"] for run in _ask(api, resource, within, 50)]
    proposals = near(wanted, latest)
    fix = f"did you mean {' or '.join(proposals)}?" if proposals else f"orion {kind.replace(' ', '-')} ls"
    return CommandFailed(ExitCode.NOT_FOUND, f"There is no {kind} {wanted!r}.", fix=fix)
