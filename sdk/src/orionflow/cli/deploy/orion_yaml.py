"""Deployments from `orion.yaml`, and from Prefect's `prefect.yaml` as far as the formats agree.

The flows are loaded from their entry points, relative to the file's folder, for their names and parameters.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.parameters import parse_structure
from orionflow.spelling import did_you_mean, near

if TYPE_CHECKING:
    from orionflow.deployments import Deployment

Json = dict[str, Any]
# The command that explains the file.
HELP = "orion help deploy-files"
NAMES = ("orion.yaml", "orion.yml", "prefect.yaml")
_OTHERS = frozenset(
    {"name", "entrypoint", "schedule", "schedules", "work_pool", "work_queue", "pull", "path", "flow_name"}
)
# Prefect executes these when deploying; Orion does not, and says so.
_NOT_HERE = ("build", "push", "triggers")


def plain_options() -> frozenset[str]:
    """Return the fields that have the same name in a file and in `flow.deploy`."""
    from orionflow.contract.deployments import FIELDS
    from orionflow.deployments.definition import DeploymentOptions

    return frozenset(FIELDS) & DeploymentOptions.__annotations__.keys() - _OTHERS


def find_file(given: str | None) -> Path:
    """Return the given file, or by default the first of the usual ones in this folder."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {given!r}.", fix="orion deploy FILE")
        return path
    found = next((Path(name) for name in NAMES if Path(name).is_file()), None)
    if found is None:
        raise CommandFailed(
            ExitCode.NOT_FOUND,
            f"There is no {NAMES[0]} in this folder.",
            fix="orion deployment build flows.py:etl -n prod -o orion.yaml",
        )
    return found


def read_file(path: Path) -> Json:
    """Read a file as plain values."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(path, getattr(error, "strerror", None) or str(error)) from None
    whole = parse_structure(text, str(path), HELP)
    if not isinstance(whole, dict) or not isinstance(whole.get("deployments"), list):
        raise _bad(path, "it has no list `deployments:`")
    return whole


def mark_of(path: Path) -> str | None:
    """Return the mark of the file's project on its deployments, by which --prune finds them; None without a `name:`.

    The folder's name would not do, as other projects may use the same one.
    """
    name = read_file(path).get("name")
    return f"orion.yaml:{name}" if name else None


def refuse_nameless_pruning(path: Path) -> None:
    """Refuse to prune without a project name, as the project's earlier deployments are not known then."""
    if mark_of(path) is None:
        raise CommandFailed(
            ExitCode.USAGE,
            f"{path} has no `name:`, so --prune cannot know its deployments from those of others.",
            fix=f"write `name: …` at the top of {path}, and deploy it once before pruning",
        )


@contextmanager
def about(name: str, fate: str) -> Iterator[None]:
    """Add the deployment's name to errors in this block."""
    from click import UsageError

    from orionflow.cli.errors import explained
    from orionflow.errors import OrionError

    try:
        yield
    except (CommandFailed, UsageError, OrionError) as error:
        found = explained(error)
        why = "\n".join(filter(None, (found.what, found.why)))
        raise CommandFailed(found.code, f"{name} {fate}.", why, found.fix) from error


def deployments_of(path: Path, names: tuple[str, ...] = ()) -> tuple[list[Deployment], list[str]]:
    """Return a file's deployments, or the named ones, and notes about parts that are not executed."""
    whole = read_file(path)
    entries = [entry for entry in whole["deployments"] if isinstance(entry, dict)]
    if len(entries) != len(whole["deployments"]) or not all(entry.get("name") for entry in entries):
        raise _bad(path, "every deployment needs a `name:`")
    chosen = _chosen(entries, names, path)
    notes = [note for entry in (whole, *chosen) for note in _notes(entry)]
    with _in_folder(path.absolute().parent):
        found = []
        for entry in chosen:
            with about(f"The deployment {entry['name']!r} of {path}", "cannot be deployed"):
                found.append(_deployment(entry, whole))
    twice = [name for name, count in Counter(one.full_name for one in found).items() if count > 1]
    if twice:
        raise _bad(path, f"it has {twice[0]} more than once")
    return found, list(dict.fromkeys(notes))


def _chosen(entries: list[Json], names: tuple[str, ...], path: Path) -> list[Json]:
    known = [str(entry["name"]) for entry in entries]
    wanted = [name.rpartition("/")[2] for name in names]
    for name in wanted:
        if name not in known:
            fix = did_you_mean(name, known, f"it has {', '.join(known) or 'none'}", most=1)
            raise CommandFailed(ExitCode.NOT_FOUND, f"{path} has no deployment {name!r}.", fix=fix)
    return [entry for entry in entries if not wanted or entry["name"] in wanted]


def _notes(entry: Json) -> Iterator[str]:
    for word in _NOT_HERE:
        if entry.get(word):
            yield f"`{word}:` is not carried out by orion deploy."


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Resolve entry points and code relative to the file, from wherever the command was called."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _deployment(entry: Json, whole: Json) -> Deployment:
    from orionflow.cli.run import load_flow
    from orionflow.deployments import Deployment

    plain = plain_options()
    if unknown := set(entry) - plain - _OTHERS - set(_NOT_HERE):
        raise _unknown_keys(sorted(unknown), sorted(plain | _OTHERS))
    if not entry.get("entrypoint"):
        raise CommandFailed(ExitCode.USAGE, "It has no `entrypoint:`, such as flows.py:etl.", fix=HELP)
    flow = load_flow(entry["entrypoint"])
    options = {name: value for name, value in entry.items() if name in plain and value is not None}
    options |= _work_pool(entry)
    schedules = [*(entry.get("schedules") or []), *([entry["schedule"]] if entry.get("schedule") else [])]
    options["schedules"] = [_schedule(one) for one in schedules]
    built = Deployment.build_from_flow(flow, entry["name"], entrypoint=entry["entrypoint"], **options)
    steps = entry.get("pull") or whole.get("pull")
    if steps:
        built.path, built.pull_steps = None, steps
    elif entry.get("path"):
        built.path = str(Path(entry["path"]).absolute())
    return built


def _unknown_keys(unknown: list[str], known: list[str]) -> CommandFailed:
    meant = [(key, near(key, known)) for key in unknown]
    shown = [f"{key} (did you mean {' or '.join(names)}?)" if names else key for key, names in meant]
    return CommandFailed(ExitCode.USAGE, f"It says {', '.join(shown)}, unknown here.", fix=HELP)


def _schedule(written: Any) -> Any:
    """Return a schedule in the form of `flow.deploy`, without the empty fields that Prefect writes."""
    if not isinstance(written, dict):
        return written
    inner = written.pop("schedule", None)
    flat = {**(inner if isinstance(inner, dict) else {}), **written}
    return {name: value for name, value in flat.items() if value is not None}


def _work_pool(entry: Json) -> Json:
    """Return the fields of `work_queue: big`, or of Prefect's `work_pool: {name, work_queue_name, job_variables}`."""
    pool = entry.get("work_pool") or {}
    pool = {"name": pool} if isinstance(pool, str) else pool
    fields = {
        "work_pool_name": pool.get("name"),
        "work_queue_name": pool.get("work_queue_name") or entry.get("work_queue"),
        "job_variables": pool.get("job_variables"),
    }
    return {name: value for name, value in fields.items() if value}


def _bad(path: Path, why: str) -> CommandFailed:
    return CommandFailed(ExitCode.USAGE, f"{path} cannot be understood.", why, HELP)
