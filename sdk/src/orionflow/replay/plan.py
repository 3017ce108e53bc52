"""The plan of a replay before it starts: which tasks run, where their inputs come from, and which code is used."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orionflow.contract.states import BAD
from orionflow.environment import installed_packages
from orionflow.errors import OrionError
from orionflow.replay.capsule import CODE, BadCapsule, Capsule
from orionflow.replay.code_files import Code, differing_files, file_of_function, find_code, is_digest
from orionflow.replay.records import FlowRunRecords, RecordedResult, Records, TaskRunRecord, read_records
from orionflow.results.sealing import is_ours
from orionflow.spelling import did_you_mean

# Task runs that the error about a missing one lists at most.
NAMED = 8


class NoSuchTask(OrionError):
    """The run has no task run of this name."""


class NoCode(OrionError):
    """The code of the run was not found where it was searched."""


@dataclass(slots=True)
class Plan:
    """A replay before it starts."""

    capsule: Capsule
    records: Records
    entrypoint: str
    # The folder of the code: the user's, or None for that of the capsule, which is not unpacked yet.
    folder: Path | None
    chosen: list[TaskRunRecord]
    # A task run, or the function of a task that the run did not reach.
    until: TaskRunRecord | str | None = None
    unreached: str | None = None
    # The parameters for the call of the flow.
    parameters: dict[str, Any] = field(default_factory=dict)
    is_debugged: bool = False
    is_offline: bool = False
    # How the code on this machine relates to that of the run, if there is nothing to warn about.
    sameness: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> int:
        """The number of finished tasks whose results come from the capsule."""
        return sum(_has_result(own, task) for own, task in self._others())

    @property
    def without_result(self) -> list[str]:
        """The finished tasks whose results are missing, so that their code runs again."""
        return [task.name for own, task in self._others() if task.type == "COMPLETED" and not _is_there(own, task)]

    @property
    def changed_inputs(self) -> list[str]:
        """The finished tasks that changed their arguments, so that their code runs again."""
        return [task.name for own, task in self._others() if _is_there(own, task) and not _has_result(own, task)]

    @property
    def pickles(self) -> list[RecordedResult]:
        """The results that run code when they are read."""
        return [result for own in self.records.flow_runs for result in own.results.values() if result.runs_code]

    @property
    def sealed_here(self) -> int:
        """The number of those that this installation has sealed itself."""
        return sum(_is_ours(self.capsule, one) for one in self.pickles)

    def _others(self) -> list[tuple[FlowRunRecords, TaskRunRecord]]:
        chosen = {one.id for one in self.chosen}
        return [(own, task) for own, task in self.records.task_runs() if task.id not in chosen]


def _is_ours(capsule: Capsule, result: RecordedResult) -> bool:
    match result.reference:
        case {"storage": str(where), "storage_key": str(key)} if result.file and result.file in capsule.members:
            content = capsule.read(result.file)
            return is_ours(content, where=where, key=key, kind=result.serializer or "pickle")
    return False


def _is_there(own: FlowRunRecords, task: TaskRunRecord) -> bool:
    result = own.results.get(task.id)
    return result is not None and result.is_there


def _has_result(own: FlowRunRecords, task: TaskRunRecord) -> bool:
    """Whether there is a result that can replace the call."""
    return _is_there(own, task) and not own.results[task.id].inputs_changed


def make_plan(
    capsule: Capsule, *, entrypoint: str | None = None, code: str = "local", task: str | None = None,
    until: str | None = None, debug: bool = False, offline: bool = False, here: Path | None = None,
    parameters: dict[str, Any] | None = None,
) -> Plan:  # fmt: skip
    """Determine what a replay would do. Nothing of the capsule is unpacked or run."""
    records = read_records(capsule)
    chosen = [one for _, one in records.task_runs() if one.type in BAD]
    plan = Plan(capsule, records, "", None, chosen, is_debugged=debug, is_offline=offline)
    described = capsule.manifest.get("code")
    described = described if isinstance(described, dict) else {}
    if code == "capsule":
        plan.entrypoint = _in_capsule(capsule, described)
    else:
        _take_local_code(plan, described, entrypoint, here or Path.cwd())
    if task:
        found = _meant(plan, task, here or Path.cwd())
        plan.chosen, plan.unreached = ([], found) if isinstance(found, str) else ([found], None)
    plan.until = _meant(plan, until, here or Path.cwd()) if until else None
    _compare_environments(plan)
    if debug and not (plan.chosen or plan.unreached):
        plan.warnings.append("No task of the run failed, so the debugger stops nowhere; name one with --task.")
    plan.parameters = {**records.root.run.parameters, **(parameters or {})}
    if masked := [name for name, value in plan.parameters.items() if _is_masked(value)]:
        names = ", ".join(masked[:5])
        plan.warnings.append(
            f"Of {names} the flow gets the names of secrets in their place; say others with -p NAME=VALUE."
        )
    return plan


def _in_capsule(capsule: Capsule, described: dict[str, Any]) -> str:
    entrypoint = described.get("entrypoint")
    name = str(entrypoint).rpartition(":")[0] or str(entrypoint)
    module = name.replace(".", "/")
    known = {name, f"{module}.py", f"{module}/__init__.py"}
    if not isinstance(entrypoint, str) or not any(CODE + one in capsule.members for one in known):
        raise NoCode(
            "The capsule has no code; use that of this folder: leave --code out, and name --entrypoint if asked."
        )
    return entrypoint


def _take_local_code(plan: Plan, described: dict[str, Any], entrypoint: str | None, here: Path) -> None:
    wanted = entrypoint or _deployed(plan.capsule) or described.get("entrypoint")
    if not isinstance(wanted, str):
        raise NoCode(
            f"Where is the code of the flow {plan.records.flow!r}? The capsule does not say; "
            "name it with --entrypoint path/to/file.py:flow."
        )
    code = find_code(wanted, here, anywhere=entrypoint is not None)
    if code is None:
        in_capsule = " or use the code in the capsule with --code capsule;" if plan.capsule.code_names else ""
        raise NoCode(
            f"The code {wanted!r} is not in {here};{in_capsule} go to the folder of its repository, "
            "or name it with --entrypoint path/to/file.py:flow."
        )
    plan.entrypoint, plan.folder = code.entrypoint, code.root
    _compare(plan, code, described)


def _deployed(capsule: Capsule) -> str | None:
    deployment = capsule.runs.get("deployment")
    entrypoint = deployment.get("entrypoint") if isinstance(deployment, dict) else None
    return entrypoint if isinstance(entrypoint, str) else None


def _compare_environments(plan: Plan) -> None:
    """Warn if Python or its packages differ from those of the run, if these were recorded."""
    manifest = plan.capsule.manifest
    python, packages = manifest.get("python"), manifest.get("packages")
    if manifest.get("environment_of") != "the run" or not isinstance(packages, dict):
        return
    if isinstance(python, str) and python.split(".")[:2] != platform.python_version().split(".")[:2]:
        plan.warnings.append(f"The run was of Python {python}, this is {platform.python_version()}.")
    here = installed_packages()
    others = [
        f"{name} {then} (here {here.get(name, 'none')})" for name, then in packages.items() if here.get(name) != then
    ]
    if others:
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        plan.warnings.append(f"Packages are of other versions here: {', '.join(others[:4])}{more}.")


def _compare(plan: Plan, code: Code, described: dict[str, Any]) -> None:
    """Compare the code on this machine with that of the capsule and that of the run, and note the outcome."""
    commit, files = plan.capsule.manifest.get("commit") or described.get("commit"), described.get("files")
    version = plan.records.root.run.flow_version
    if isinstance(commit, str) and code.commit and commit != code.commit:
        plan.warnings.append(f"The code here is at commit {code.commit[:10]}, that of the run was at {commit[:10]}.")
    if isinstance(files, dict) and files:
        others = differing_files(_named(files), code.root)
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        if others:
            plan.warnings.append(f"These files differ from those of the capsule: {', '.join(others[:3])}{more}.")
        else:
            plan.sameness = "the same files as in the capsule"
    elif is_digest(version):
        if code.version != version:
            plan.warnings.append(f"{code.file.name} is not the file that the run was of; it has changed since.")
        else:
            plan.sameness = "the file that the run was of"
    else:
        plan.sameness = "it is not recorded whether the run was of this file"


def _named(files: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the files of a manifest with valid names of members, so that no other file is read."""
    from orionflow.replay.capsule import check_name

    found = {}
    for name, one in files.items():
        try:
            check_name(CODE + name)
        except BadCapsule:
            continue
        if isinstance(one, dict):
            found[name] = one
    return found


