"""The flow that finds flows: an agent runs it where the code is, and it answers with an artifact.

Syntax trees determine which files to load, so that no others are executed. The files are loaded because names and
parameters of flows depend on executed decorators and annotations. The server never loads any of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from orionflow.calls.records import create_artifact
from orionflow.code.candidates import names_flows, python_files
from orionflow.code.entrypoints import NoEntrypoint, flows_in_fetched_file, flows_of
from orionflow.context import FlowRunContext
from orionflow.contract import discovery
from orionflow.contract.kinds import FINDER_NAME
from orionflow.errors import CodeUnavailable
from orionflow.flows import flow
from orionflow.recordable import as_text, clean_text, recordable_json

if TYPE_CHECKING:
    from orionflow.flows import Flow

MOST_CANDIDATES = 500
SECONDS_TO_FETCH = 120


@flow(name=FINDER_NAME, timeout_seconds=300, log_prints=False)
def find_flows(pull_steps: list[dict[str, Any]] | None = None, module: str | None = None) -> None:
    """Find the flows in a folder that pull steps fetch, or in an installed module or package."""
    before = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(prefix="orion-find-", ignore_cleanup_errors=True) as own:
            found = _of_module(module) if module else _of_folder(_fetched(pull_steps, Path(own)))
    finally:
        os.chdir(before)
    _answer(found)


class Found:
    """Flows and problems that were found, up to the limit of an answer."""

    def __init__(self) -> None:
        self.flows: list[dict[str, Any]] = []
        self.problems: list[dict[str, str]] = []
        self.files = 0
        self.left_out = 0
        self._room = discovery.LARGEST_ANSWER // 2

    def add(self, one: Flow[Any, Any], entrypoint: str) -> None:
        described = _described(one, entrypoint)
        size = len(to_json(described))
        if len(self.flows) == discovery.MOST_FLOWS or size > self._room:
            self.left_out += 1
            return
        self._room -= size
        self.flows.append(described)

    def add_problem(self, file: str, error: BaseException) -> None:
        if len(self.problems) < discovery.MOST_PROBLEMS:
            self.problems.append({"file": file[:1000], "reason": _text(_words(error))})


def _fetched(pull_steps: list[dict[str, Any]] | None, into: Path) -> Path:
    from orionflow.storage import fetch

    if not pull_steps:
        raise CodeUnavailable("Say where the code is: pull steps that bring it, or a module that is installed here.")
    return fetch({"pull_steps": pull_steps}, into, timeout_seconds=SECONDS_TO_FETCH)


def _of_folder(folder: Path) -> Found:
    found = Found()
    # Runs have this working directory too: a file may read others when it is loaded.
    os.chdir(folder)
    for file in _candidates(found, folder):
        name = file.relative_to(folder).as_posix()
        try:
            flows = flows_in_fetched_file(name, folder)
        except (Exception, SystemExit) as error:
            found.add_problem(name, error)
            continue
        for attribute, one in _own(flows, file):
            found.add(one, f"{name}:{attribute}")
    return found


def _of_module(name: str) -> Found:
    """Find the flows of a module, or of a package with everything below it."""
    found = Found()
    try:
        spec = importlib.util.find_spec(name)
    except (Exception, SystemExit) as error:
        raise CodeUnavailable(f"The module {name!r} cannot be imported: {_words(error)}") from error
    if spec is None:
        raise CodeUnavailable(f"There is no module {name!r} in the Python of this agent.")
    for folder, base in _places(spec.submodule_search_locations, spec.origin):
        for file in _candidates(found, folder) if base is None else [base]:
            dotted = name if base is not None else ".".join([name, *_parts(file.relative_to(folder))])
            try:
                flows = flows_of(importlib.import_module(dotted))
            except (Exception, SystemExit) as error:
                found.add_problem(dotted, error)
                continue
            for attribute, one in _own(flows, file):
                found.add(one, f"{dotted}:{attribute}")
    return found


def _places(folders: Any, origin: str | None) -> Iterator[tuple[Path, Path | None]]:
    """Yield the folders of a package, or the file of a module."""
    if folders is not None:
        yield from ((Path(folder), None) for folder in folders)
    elif origin and origin.endswith(".py"):
        yield Path(origin).parent, Path(origin)


def _parts(file: Path) -> list[str]:
    parts = list(file.with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _candidates(found: Found, folder: Path) -> Iterator[Path]:
    count = 0
    for file in python_files(folder):
        found.files += 1
        if names_flows(file):
            if count == MOST_CANDIDATES:
                found.add_problem(
                    file.relative_to(folder).as_posix(),
                    CodeUnavailable(f"More than {MOST_CANDIDATES} files have flows; name a folder further down."),
                )
                return
            count += 1
            yield file


def _own(flows: dict[str, Flow[Any, Any]], file: Path) -> Iterator[tuple[str, Flow[Any, Any]]]:
    """Yield the flows that are defined in the file, each once; imported flows are found where they are defined."""
    seen: set[int] = set()
    for name, one in flows.items():
        try:
            source = inspect.getsourcefile(inspect.unwrap(one.fn))
        except TypeError:
            source = None
        if id(one) not in seen and (source is None or Path(source).resolve() == file.resolve()):
            seen.add(id(one))
            yield name, one


def _described(one: Flow[Any, Any], entrypoint: str) -> dict[str, Any]:
    schema = recordable_json(_schema(one), discovery.LARGEST_SCHEMA)
    return {
        "name": _text(one.name)[:255] or "flow",
        "entrypoint": entrypoint[:4096],
        "description": _text(one.description or ""),
        "version": None if one.version is None else _text(one.version)[:255],
        "tags": [_text(tag)[:255] for tag in sorted(one.tags)][:100],
        # A schema that is too large to be shown is replaced by an open one.
        "parameters": schema.value if schema.change is None and isinstance(schema.value, dict) else {},
    }


def _schema(one: Flow[Any, Any]) -> dict[str, Any]:
    try:
        read: dict[str, Any] = from_json(to_json(one.parameter_schema))
    except Exception:
        return {}
    return read


def _answer(found: Found) -> None:
    context = FlowRunContext.get()
    assert context is not None
    answer = {
        "flows": found.flows,
        "problems": found.problems,
        "files": found.files,
        "left_out": found.left_out,
    }
    context.reporter.drain(context.id)
    context.client.send(
        create_artifact(
            type=discovery.ARTIFACT_TYPE,
            data=to_json(answer).decode(),
            description=f"{len(found.flows)} flows in {found.files} files.",
            flow_run_id=context.id,
        )
    )


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"It ended the process with code {0 if error.code is None else error.code} when it was loaded."
    if isinstance(error, NoEntrypoint):
        return "\n".join(filter(None, (error.what, error.why)))
    return str(error) if isinstance(error, CodeUnavailable) else f"{type(error).__name__}: {error}"


def _text(value: object) -> str:
    return clean_text(as_text(value), discovery.LONGEST_TEXT)[: discovery.LONGEST_TEXT]
