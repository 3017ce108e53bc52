"""Modules of fetched code: their imports are resolved in the folder into which they were fetched.

Several repositories may contain a `utils.py`. The first module of a name gets the name, unless the program could mean
another module by it; further ones get names of their own. An `import` in a fetched module finds the modules of its
folder, whenever it is executed.
"""

from __future__ import annotations

import builtins
import itertools
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

# Prefix for the module of a file whose name is already in use in this process.
SCRIPT_PREFIX = "orion_script_"
_OWN_NAME = re.compile(r"^orion_code_\d+_")
_numbers = itertools.count(1)
_lock = threading.RLock()


def _renew_lock() -> None:
    # A thread of the parent may have held it during the fork.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Claim(NamedTuple):
    """A top-level module of a fetched folder: its file, or the folders of a namespace package."""

    name: str
    file: str | None
    folders: tuple[str, ...] | None


class CodeFolder:
    """A folder of fetched code as its entry point sees it: the folder of the entry point first, then the top."""

    def __init__(self, root: str, paths: Sequence[str]) -> None:
        self.root = root
        self.paths = tuple(paths)
        self._names: dict[str, str | None] = {}

    def load(self, name: str, *, again: bool = False) -> ModuleType:
        """Return the module of this folder with a dotted name; `again` executes it again."""
        top, _, rest = name.partition(".")
        real = self.name_of(top)
        if real is None:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        real = f"{real}.{rest}" if rest else real
        if again:
            sys.modules.pop(real, None)
        _usual_import(real)
        _send_by_value(real)
        return sys.modules[real]

    def name_of(self, top: str) -> str | None:
        """Return the name in `sys.modules` of a top-level module of this folder; None if it has none of this name."""
        if top in self._names:
            return self._names[top]
        with _lock:
            if top not in self._names:
                self._names[top] = self._claimed(top)
            return self._names[top]

    def _claimed(self, top: str) -> str | None:
        # Python itself would use the loaded module.
        if top in sys.stdlib_module_names and top in sys.modules:
            return None
        spec = PathFinder.find_spec(top, list(self.paths))
        claim = None if spec is None else self._claim(top, spec)
        return None if claim is None else claim.name

    def _claim(self, top: str, spec: ModuleSpec) -> _Claim | None:
        folders = None if spec.submodule_search_locations is None else tuple(spec.submodule_search_locations)
        file = spec.origin if spec.has_location else None
        place = file or (folders[0] if folders else "")
        if not Path(place).resolve().is_relative_to(self.root):
            return None
        if place not in _claims_by_place:
            name = top if _is_free(top) else f"orion_code_{next(_numbers)}_{top}"
            _claims_by_place[place] = _claims[name] = _Claim(name, file, folders)
            _owners[name] = self
        return _claims_by_place[place]


_folders: dict[tuple[str, ...], CodeFolder] = {}
_owners: dict[str, CodeFolder] = {}
_claims: dict[str, _Claim] = {}
_claims_by_place: dict[str, _Claim] = {}
_sent_by_value: set[str] = set()
_works_for_another = False


def code_folder(root: Path, entry: Path | None = None) -> CodeFolder:
    """Return the fetched folder, for an entry point in the file `entry`."""
    top = str(root.resolve())
    paths = [top] if entry is None or str(entry.parent) == top else [str(entry.parent), top]
    with _lock:
        key = (top, *paths)
        if key not in _folders:
            _install()
            _folders[key] = CodeFolder(top, paths)
            # Last on the path, after everything that the program has, for code that looks up a module by name.
            sys.path.extend(path for path in paths if path not in sys.path)
        return _folders[key]


def plain_name(module: str) -> str:
    """Return the name of a module in its own folder, which is the same in every process."""
    return _OWN_NAME.sub("", module).removeprefix(SCRIPT_PREFIX)


def known_folders() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the folder of each module, for processes that work for this one."""
    return {name: (folder.root, folder.paths) for name, folder in _owners.items()}


def know_folders(folders: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Let functions from fetched modules of another process import from their folders here as well."""
    global _works_for_another
    with _lock:
        # The names are those of the process that sends the work.
        _works_for_another = True
        for name, (root, paths) in folders.items():
            if name not in _owners and os.path.isdir(root):
                _install()
                _owners[name] = _folders.setdefault((root, *paths), CodeFolder(root, paths))


def _is_free(top: str) -> bool:
    """Whether the name cannot mean another module in this program."""
    if _works_for_another or top in sys.modules or top in _claims:
        return False
    ours = {path for folder in _folders.values() for path in folder.paths}
    elsewhere = [path for path in sys.path if path not in ours]
    return PathFinder.find_spec(top, elsewhere) is None


def _send_by_value(real: str) -> None:
    # Another process has no module of this name.
    if _OWN_NAME.match(real) and real not in _sent_by_value:
        import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[real])
        _sent_by_value.add(real)


class _Finder:
    """Finds the modules that fetched folders claimed."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        claim = _claims.get(name)
        if claim is None:
            return None
        if claim.file is None:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = list(claim.folders or ())
            return spec
        folders = None if claim.folders is None else list(claim.folders)
        return spec_from_file_location(name, claim.file, submodule_search_locations=folders)


_usual_import = builtins.__import__


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    # A relative import names its own package already.
    folder = None if level or not globals else _owner_of(globals)
    top, _, rest = name.partition(".")
    real = None if folder is None else folder.name_of(top)
    if real is None or (real == top and real in sys.modules):
        return _usual_import(name, globals, locals, fromlist or (), level)
    found = _usual_import(f"{real}.{rest}" if rest else real, globals, locals, fromlist or (), 0)
    _send_by_value(real)
    return found


def _owner_of(globals: Mapping[str, Any]) -> CodeFolder | None:
    module = globals.get("__name__")
    return _owners.get(module.partition(".")[0]) if isinstance(module, str) else None


def _install() -> None:
    global _usual_import
    if builtins.__import__ is _import:
        return
    _usual_import = builtins.__import__
    builtins.__import__ = _import
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
