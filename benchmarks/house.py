"""Figures about the code: sizes, comments, helpers, and the number of files that each kind of change touches.

python -m benchmarks.house [FOLDER...]     the figures of the product, by folder, as a Markdown table
python -m benchmarks.house --changes       the files that a change of each kind touches; --files lists them

Migrations are not counted. The figures are only symptoms: a file is not better because it is shorter.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.measuring import ROOT, percentile

PRODUCT = ("orchestration", "runs", "deployments", "events", "orion_site", "sdk/src")
SHORT_HELPER = 5
T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Figures:
    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    comments: int = 0
    docstrings: int = 0
    imports: int = 0
    # Lines of each private function, and whether its file uses it only once.
    private: list[tuple[int, bool]] = field(default_factory=list)

    def read(self, path: Path) -> None:
        text = path.read_text()
        if not text:
            return
        tree = ast.parse(text)
        self.files.append(len(text.splitlines()))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        self.comments += sum(1 for token in tokens if token.type == tokenize.COMMENT)
        names = Counter(_names(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports += _lines(node)
            if isinstance(node, ast.Module | ast.ClassDef | Function) and (docstring := _docstring(node)):
                self.docstrings += _lines(docstring)
            if isinstance(node, Function):
                self.functions.append(_lines(node))
                if node.name.startswith("_") and not node.name.endswith("__"):
                    self.private.append((_lines(node), names[node.name] == 1))

    def row(self) -> list[str]:
        lines = sum(self.files)
        once = [length for length, is_once in self.private if is_once]
        return [
            f"{len(self.files)}",
            f"{lines:,}",
            _spread(self.files, 0.5, 0.9, 1),
            f"{_share(self.files, lambda size: size < 50)} / {_share(self.files, lambda size: size > 300)}",
            f"{len(self.functions):,}",
            _spread(self.functions, 0.5, 0.9, 0.99, 1),
            f"{100 * self.comments / lines:.1f}",
            f"{100 * self.docstrings / lines:.1f}",
            f"{100 * self.imports / lines:.1f} %",
            f"{len(self.private):,}",
            f"{_share(self.private, lambda one: one[1])}",
            f"{100 * sum(length <= SHORT_HELPER for length in once) / max(len(self.private), 1):.0f} %",
        ]


COLUMNS = (
    "code", "files", "lines", "file median / p90 / max", "files < 50 / > 300", "functions",
    "function median / p90 / p99 / max", "comments /100", "docstring lines /100", "import lines",
    "private functions", "called once", f"once and ≤ {SHORT_HELPER} lines",
)  # fmt: skip


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _docstring(node: ast.Module | ast.ClassDef | Function) -> ast.stmt | None:
    return node.body[0] if ast.get_docstring(node, clean=False) is not None else None


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _spread(values: Sequence[int], *shares: float) -> str:
    return " / ".join(str(percentile(values, share)) for share in shares)


def _share(values: Sequence[T], holds: Callable[[T], bool]) -> str:
    return f"{100 * sum(map(holds, values)) / max(len(values), 1):.0f} %"


def sources(folders: Sequence[str]) -> list[Path]:
    found = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return sorted(path for path in found if "migrations" not in path.parts)


def figures_table(folders: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for name, members in [("all", folders), *((folder, [folder]) for folder in folders)]:
        figures = Figures()
        for path in sources(members):
            figures.read(path)
        yield f"| {name} | {' | '.join(figures.row())} |"


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change, an existing sample of it, and the most files that another one may touch.

    `sample` matches whole names and whole texts in code, and the paths of files.
    """

    kind: str
    sample: str
    most: int
    # Matches files in which the same name means something else.
    elsewhere: str = "(?!)"


# Existing samples stand for what would be added.
CHANGES = (
    Change("a rule", "MarkLostResults", 2),
    Change("a rule with a new fact", "ResolveOverlaps|active_runs_of_same_flow", 3),
    Change("an effect", "EndLease", 3),
    Change("a state name", "AwaitingRetry|awaiting_retry", 3),
    Change("a field of state details", "untrackable_result", 3, r"contract/explanations|runs/graphs"),
    Change("a field of deployments", "must_finish_within", 4),
    # Deployments also have a column of that name.
    Change("a column of flow runs", "created_by", 5, r"deployments/admin|definitions/models|contract/deployments"),
    Change("a kind of schedule", r"RRule\w*|rrule|read_rrule|deployments/schedules/core/rrule\.py", 4),
    Change("a page", r"agent_page|agents\.agent|templates/deployments/agent\.html|forget_agent", 4),
    Change("a command", "watch", 2, r"engine/|cli/(run|deployment/run|flow_run/retry)\.py"),
)
TEMPLATES = ("*.html", "*.css", "*.js")


