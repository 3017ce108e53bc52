"""Python files that may contain flows, found by their syntax trees; nothing in them is executed."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

# A folder of code has fewer files; a larger one is probably a whole disk.
MOST_FILES = 5_000
LARGEST_FILE = 1024 * 1024
_NOT_OURS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "build", "dist"})


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below a folder, ordered by name, without hidden folders and virtual environments."""
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not _is_passed_over(Path(place, one)))
        for name in sorted(files):
            if name.endswith(".py"):
                if count == MOST_FILES:
                    return
                count += 1
                yield Path(place, name)


def _is_passed_over(folder: Path) -> bool:
    is_environment = (folder / "pyvenv.cfg").exists()
    return folder.name.startswith(".") or folder.name in _NOT_OURS or is_environment or folder.is_symlink()


def names_flows(file: Path) -> bool:
    """Whether something in the file is decorated with `flow`, or created by calling it."""
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST_FILE:
            return False
        text = file.read_text(encoding="utf-8")
        if "flow" not in text:
            return False
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return any(_is_flow(one) for one in ast.walk(tree))


def _is_flow(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return any(_is_named_flow(one) for one in node.decorator_list)
        case ast.Call():
            return _is_named_flow(node)
    return False


def _is_named_flow(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=func):
            return _is_named_flow(func)
        case ast.Name(id="flow") | ast.Attribute(attr="flow"):
            return True
    return False