def _is_masked(value: Any) -> bool:
    match value:
        case str():
            return "[secret" in value or "********" in value
        case dict():
            return any(map(_is_masked, value.values()))
        case list():
            return any(map(_is_masked, value))
    return False


def _meant(plan: Plan, wanted: str, here: Path) -> TaskRunRecord | str:
    """Return the task run with this name, or the name of the function if the run did not reach it."""
    try:
        return find_task(plan.records, wanted)
    except NoSuchTask:
        code = find_code(plan.entrypoint, plan.folder, anywhere=True) if plan.folder else None
        if code is None or file_of_function(code.file, wanted) is None:
            raise
        return wanted


def find_task(records: Records, wanted: str) -> TaskRunRecord:
    """Return the task run with this name or of this function, which may have a number: `load`, `load-3`."""
    tasks = [task for _, task in records.task_runs()]
    if named := [one for one in tasks if one.name == wanted or one.id == wanted]:
        return named[0]
    function, _, number = wanted.rpartition("-")
    if number.isdigit() and (runs := _of_function(tasks, function)) and int(number) < len(runs):
        return runs[int(number)]
    if runs := _of_function(tasks, wanted):
        # Of several, prefer one that failed.
        return next((one for one in runs if one.type in BAD), runs[0])
    known = list(dict.fromkeys(one.name for one in tasks))
    has = f"It has {', '.join(known[:NAMED])}{' and others' if known[NAMED:] else ''}." if known else "It has none."
    raise NoSuchTask(f"The run has no task run {wanted!r}. {did_you_mean(wanted, known, has)}")


def _of_function(tasks: Sequence[TaskRunRecord], name: str) -> list[TaskRunRecord]:
    def names(task: TaskRunRecord) -> tuple[str, ...]:
        return task.function, task.function.rpartition(".")[2], task.name.rpartition("-")[0]

    return [one for one in tasks if name in names(one)]
