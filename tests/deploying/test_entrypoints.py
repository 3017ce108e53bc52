"""The way from a flow to where another process finds it, and back."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from orionflow import flow
from orionflow.code.entrypoints import NoEntrypoint, entrypoint_of, load_flow
from orionflow.errors import UsageError
from tests.deploying import flows

ROOT = Path(flows.__file__).parents[2]


@pytest.fixture(autouse=True)
def own_modules():
    """Forget the modules that a test imports from a file."""
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_flow_in_a_file_is_found_by_its_path_from_here():
    assert entrypoint_of(flows.etl, ROOT) == "tests/deploying/flows.py:etl"


def test_flow_outside_of_the_folder_is_found_by_its_module(tmp_path):
    assert entrypoint_of(flows.etl, tmp_path) == "tests.deploying.flows:etl"


def test_name_in_the_module_counts_and_not_that_of_the_flow():
    assert entrypoint_of(flows.renamed, ROOT).endswith(":renamed")


def test_flow_in_a_function_cannot_be_found_again():
    @flow
    def inner() -> None: ...

    with pytest.raises(UsageError, match="inside a function"):
        entrypoint_of(inner)


def test_flow_of_an_interactive_session_cannot_be_found_again():
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile("def typed() -> None: ...", "<stdin>", "exec"), space)

    with pytest.raises(UsageError, match="notebook or an interactive session"):
        entrypoint_of(flow(space["typed"]))  # type: ignore[arg-type]


def written(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from orionflow import flow\n" + textwrap.dedent(source))
    return path


def test_flow_is_loaded_from_the_folder_of_its_code(tmp_path):
    written(tmp_path, "src/shop_etl.py", "@flow\ndef load() -> int:\n    return 7\n")

    assert load_flow("src/shop_etl.py:load", tmp_path).fn() == 7
    assert load_flow("src/shop_etl.py", tmp_path).name == "load"


def test_module_is_loaded_from_the_folder_of_its_code(tmp_path):
    written(tmp_path, "shop_pack/flows.py", "@flow\ndef load() -> int:\n    return 8\n")
    (tmp_path / "shop_pack" / "__init__.py").write_text("")

    assert load_flow("shop_pack.flows:load", tmp_path).fn() == 8


@pytest.mark.parametrize("entrypoint", ["../outside.py:load", "src/../../outside.py:load", "link.py:load"])
def test_file_outside_of_the_folder_is_refused(tmp_path, entrypoint):
    outside = written(tmp_path, "outside.py", "@flow\ndef load() -> None: ...\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.py").symlink_to(outside)

    with pytest.raises(NoEntrypoint, match="leads out"):
        load_flow(entrypoint, inner)


@pytest.mark.parametrize(
    ("entrypoint", "cause"),
    [
        ("nowhere.py:load", "There is no file"),
        ("no_such_module_here:load", "There is no module"),
        ("shop_bad.py:load", "ZeroDivisionError"),
        ("shop_two.py", "several flows"),
        ("shop_two.py:lod", "did you mean shop_two.py:load"),
        ("shop_two.py:plain", "is not a flow"),
    ],
)
def test_mistakes_are_reported(tmp_path, entrypoint, cause):
    written(tmp_path, "shop_bad.py", "1 / 0\n")
    written(tmp_path, "shop_two.py", "@flow\ndef load(): ...\n@flow\ndef save(): ...\ndef plain(): ...\n")

    with pytest.raises(NoEntrypoint, match=cause):
        load_flow(entrypoint, tmp_path)
