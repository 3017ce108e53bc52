"""Figures of the code itself: sizes, comments, helpers, and how many files a change of each kind touches.

python -m benchmarks.house [FOLDER...]     the figures of the product, by folder, as a Markdown table
python -m benchmarks.house --changes       the files that name a sample of each kind of change; --files lists them

Migrations are left out of the figures. Figures are symptoms: a file is not better because it is shorter.
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
    # Lines of each private function, and whether its file names it once apart from its definition.
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
    """A kind of change, something of that kind that is there already, and in how many files it may be named."""

    kind: str
    sample: str
    most: int


# What is there already stands for what would be added; the files that only use it are counted with it.
CHANGES = (
    Change("a rule", r"\bMarkLostResults\b", 2),
    Change("a rule with a new fact", r"\b(ResolveOverlaps|active_runs_of_same_flow)\b", 3),
    Change("an effect", r"\bEndLease\b", 3),
    Change("a state name", r"\b(AwaitingRetry|awaiting_retry)\b", 3),
    Change("a field of state details", r"\buntrackable_result\b", 3),
    Change("a field of deployments", r"\bmust_finish_within\b", 4),
    Change("a column of flow runs", r"\bcreated_by\b", 5),
    Change("a kind of schedule", r"\bRRule\w*\b|\"rrule\"", 4),
    Change("a page", r"\b(task_run_facts|runs/task_run\.html|run\.task_run)\b", 4),
    Change("a command", r"\b\bdef watch(?=\(session)|\"watch\": Entry", 2),
)
# A page of generated text does not count: a command renews it.
WHERE = ("*.py", "*.html", "*.css", "*.js")


def files_that_name(sample: str) -> list[str]:
    pattern = re.compile(sample)
    folders = (*PRODUCT, "templates", "static")
    paths = {path for folder in folders for glob in WHERE for path in (ROOT / folder).rglob(glob)}
    named = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    return sorted(name for name, text in named.items() if pattern.search(name) or pattern.search(text))


def changes_table(*, with_files: bool) -> Iterator[str]:
    yield "| change | sample | files | at most |"
    yield "|---|---|---|---|"
    for change in CHANGES:
        found = files_that_name(change.sample)
        yield f"| {change.kind} | `{_plain(change.sample)}` | {len(found)} | {change.most} |"
        if with_files:
            yield from (f"    {name}" for name in found)


def _plain(sample: str) -> str:
    """A sample as a cell of a table shows it, where a bar would end the cell."""
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
