"""Entry points: `path/to/file.py:flow` and `package.module:flow` lead to a flow object, and flows to entry points."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orionflow.code.fetched_modules import SCRIPT_PREFIX, code_folder
from orionflow.errors import CodeUnavailable, UsageError
from orionflow.spelling import did_you_mean

if TYPE_CHECKING:
    from orionflow.flows import Flow


class NoEntrypoint(CodeUnavailable):
    """There is no flow at an entry point; `is_missing` distinguishes missing code from broken code."""

    def __init__(self, what: str, why: str = "", fix: str = "", *, is_missing: bool = True) -> None:
        super().__init__("\n".join(filter(None, (what, why, fix and f"To do: {fix}"))))
        self.what, self.why, self.fix, self.is_missing = what, why, fix, is_missing


def load_flow(entrypoint: str, folder: Path | None = None) -> Flow[Any, Any]:
    """Return the flow at an entry point. Without `:name`, return the only flow in the file.

    A path is relative to `folder`, and must not lead out of it; without a folder, it is relative to the working
    directory. Modules are searched there first, as if the process had been started for this flow.
    """
    where, name = split_entrypoint(entrypoint)
    if folder is None:
        return _chosen_flow(_load_module(where), where, name)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return _chosen_flow(_load_module(_placed(where, folder)), where, name)


def load_fetched_flow(entrypoint: str, folder: Path) -> Flow[Any, Any]:
    """Return the flow at an entry point of fetched code, without an effect on other code in this process.

    Imports of the flow's modules are resolved in their folder, which other modules do not see.
    """
    where, name = split_entrypoint(entrypoint)
    return _chosen_flow(_loaded(where, folder), where, name)


def flows_in_fetched_file(file: str, folder: Path) -> dict[str, Flow[Any, Any]]:
    """Return all flows of a file in a folder of fetched code, by the names that they have there."""
    return flows_of(_loaded(file, folder))


def _loaded(where: str, folder: Path) -> ModuleType:
    placed = _placed(where, folder)
    if is_path(placed) and not Path(placed).is_file():
        raise NoEntrypoint(f"There is no file {where!r}.", fix=_HOW_TO_WRITE)
    try:
        return _fetched_module(placed, folder)
    except Exception as error:
        raise _cannot_import(where, error) from error


def _fetched_module(placed: str, folder: Path) -> ModuleType:
    if not is_path(placed):
        return code_folder(folder).load(placed)
    file = Path(placed).absolute()
    code = code_folder(folder, file)
    if file.stem.isidentifier() and file.resolve().is_relative_to(code.root) and code.name_of(file.stem):
        return code.load(file.stem, again=True)
    return _from_file(file)


def split_entrypoint(entrypoint: str) -> tuple[str, str]:
    where, _, name = entrypoint.rpartition(":")
    # `C:\flows.py`, or a path without a name: the colon is not a separator there.
    if not where or "/" in name or "\\" in name or name.endswith(".py"):
        return entrypoint, ""
    return where, name


def is_path(where: str) -> bool:
    return where.endswith(".py") or "/" in where or Path(where).is_file()


def entrypoint_of(flow: Flow[Any, Any], root: Path | None = None) -> str:
    """Return the entry point by which another process finds a flow: its file relative to a folder, or its module."""
    fn = inspect.unwrap(flow.fn)
    module, name = getattr(fn, "__module__", None) or "", getattr(fn, "__qualname__", flow.name)
    if "<locals>" in name:
        raise UsageError(
            f"The flow {flow.name!r} is made inside a function, where another process cannot find it; "
            "define it at the top of a file, or say entrypoint='path/to/file.py:flow'."
        )
    file = _file_of(fn)
    name = _name_in_module(flow, module, name)
    if file is None:
        raise UsageError(
            f"The flow {flow.name!r} is in no file (a notebook or an interactive session), where another process "
            "cannot find it; write it into a file and deploy it from there."
        )
    base = (root or Path.cwd()).resolve()
    if file.is_relative_to(base):
        return f"{file.relative_to(base).as_posix()}:{name}"
    # A single file next to the program is a module for this program only; a package is installed, or meant to be.
    if module in ("__main__", "__mp_main__") or ("." not in module and not _is_installed(file)):
        return f"{file}:{name}"
    return f"{module}:{name}"


def _is_installed(file: Path) -> bool:
    import sysconfig

    places = (sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    return any(file.is_relative_to(place) for place in places)


def _file_of(fn: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(fn)
    except TypeError:
        return None
    path = Path(file).resolve() if file else None
    return path if path is not None and path.is_file() else None


def _name_in_module(flow: Flow[Any, Any], module: str, name: str) -> str:
    """Return the name of the flow in its module, which may differ from that of the function."""
    there = vars(sys.modules.get(module, object)) if module in sys.modules else {}
    if getattr(there.get(name), "fn", None) is flow.fn:
        return name
    return next((key for key, value in there.items() if getattr(value, "fn", None) is flow.fn), name)


_HOW_TO_WRITE = "write it as path/to/file.py:flow, seen from the working directory, or as package.module:flow"


def _placed(where: str, folder: Path) -> str:
    """Return the file of an entry point below a folder."""
    if not (is_path(where) or (folder / where).is_file()):
        return where
    if Path(where).is_absolute():
        return where
    file = (folder / where).resolve()
    if ".." in Path(where).parts or not file.is_relative_to(folder.resolve()):
        raise NoEntrypoint(
            f"The entry point {where!r} leads out of the folder of the code, {folder}.", is_missing=False
        )
    return str(file)


def _load_module(where: str) -> ModuleType:
    by_path = is_path(where)
    if by_path and not Path(where).is_file():
        raise NoEntrypoint(f"There is no file {where!r}.", fix=_HOW_TO_WRITE)
    try:
        return _from_file(Path(where).absolute()) if by_path else _from_name(where)
    except Exception as error:
        raise _cannot_import(where, error) from error


def _from_name(name: str) -> ModuleType:
    # As with `python -m`, code in the working directory can be imported.
    if "" not in sys.path:
        sys.path.insert(0, "")
    return import_module(name)


def _from_file(path: Path) -> ModuleType:
    """Import a file as Python runs a script: its folder comes first on the path, and its module has the file's name.

    That name allows worker processes to import the same functions again.
    """
    sys.path.insert(0, str(path.parent))
    name = path.stem
    taken = name in sys.modules or name in sys.stdlib_module_names
    spec = importlib.util.spec_from_file_location(SCRIPT_PREFIX + name if taken else name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it is executed: dataclasses and pickle look up the module of a class there.
    sys.modules[spec.name] = module
    if taken:
        _send_by_value(module)
    spec.loader.exec_module(module)
    return module


def _send_by_value(module: ModuleType) -> None:
    # Another process would import another module of this name.
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def _cannot_import(where: str, error: Exception) -> NoEntrypoint:
    if isinstance(error, ModuleNotFoundError) and error.name and where.split(".")[0] == error.name:
        return NoEntrypoint(f"There is no module {where!r}.", fix=_HOW_TO_WRITE)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith("<")]
    place = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else ""
    return NoEntrypoint(
        f"{where} cannot be imported: {type(error).__name__}: {error}",
        place,
        "run it with python first",
        is_missing=False,
    )


def _chosen_flow(module: ModuleType, where: str, name: str) -> Flow[Any, Any]:
    flows = flows_of(module)
    if name:
        found = flows.get(name) or next((flow for flow in flows.values() if flow.name == name), None)
        if found:
            return found
        raise _no_such_flow(module, where, name, list(flows))
    distinct = list({id(flow): flow for flow in flows.values()}.values())
    if len(distinct) == 1:
        return distinct[0]
    if not distinct:
        raise NoEntrypoint(f"{where} has no flow.", fix="decorate a function with @flow")
    raise NoEntrypoint(f"{where} has several flows.", ", ".join(flows), f"name one, as in {where}:{next(iter(flows))}")


def flows_of(module: ModuleType) -> dict[str, Flow[Any, Any]]:
    from orionflow.flows import Flow

    return {name: value for name, value in vars(module).items() if isinstance(value, Flow)}


def _no_such_flow(module: ModuleType, where: str, name: str, flows: list[str]) -> NoEntrypoint:
    if callable(getattr(module, name, None)):
        return NoEntrypoint(f"{name} in {where} is not a flow.", fix=f"decorate it with @flow, above `def {name}`")
    fix = did_you_mean(name, flows, most=1, before=f"{where}:")
    known = f"it has {', '.join(flows)}" if flows else "it has none"
    return NoEntrypoint(f"There is no flow {name!r} in {where}.", known, fix)
