"""Entry points: `path/to/file.py:flow` and `package.module:flow` lead to the flow object in that code."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.lazy import near

if TYPE_CHECKING:
    from orionflow.flows import Flow


def load_flow(entrypoint: str) -> Flow[Any, Any]:
    """The flow that is meant. Without `:name`, the only one in the file."""
    where, name = split_entrypoint(entrypoint)
    module = _load_module(where)
    return _chosen_flow(module, where, name)


def split_entrypoint(entrypoint: str) -> tuple[str, str]:
    where, _, name = entrypoint.rpartition(":")
    # `C:\flows.py` and a path without a name: the colon is no separator there.
    if not where or "/" in name or "\\" in name or name.endswith(".py"):
        return entrypoint, ""
    return where, name


def absolute_entrypoint(entrypoint: str) -> str:
    """The same entry point, from whatever folder it is used later."""
    where, name = split_entrypoint(entrypoint)
    path = Path(where)
    return f"{path.absolute() if path.exists() else where}{':' + name if name else ''}"


def _load_module(where: str) -> ModuleType:
    is_path = where.endswith(".py") or "/" in where or Path(where).is_file()
    if is_path and not Path(where).is_file():
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {where!r}.", fix="orion run path/to/file.py:flow")
    try:
        return _from_file(Path(where).absolute()) if is_path else _from_name(where)
    except Exception as error:
        raise _cannot_import(where, error) from error


def _from_name(name: str) -> ModuleType:
    # As `python -m` does: code in the working directory can be imported.
    if "" not in sys.path:
        sys.path.insert(0, "")
    return import_module(name)


def _from_file(path: Path) -> ModuleType:
    """Import a file as Python runs a script: its folder comes first on the path, its module has the file's name.

    That name lets worker processes import the same functions again.
    """
    sys.path.insert(0, str(path.parent))
    name = path.stem
    taken = name in sys.modules or name in sys.stdlib_module_names
    spec = importlib.util.spec_from_file_location(f"orion_script_{name}" if taken else name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if taken:
        _send_by_value(module)
    spec.loader.exec_module(module)
    return module


def _send_by_value(module: ModuleType) -> None:
    # Another process would import another module under this name.
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def _cannot_import(where: str, error: Exception) -> CommandFailed:
    if isinstance(error, ModuleNotFoundError) and error.name and where.split(".")[0] == error.name:
        return CommandFailed(ExitCode.NOT_FOUND, f"There is no module {where!r}.", fix="orion run path/to/file.py:flow")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith("<")]
    place = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else ""
    return CommandFailed(
        ExitCode.USAGE,
        f"{where} cannot be imported: {type(error).__name__}: {error}",
        place,
        "run it with python first",
    )


def _chosen_flow(module: ModuleType, where: str, name: str) -> Flow[Any, Any]:
    flows = _flows_of(module)
    if name:
        found = flows.get(name) or next((flow for flow in flows.values() if flow.name == name), None)
        if found:
            return found
        raise _no_such_flow(module, where, name, list(flows))
    distinct = list({id(flow): flow for flow in flows.values()}.values())
    if len(distinct) == 1:
        return distinct[0]
    if not distinct:
        raise CommandFailed(ExitCode.NOT_FOUND, f"{where} has no flow.", fix="decorate a function with @flow")
    raise CommandFailed(
        ExitCode.NOT_FOUND, f"{where} has several flows.", ", ".join(flows), f"orion run {where}:{next(iter(flows))}"
    )


def _flows_of(module: ModuleType) -> dict[str, Flow[Any, Any]]:
    from orionflow.flows import Flow

    return {name: value for name, value in vars(module).items() if isinstance(value, Flow)}


def _no_such_flow(module: ModuleType, where: str, name: str, flows: list[str]) -> CommandFailed:
    if callable(getattr(module, name, None)):
        return CommandFailed(
            ExitCode.NOT_FOUND, f"{name} in {where} is not a flow.", fix=f"decorate it with @flow, above `def {name}`"
        )
    proposals = near(name, flows)
    fix = f"did you mean {where}:{proposals[0]}?" if proposals else ""
    known = f"it has {', '.join(flows)}" if flows else "it has none"
    return CommandFailed(ExitCode.NOT_FOUND, f"There is no flow {name!r} in {where}.", known, fix)
