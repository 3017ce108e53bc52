"""The public names of the SDK are on the page that readers look them up in, and say all that there is to know."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import orionflow
from orion_site.help.python_names import DIRECTIVE, named_members
from orionflow import errors
from orionflow.deployments import Schedule
from orionflow.deployments.definition import DeploymentOptions
from orionflow.options.keywords import FlowOptions, TaskOptions
from tests.docs.test_documents import run
from tests.homes import ROOT

PAGE = ROOT / "docs" / "reference" / "python.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
# Looked up most often.
SHOWN = {
    "orionflow.flow", "orionflow.task", "orionflow.Task.submit", "orionflow.Task.map", "orionflow.State",
    "orionflow.Future.result", "orionflow.pause_flow_run", "orionflow.Flow.deploy", "orionflow.get_run_logger",
    "orionflow.concurrency",
}  # fmt: skip
# One process for all: each has a database of its own.
ALL = """
import runpy
from pathlib import Path

from orionflow.testing import isolated

for example in sorted(Path(__file__).parent.glob("example_*.py")):
    with isolated():
        runpy.run_path(str(example))
"""
# Parts of the packages that carry no name of their own.
MODULES = {"runtime"}


def names() -> Iterator[tuple[str, Any]]:
    for path, members in DIRECTIVE.findall(PAGE.read_text()):
        module, _, name = path.rpartition(".")
        found = getattr(import_module(module), name)
        yield path, found
        for member in named_members(members):
            yield f"{path}.{member}", inspect.getattr_static(found, member)


NAMES = dict(names())


def function_of(found: Any) -> Any:
    if isinstance(found, property):
        return found.fget
    return getattr(found, "__func__", found)


def docstring_of(found: Any) -> str:
    return inspect.cleandoc(function_of(found).__doc__ or "")


def code_in(text: str) -> list[str]:
    return _CODE.findall(_FENCE.sub("", text))


# Names of options that a call takes by `**options`, or that another docstring lists.
LISTED: dict[str, Iterable[str]] = {
    "orionflow.flow": {"fn", *FlowOptions.__annotations__},
    "orionflow.task": {"fn", *TaskOptions.__annotations__},
    "orionflow.Flow": {"fn", "return_state", "wait_for"},
    "orionflow.Task": {"fn", "return_state", "wait_for"},
    "orionflow.Flow.deploy": {"name", *DeploymentOptions.__annotations__},
    "orionflow.futures.FutureList": (),
}


def parameters_of(path: str, found: Any) -> set[str]:
    if path in LISTED:
        return set(LISTED[path])
    try:
        own = set(inspect.signature(function_of(found)).parameters)
    except (TypeError, ValueError):
        return set()
    if inspect.isclass(found) and issubclass(found, Schedule) and found is not Schedule:
        own -= set(inspect.signature(Schedule).parameters)
    return own - {"self", "cls"}


def raised_by(found: Any) -> set[str]:
    """The exceptions that its code raises by name, also in private functions beside it."""
    function = function_of(found)
    if inspect.isclass(function):
        own = [vars(function)[name] for name in ("__init__", "__post_init__") if name in vars(function)]
        return set().union(*(raised_by(one) for one in own if inspect.isfunction(one)))
    if not inspect.isfunction(function):
        return set()
    return set(_raised(inspect.unwrap(function), set()))


def _raised(function: Any, seen: set[Any]) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            if node.exc.func.id in vars(errors) or node.exc.func.id in vars(builtins):
                yield node.exc.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("_"):
            helper = function.__globals__.get(node.func.id)
            if inspect.isfunction(helper):
                yield from _raised(helper, seen)


def test_every_public_name_is_on_the_page():
    assert {f"orionflow.{name}" for name in orionflow.__all__ if name not in MODULES} - set(NAMES) == set()


def test_every_public_name_of_a_module_is_on_the_page():
    for module in ("testing", "deployments", "task_runners", "states"):
        on_page = {path.rpartition(".")[2] for path in NAMES}
        public = {
            name
            for name, one in vars(import_module(f"orionflow.{module}")).items()
            if name in getattr(import_module(f"orionflow.{module}"), "__all__", ()) and callable(one)
        }

        assert public - on_page == set(), module


@pytest.mark.parametrize("path", NAMES)
def test_a_docstring_names_every_parameter(path: str):
    text = docstring_of(NAMES[path])
    assert text, f"{path} has no docstring"

    named = set(re.findall(r"\w+", " ".join(code_in(text))))

    assert parameters_of(path, NAMES[path]) - named == set()


@pytest.mark.parametrize("path", NAMES)
def test_a_docstring_names_the_errors_that_its_code_raises(path: str):
    text = docstring_of(NAMES[path])

    members = set(code_in(text))

    assert raised_by(NAMES[path]) - members == set()


@pytest.mark.parametrize("path", NAMES)
def test_errors_of_a_docstring_exist(path: str):
    sentences = re.findall(r"Raises? (.*?)(?:\n\n|\Z)", _FENCE.sub("", docstring_of(NAMES[path])), re.DOTALL)

    named = {one for text in sentences for one in _CODE.findall(text) if re.fullmatch(r"[A-Z][A-Za-z]+", one)}

    assert {one for one in named if not hasattr(errors, one) and not hasattr(builtins, one)} <= {"RunInput", "Future"}


@pytest.mark.programs
def test_examples_of_docstrings_run(tmp_path: Path):
    examples = [(path, text) for path, found in NAMES.items() for text in _EXAMPLE.findall(docstring_of(found))]
    for number, (path, text) in enumerate(examples):
        (tmp_path / f"example_{number}.py").write_text(f"# {path}\n{text}")
    program = tmp_path / "all.py"
    program.write_text(ALL)

    code, members = run(program)

    assert code == 0, members


def test_common_names_have_an_example():
    assert {path for path in SHOWN if not _EXAMPLE.search(docstring_of(NAMES[path]))} == set()
