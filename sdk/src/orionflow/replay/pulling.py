"""Pulling of a run: read everything that a capsule contains from the API, and write it into one file.

It only uses calls of the API, so a capsule contains what its user is allowed to see.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orionflow.calls.deployments import DEPLOYMENTS
from orionflow.calls.environments import read_environment
from orionflow.calls.flow_runs import FLOW_RUNS, explain_flow_run
from orionflow.calls.flows import FLOWS
from orionflow.calls.records import ARTIFACTS, LOGS
from orionflow.calls.server import read_me
from orionflow.calls.task_runs import TASK_RUNS, explain_task_run
from orionflow.environment import installed_packages
from orionflow.errors import ApiError, OrionError
from orionflow.replay.capsule import CODE, MEGABYTE, RUNS, Writing, as_json
from orionflow.replay.capsule import LOGS as LOG_FILE
from orionflow.replay.code_files import Code, CodeFile, as_recorded, files_of, find_code
from orionflow.replay.secret_names import SecretNames, names_of_profile
from orionflow.replay.stored_results import PackedResults

if TYPE_CHECKING:
    from orionflow.cli.backend import Backend

Json = dict[str, Any]
# The largest numbers of subflow runs, log lines, and task runs whose rules are included.
MOST_SUBFLOWS = 200
MOST_LINES = 20_000
MOST_EXPLAINED = 100
IDS_IN_ONE_REQUEST = 100
# Task runs in other states, or with retries, are explained by a separate request.
_WORKED = frozenset({"COMPLETED"})
# The API replaces values that lists omit by this key.
_OMITTED = "__orion_omitted__"
# Their keys are named by users.
_USERS_OWN = frozenset({"parameters", "results"})
_ARTIFACT = ("id", "key", "type", "description", "created", "flow_run_id", "task_run_id")


class TooLarge(OrionError):
    """The results do not fit into the capsule."""

    def __init__(self, results: Sequence[tuple[str, int]], most: int) -> None:
        largest = sorted(results, key=lambda one: -one[1])[:3]
        listed = ", ".join(f"{name} ({size / MEGABYTE:.1f} MB)" for name, size in largest)
        super().__init__(
            f"{len(results)} result{'s' if len(results) > 1 else ''} would make the capsule larger than "
            f"{most // MEGABYTE} MB, the largest of them {listed}; allow more with --max-size, or leave results out "
            "with --no-results: their tasks run again in a replay."
        )


@dataclass(slots=True)
class Wanted:
    """The optional parts of a capsule, in addition to the records."""

    entrypoint: str | None = None
    folder: Path = field(default_factory=Path.cwd)
    results: bool = True
    code: bool = True
    logs: bool = True
    most_bytes: int = 64 * MEGABYTE


@dataclass(slots=True)
class Pulled:
    """The numbers of a written capsule, to be shown."""

    task_runs: int
    results: int
    missing: int
    code: Code | None
    secrets: frozenset[str]


def pull(api: Backend, run: Json, file: IO[bytes], wanted: Wanted) -> Pulled:
    """Write the capsule of a flow run. Raise TooLarge if its results do not fit."""
    secrets = names_of_profile(api)
    capsule = Writing(file)
    flow = api.ask(FLOWS.read(run["flow_id"]))
    deployment = _deployment(api, run)
    results = PackedResults(capsule, secrets, room=wanted.most_bytes, are_wanted=wanted.results)
    runs = [_described(api, one, results) for one in _with_subflows(api, run)]
    if results.too_large:
        raise TooLarge(results.too_large, wanted.most_bytes)
    code = _code(wanted, deployment) if wanted.code or wanted.entrypoint else None
    files = list(files_of(code, secrets)) if code and wanted.code else []
    for one in files:
        capsule.add_once(CODE + one.name, one.content)
    records = {"flow": flow, "deployment": deployment, "root": run["id"], "flow_runs": runs}
    capsule.add(RUNS, as_json(secrets.json(without_environment(records))))
    if wanted.logs:
        capsule.add(LOG_FILE, b"".join(_lines(api, [one["run"]["id"] for one in runs], secrets)))
    capsule.close(secrets.json(_manifest(api, run, flow, code, files, secrets)))
    kept = [one for known in runs for one in known["results"].values()]
    return Pulled(
        sum(len(one["task_runs"]) for one in runs),
        sum("missing" not in one for one in kept),
        sum("missing" in one for one in kept),
        code,
        frozenset(secrets.found),
    )


def without_environment(value: Any, name: str = "") -> Any:
    """Leave out the environment variables in job variables, which are often secrets."""
    match value:
        case dict() if name in ("env", "environment"):
            return dict.fromkeys(value, "[left out]")
        case dict():
            return {
                key: inner if key in _USERS_OWN else without_environment(inner, key) for key, inner in value.items()
            }
        case list():
            return [without_environment(inner) for inner in value]
    return value


def _deployment(api: Backend, run: Json) -> Json | None:
    if not run.get("deployment_id"):
        return None
    try:
        found: Json = api.ask(DEPLOYMENTS.read(run["deployment_id"]))
    except ApiError:
        # It was deleted, or this user may not see it.
        return None
    return found


def _with_subflows(api: Backend, run: Json) -> list[Json]:
    """Return the run and its subflow runs, each with its task runs."""
    found: list[Json] = [{"run": run}]
    level = found
    while level and len(found) < MOST_SUBFLOWS:
        for one in level:
            ids = {"flow_runs": {"id": {"any_": [one["run"]["id"]]}}}
            one["task_runs"] = [
                _whole(api, TASK_RUNS, task)
                for task in api.pages(TASK_RUNS, {**ids, "sort": "EXPECTED_START_TIME_ASC"}, None)
            ]
        parents = [one["run"]["id"] for one in level]
        below = {"flow_runs": {"parent_flow_run_id": {"any_": parents}}, "sort": "EXPECTED_START_TIME_ASC"}
        level = [
            {"run": _whole(api, FLOW_RUNS, one)} for one in api.pages(FLOW_RUNS, below, MOST_SUBFLOWS - len(found))
        ]
        found = [*found, *level]
    for one in found:
        one.setdefault("task_runs", [])
    return found


def _whole(api: Backend, runs: Any, listed: Json) -> Json:
    """Read a run separately if the list omitted something large."""
    fields = [*listed.values(), (listed.get("state") or {}).get("data")]
    if any(isinstance(one, dict) and _OMITTED in one for one in fields):
        whole: Json = api.ask(runs.read(listed["id"]))
        return whole
    return listed


def _described(api: Backend, known: Json, results: PackedResults) -> Json:
    """Return a flow run with its states and rules, its task runs, and the results of all of them."""
    run, tasks = known["run"], known["task_runs"]
    # Ids are created in the order of the calls.
    tasks.sort(key=lambda one: one["id"])
    explained = [one for one in tasks if one["state_type"] not in _WORKED or one["run_count"] > 1][:MOST_EXPLAINED]
    for one in explained:
        one["why"] = api.ask(explain_task_run(one["id"]))
    kept = {one["id"]: results.of_state(one.get("state"), one["name"]) for one in tasks}
    kept[run["id"]] = results.of_state(run.get("state"), run["name"])
    criteria = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    artifacts = [{name: one.get(name) for name in _ARTIFACT} for one in api.pages(ARTIFACTS, criteria, 1000)]
    return {
        "run": run,
        "why": api.ask(explain_flow_run(run["id"])),
        "task_runs": tasks,
        "artifacts": artifacts,
        "results": {key: one for key, one in kept.items() if one is not None},
    }


def _lines(api: Backend, run_ids: list[str], secrets: SecretNames) -> Iterator[bytes]:
    left = MOST_LINES
    for first in range(0, len(run_ids), IDS_IN_ONE_REQUEST):
        ids = run_ids[first : first + IDS_IN_ONE_REQUEST]
        criteria = {"logs": {"flow_run_id": {"any_": ids}}, "sort": "TIMESTAMP_ASC"}
        for line in api.pages(LOGS, criteria, left):
            left -= 1
            yield json.dumps(secrets.json(line), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _code(wanted: Wanted, deployment: Json | None) -> Code | None:
    if wanted.entrypoint:
        code = find_code(wanted.entrypoint, wanted.folder, anywhere=True)
        if code is None:
            raise OrionError(f"There is no file of code at {wanted.entrypoint!r}; write it as path/to/file.py:flow.")
        return code
    entrypoint = (deployment or {}).get("entrypoint")
    return find_code(entrypoint, wanted.folder) if isinstance(entrypoint, str) else None


def _manifest(
    api: Backend, run: Json, flow: Json, code: Code | None, files: list[CodeFile], secrets: SecretNames
) -> Json:
    from importlib.metadata import version

    return {
        "orion": version("orionflow"),
        "made_at": datetime.now(UTC).isoformat(),
        "made_by": _maker(api),
        "server": _server(),
        "flow_run": {"id": run["id"], "name": run["name"], "flow": flow["name"], "state": run["state_name"]},
        **_environment(api, run),
        "code": as_recorded(code, files, secrets, run.get("flow_version")) if code else None,
    }


def _maker(api: Backend) -> str | None:
    try:
        me = api.ask(read_me())
    except ApiError:
        return None
    return str(me.get("name") or "") or None


def _server() -> str | None:
    """Return the address of the API without credentials; None for an API inside a program."""
    from orionflow.settings import current_settings

    url = current_settings().api_url
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _environment(api: Backend, run: Json) -> Json:
    """Return Python and packages of the run if they were recorded, otherwise those of this machine."""
    if run.get("environment_id"):
        try:
            found: Json = api.ask(read_environment(run["environment_id"]))
        except ApiError:
            found = {}
        if found:
            kept = {name: found.get(name) for name in ("python", "platform", "commit", "packages")}
            return {"environment_of": "the run", **kept}
    return {
        "environment_of": "the machine that pulled",
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        # Only names and versions: the source of a package may be an address with a password.
        "packages": installed_packages(),
    }
