"""Flows are found in folders and packages by loading the files whose syntax names flows, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from orionflow.calls.records import ARTIFACTS
from orionflow.client import OrionClient
from orionflow.code.candidates import names_flows, python_files
from orionflow.contract.discovery import ARTIFACT_TYPE, MOST_FLOWS, FoundFlows
from orionflow.deployments.discovery import find_flows


@pytest.fixture(autouse=True)
def own_modules():
    """Forget what a search has loaded."""
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))


def found(**asked) -> FoundFlows:
    find_flows(**asked)
    with OrionClient() as client:
        (listed,) = client.send(ARTIFACTS.find({"artifacts": {"type": {"any_": [ARTIFACT_TYPE]}}}))
        # Lists cut off long values.
        artifact = client.send(ARTIFACTS.read(listed.id))
    return FoundFlows.model_validate(json.loads(artifact.data))


def in_folder(folder: Path) -> FoundFlows:
    return found(pull_steps=[{"orionflow.storage.set_working_directory": {"directory": str(folder)}}])


ETL = '''
    from orionflow import flow, task

    @task
    def load(): ...

    @flow(name="nightly-etl", version="7", tags=["prod"])
    def etl(day: str, limit: int = 5):
        """Load a day."""
'''


def test_a_flow_comes_with_its_name_and_its_parameters(folder):
    write(folder, "jobs/etl.py", ETL)

    answer = in_folder(folder)

    (one,) = answer.flows
    assert (one.name, one.entrypoint, one.version, one.tags) == ("nightly-etl", "jobs/etl.py:etl", "7", ["prod"])
    assert one.description == "Load a day."
    assert one.parameters["required"] == ["day"]
    assert one.parameters["properties"]["limit"]["default"] == 5


def test_only_files_that_name_flows_are_loaded(folder):
    write(folder, "etl.py", ETL)
    write(folder, "wipe.py", "open('wiped', 'w')\nflow_of_water = 3\n")
    write(folder, "tests/test_it.py", "raise SystemExit('the flow of this')")

    answer = in_folder(folder)

    assert (answer.files, len(answer.flows), answer.problems) == (3, 1, [])
    assert not (folder / "wiped").exists()


def test_files_that_cannot_be_loaded_are_named_with_the_reason(folder):
    write(folder, "a.py", ETL)
    write(folder, "b.py", "from orionflow import flow\nimport nowhere\n@flow\ndef b(): ...\n")
    write(folder, "c.py", "from orionflow import flow\n@flow\ndef c(): ...\nraise SystemExit(3)\n")
    write(folder, "d.py", "@flow\ndef broken(:\n")

    answer = in_folder(folder)

    assert [one.name for one in answer.flows] == ["nightly-etl"]
    assert [one.file for one in answer.problems] == ["b.py", "c.py"]
    assert "No module named 'nowhere'" in answer.problems[0].reason
    assert "code 3" in answer.problems[1].reason


def test_a_flow_is_found_where_it_is_defined_and_not_where_it_is_imported(folder):
    write(folder, "etl.py", ETL)
    write(folder, "again.py", "from etl import etl\nfrom orionflow import flow\n@flow\ndef again(): etl('x')\n")

    assert [one.entrypoint for one in in_folder(folder).flows] == ["again.py:again", "etl.py:etl"]


def test_files_may_read_their_neighbours(folder):
    write(folder, "names.txt", "beside")
    write(
        folder,
        "f.py",
        """
        from pathlib import Path
        from orionflow import flow

        f = flow(print, name=Path("names.txt").read_text())
        """,
    )

    assert [one.name for one in in_folder(folder).flows] == ["beside"]


def test_hidden_folders_environments_and_links_are_passed_over(folder):
    write(folder, ".git/hook.py", ETL)
    write(folder, "venv/pyvenv.cfg", "")
    write(folder, "venv/lib/etl.py", ETL)
    write(folder, "node_modules/etl.py", ETL)
    (folder / "round").symlink_to(folder)

    assert list(python_files(folder)) == []


def test_a_package_is_looked_at_with_everything_below_it(folder, monkeypatch):
    write(folder, "team_flows/__init__.py", "")
    write(folder, "team_flows/daily/etl.py", ETL)
    write(folder, "team_flows/daily/__init__.py", "")
    monkeypatch.syspath_prepend(str(folder))

    assert [one.entrypoint for one in found(module="team_flows").flows] == ["team_flows.daily.etl:etl"]


def test_a_module_is_looked_at_alone(folder, monkeypatch):
    write(folder, "lonely.py", ETL)
    write(folder, "other.py", ETL)
    monkeypatch.syspath_prepend(str(folder))

    assert [one.entrypoint for one in found(module="lonely").flows] == ["lonely:etl"]


def test_a_repository_is_cloned(folder):
    write(folder, "etl.py", ETL)
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        shown = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *shown, *words], cwd=folder, check=True)

    answer = found(pull_steps=[{"orionflow.storage.git_clone": {"repository": f"file://{folder}"}}])

    assert [one.entrypoint for one in answer.flows] == ["etl.py:etl"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"module": "nowhere.at.all"}, "nowhere"),
        ({"pull_steps": [{"orionflow.storage.set_working_directory": {"directory": "/nowhere"}}]}, "/nowhere"),
        ({}, "Say where the code is"),
    ],
)
def test_where_there_is_nothing_the_run_fails_in_words(asked, words):
    state = find_flows(**asked, return_state=True)

    assert state.is_failed()
    assert words in state.message


def test_an_answer_is_bounded(folder):
    flows = "\n".join(f"@flow\ndef f{number}(): ...\n" for number in range(MOST_FLOWS + 5))
    write(folder, "many.py", f"from orionflow import flow\n{flows}")

    answer = in_folder(folder)

    assert (len(answer.flows), answer.left_out) == (MOST_FLOWS, 5)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("@flow\ndef f(): ...", True),
        ("@orionflow.flow(name='x')\nasync def f(): ...", True),
        ("f = flow(g)", True),
        ("class A:\n    @flow\n    def f(self): ...", True),
        ("flow = 1", False),
        ("def flow(): ...", False),
        ("# @flow", False),
        ("@flow\ndef (", False),
        ("\x00flow", False),
        ("(" * 10_000 + "flow", False),
    ],
)
def test_files_with_flows_are_recognized_by_their_syntax(tmp_path, text, is_one):
    (tmp_path / "f.py").write_text(text)

    assert names_flows(tmp_path / "f.py") is is_one
