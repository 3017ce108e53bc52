"""Modules of fetched code belong to their folder: several repositories in one process do not see each other's."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow
from orionflow.task_runners import ProcessTaskRunner
from orionflow.testing import isolated
from tests.sdk.conftest import server_here as server_here
from tests.storage.repositories import Repository

FLOW = """
from __future__ import annotations

import shared_helpers
from dataclasses import dataclass
from fetched_pack import deep, NAME as PACK
from fetched_pack.inner.leaf import LEAF
import fetched_pack.inner.leaf as leaf
import fetched_pack.inner.other
from orionflow import flow, task

@task
def late() -> tuple:
    import late_helpers
    from fetched_pack import late
    import shared_helpers as again
    return late_helpers.NAME, late.NAME, again.NAME, again is shared_helpers

@flow
def names(submitted: bool = False) -> list:
    found = late.submit().result() if submitted else late()
    return [shared_helpers.NAME, PACK, deep.NAME, LEAF, leaf.LEAF, fetched_pack.inner.other.NAME, *found]
"""

IMPORTS = "import shared_helpers\nfrom orionflow import flow\n"


def files(name: str) -> dict[str, str]:
    line = f"NAME = {name!r}\n"
    return {
        "fetched_flow.py": FLOW,
        "shared_helpers.py": line,
        "late_helpers.py": line,
        "fetched_pack/__init__.py": line,
        "fetched_pack/deep.py": f"from . import NAME as a\nfrom fetched_pack import NAME as b\n{line}assert a is b\n",
        "fetched_pack/late.py": line,
        "fetched_pack/inner/leaf.py": f"from ..deep import NAME as LEAF\nassert LEAF == {name!r}\n",
        "fetched_pack/inner/other.py": "from shared_helpers import NAME\n",
    }


def written(folder: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
    return folder


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    with isolated():
        yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if any(part in name for part in ("fetched_", "_helpers", "orion_code_")):
            del sys.modules[name]


def everything(name: str) -> list[Any]:
    return [name] * 9 + [True]


def test_folders_in_one_process_have_their_own_modules(tmp_path: Path):
    loaded = {
        name: flow.from_source(written(tmp_path / name, files(name)), "fetched_flow.py:names")
        for name in ("first", "second", "third")
    }

    assert {name: one() for name, one in loaded.items()} == {name: everything(name) for name in loaded}
    assert {name: one(submitted=True) for name, one in loaded.items()} == {name: everything(name) for name in loaded}


def test_repositories_in_one_process_have_their_own_modules(tmp_path: Path):
    loaded = {}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        repository = Repository(tmp_path / name)
        written(repository.tree, files(name))
        repository.commit(README__md=name)
        loaded[name] = flow.from_source(repository.url, "fetched_flow.py:names")

    assert {name: one() for name, one in loaded.items()} == {name: everything(name) for name in loaded}


def test_modules_of_the_program_stay_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = written(tmp_path / "own", {"early_own.py": "NAME = 'own'\n", "late_own.py": "NAME = 'own'\n"})
    monkeypatch.syspath_prepend(str(own))
    import early_own  # type: ignore[import-not-found]

    source = """
    import early_own
    from orionflow import flow

    @flow
    def names() -> tuple:
        import late_own
        return early_own.NAME, late_own.NAME
    """
    line = "NAME = 'fetched'\n"
    folder = written(tmp_path / "first", {"fetched_o.py": source, "early_own.py": line, "late_own.py": line})
    fetched = flow.from_source(folder, "fetched_o.py:names")

    assert fetched() == ("fetched", "fetched")
    import late_own  # type: ignore[import-not-found]

    assert (early_own.NAME, late_own.NAME) == ("own", "own")


def test_two_flows_of_one_folder_share_its_modules(tmp_path: Path):
    source = (
        "import shared_helpers\nfrom orionflow import flow\n@flow\ndef {}() -> dict:\n    return vars(shared_helpers)\n"
    )
    folder = written(
        tmp_path / "both",
        {"fetched_a.py": source.format("a"), "sub/fetched_b.py": source.format("b"), "shared_helpers.py": "X = []\n"},
    )

    a, b = flow.from_source(folder, "fetched_a.py:a"), flow.from_source(folder, "sub/fetched_b.py:b")

    assert a()["X"] is b()["X"]


def test_modules_beside_an_entry_point_come_first(tmp_path: Path):
    source = f"{IMPORTS}@flow\ndef named() -> str:\n    return shared_helpers.NAME\n"
    folder = written(
        tmp_path / "both",
        {
            "a/fetched_x.py": source,
            "b/fetched_x.py": source,
            "a/shared_helpers.py": "NAME = 'a'\n",
            "b/shared_helpers.py": "NAME = 'b'\n",
            "shared_helpers.py": "NAME = 'top'\n",
        },
    )

    a, b = (flow.from_source(folder, f"{part}/fetched_x.py:named") for part in "ab")

    assert (a(), b()) == ("a", "b")


def test_entry_points_may_be_modules(tmp_path: Path):
    source = "from . import NAME\nfrom orionflow import flow\n@flow\ndef named() -> str:\n    return NAME\n"
    loaded = {
        name: flow.from_source(
            written(tmp_path / name, {"fetched_m/__init__.py": f"NAME = {name!r}\n", "fetched_m/flows.py": source}),
            "fetched_m.flows:named",
        )
        for name in ("first", "second")
    }

    assert {name: one() for name, one in loaded.items()} == {"first": "first", "second": "second"}


def test_modules_are_found_again_after_any_history(tmp_path: Path):
    source = (
        "from orionflow import flow, task\n@task\ndef one(): ...\n@flow\ndef named() -> str:\n    return one.task_key\n"
    )
    keys = {
        flow.from_source(written(tmp_path / name, {"fetched_k.py": source}), "fetched_k.py:named")()
        for name in ("first", "second", "third")
    }

    assert len(keys) == 1


def test_tasks_in_other_processes_see_their_folders(tmp_path: Path):
    loaded = {
        name: flow.from_source(written(tmp_path / name, files(name)), "fetched_flow.py:names").with_options(
            task_runner=ProcessTaskRunner(max_workers=1)
        )
        for name in ("first", "second")
    }

    assert {name: one(submitted=True)[:-1] for name, one in loaded.items()} == {
        name: everything(name)[:-1] for name in loaded
    }


def test_annotations_and_dataclasses_mean_their_own_module(tmp_path: Path):
    source = """
    from __future__ import annotations
    from dataclasses import dataclass
    from pydantic import BaseModel
    from typing import get_type_hints
    from orionflow import flow

    class Kind(BaseModel):
        {field}: int

    class Model(BaseModel):
        kind: Kind

    @flow
    def read(model: Model) -> dict:
        return model.kind.model_dump() | {{"own": get_type_hints(Model)["kind"] is Kind}}
    """
    first, second = (
        flow.from_source(written(tmp_path / name, {"fetched_t.py": source.format(field=name)}), "fetched_t.py:read")
        for name in ("first", "second")
    )

    assert first({"kind": {"first": 1}}) == {"first": 1, "own": True}
    assert second({"kind": {"second": 2}}) == {"second": 2, "own": True}


def test_missing_objects_are_reported(tmp_path: Path):
    folder = written(tmp_path / "one", {"fetched_bad.py": "import nowhere_to_be_found\n"})

    with pytest.raises(Exception, match="nowhere_to_be_found"):
        flow.from_source(folder, "fetched_bad.py:any")
    with pytest.raises(Exception, match="There is no file"):
        flow.from_source(folder, "fetched_none.py:any")
    with pytest.raises(Exception, match="There is no module"):
        flow.from_source(folder, "fetched_none.any:any")