class Touched(ast.NodeVisitor):
    """Distinguish modules that must be edited to add something like the sample from those that only use it.

    A module must be edited if it defines the sample (a class, a function, a parameter, a field), if it lists it (any
    mention outside of functions: tables, unions, registrations, exports of `__init__`), and if it copies it by hand
    (`x=one.x`, `"x": one.x`) or matches on it (`case X():`), because a new one would be missing there. Everything else
    is use: a rule that depends on it, a page that shows it, code that sets it. Such code is the purpose of a change and
    is written for it alone, so it is listed but not counted. Imports, annotations and docstrings follow from the rest.
    """

    def __init__(self, pattern: re.Pattern[str], *, is_package: bool) -> None:
        self.edited = self.used = False
        self._pattern = pattern
        self._is_package = is_package
        self._depth = 0

    def _note(self, *names: str | None, edited: bool = False) -> None:
        if any(name is not None and self._pattern.fullmatch(name) for name in names):
            self.edited |= edited or self._depth == 0
            self.used = True

    def _visit_function(self, node: Function) -> None:
        arguments = node.args
        self._note(node.name, *(one.arg for one in (*arguments.args, *arguments.kwonlyargs)), edited=True)
        self.generic_visit(arguments)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._depth += 1
        for statement in node.body:
            self.visit(statement)
        self._depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802
        self._note(node.name, edited=True)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Ignore annotations: they name what is defined elsewhere."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        if self._is_package:
            self._note(*(alias.name for alias in node.names), edited=True)

    def visit_keyword(self, node: ast.keyword) -> None:
        self._note(node.arg, edited=node.arg in [*_names(node.value)])
        self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:  # noqa: N802
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._note(key.value, edited=key.value in _names(value))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:  # noqa: N802
        self._note(node.id)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:  # noqa: N802
        # A `match` on this class needs a case for a similar class, too.
        self._note(*_names(node.cls), edited=True)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802
        self._note(node.attr, ast.unparse(node))
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:  # noqa: N802
        if isinstance(node.value, str):
            self._note(node.value)


def touched_by(change: Change) -> tuple[list[str], list[str]]:
    """Return the files to edit for another one of this kind, and those that only use the sample."""
    pattern, elsewhere = re.compile(change.sample), re.compile(change.elsewhere)
    edited, used = [], []
    for name, path in sorted((str(path.relative_to(ROOT)), path) for path in _product()):
        if elsewhere.search(name):
            continue
        if path.suffix == ".py":
            found = Touched(pattern, is_package=path.name == "__init__.py")
            found.visit(ast.parse(path.read_text()))
            is_edited, is_used = found.edited, found.used
        else:
            is_edited, is_used = False, re.search(rf"\b(?:{change.sample})\b", path.read_text()) is not None
        if is_edited or pattern.fullmatch(name):
            edited.append(name)
        elif is_used:
            used.append(name)
    return edited, used


def _product() -> Iterator[Path]:
    """Yield the files of the product, without generated pages, which a command renews."""
    yield from sources(PRODUCT)
    for folder in (*PRODUCT, "templates", "static"):
        for glob in TEMPLATES:
            yield from (ROOT / folder).rglob(glob)


def changes_table(*, with_files: bool) -> Iterator[str]:
    yield "| change | sample | files to edit | goal | files that use the sample |"
    yield "|---|---|---|---|---|"
    for change in CHANGES:
        edited, used = touched_by(change)
        yield f"| {change.kind} | `{_plain(change.sample)}` | {len(edited)} | {change.most} | {len(used)} |"
        if with_files:
            yield from (f"    {name}" for name in edited)
            yield from (f"    ({name})" for name in used)


def _plain(sample: str) -> str:
    """Return a sample for a cell of a Markdown table, in which a vertical bar would end the cell."""
    return sample.replace(r"\b", "").replace(r"\w*", "…").replace("|", ", ").replace("\\", "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.house", description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", default=PRODUCT)
    parser.add_argument("--changes", action="store_true", help="what a change of each kind touches")
    parser.add_argument("--files", action="store_true", help="with --changes: name the files")
    asked = parser.parse_args()
    print("\n".join(changes_table(with_files=asked.files) if asked.changes else figures_table(asked.folders)))


if __name__ == "__main__":
    main()
