"""The environment of a run: read from names of folders and small files, and recorded with the run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orionflow import environment as environments
from orionflow import flow, task
from orionflow.calls import Call
from orionflow.contract.ids import environment_id
from orionflow.engine.api import current_client
from orionflow.environment import commit_of, environment_of, installed_packages, must_be_reported
from orionflow.reporting import close_reporters
from orionflow.states import Pending
from orionflow.testing import assert_completed, flow_runs

COMMIT = "4fa9c1d2" * 5


def installed(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).mkdir(parents=True)
    return str(folder)


def test_packages_are_known_by_the_folders_that_installers_leave(tmp_path):
    folder = installed(
        tmp_path, "pandas-2.3.0.dist-info", "ruamel.yaml-0.18.6.dist-info", "my_own_package-1.0+local.1.dist-info",
        "old-0.1-py3.11.egg-info", "not-a-package", "pandas",
    )  # fmt: skip

    assert installed_packages([folder, str(tmp_path / "missing")]) == {
        "my-own-package": "1.0+local.1",
        "old": "0.1",
        "pandas": "2.3.0",
        "ruamel.yaml": "0.18.6",
    }


def test_of_a_package_that_is_installed_twice_the_first_is_recorded(tmp_path):
    first = installed(tmp_path / "a", "pandas-2.3.dist-info")
    second = installed(tmp_path / "b", "pandas-2.2.dist-info")

    assert installed_packages([first, second]) == {"pandas": "2.3"}


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({"HEAD": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "refs/heads/main": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/main"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main"}, ""),
        ({"HEAD": "ref: ../../secret"}, ""),
        ({"HEAD": "ref: refs/../../secret"}, ""),
        ({"HEAD": "not a commit"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_is_read_from_the_files_of_git(tmp_path, files, commit):
    for name, content in files.items():
        path = tmp_path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (tmp_path / "flows/etl").mkdir(parents=True)

    assert commit_of(tmp_path / "flows/etl") == commit


def test_the_commit_in_a_worktree_is_that_of_git(tmp_path):
    def git(*words: str, cwd: Path) -> str:
        identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        return subprocess.run(
            ["git", *identity, *words], cwd=cwd, capture_output=True, text=True, check=True
        ).stdout.strip()

    repository = tmp_path / "repository"
    repository.mkdir()
    git("init", "-q", cwd=repository)
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=repository)
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"), cwd=repository)

    assert commit_of(tmp_path / "tree") == commit_of(repository) == git("rev-parse", "HEAD", cwd=repository)


def test_the_id_is_a_digest_of_the_content():
    id, content = environment_of(__file__)

    assert id == environment_id(content)
    assert content["packages"]["click"]
    assert not any(name.startswith("ORION") for name in content)
    assert environment_id({**content, "commit": "x"}) != id


def test_changed_files_of_the_code_make_another_environment(tmp_path, monkeypatch):
    import sys
    from types import ModuleType

    file = tmp_path / "flows.py"
    module = ModuleType("flows_of_a_test")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "flows_of_a_test", module)
    ids = []
    for content in ("a = 1", "a = 2", "a = 1"):
        file.write_text(content)
        environments._environment.cache_clear()
        ids.append(environment_of(str(file))[0])

    assert ids[0] == ids[2] != ids[1]


def test_an_environment_is_reported_once_to_each_api(tmp_path):
    id, _ = environment_of(__file__)

    assert must_be_reported("http://a", tmp_path, id)
    assert not must_be_reported("http://a", tmp_path, id)
    assert must_be_reported("http://b", tmp_path, id)


def test_code_that_is_in_no_file_has_an_environment_too():
    assert environment_of("<string>")[1]["files"] == ""
    assert environment_of(None)[1]["packages"]


def test_a_run_names_its_environment_and_the_server_has_it_once(orion):
    @flow
    def etl() -> int:
        return 1

    etl()
    etl()
    close_reporters()

    runs = flow_runs("etl")
    id, content = environment_of(__file__)
    assert {run.environment_id for run in runs} == {id}
    with current_client() as client:
        stored = client.read_environment(id)
    assert (stored.packages, stored.python, stored.commit) == (
        content["packages"],
        content["python"],
        content["commit"],
    )


def test_a_server_that_takes_no_environments_stops_no_run(orion, monkeypatch):
    monkeypatch.setattr("orionflow.engine.environments.store_environment", lambda content: Call("POST", "/nowhere", {}))
    monkeypatch.setattr("orionflow.engine.environments.must_be_reported", lambda *_: True)

    @task
    def one() -> int:
        return 1

    @flow
    def etl() -> int:
        return one.submit().result() + one()

    assert etl() == 2
    close_reporters()
    (run,) = flow_runs("etl")
    assert_completed(run)


def test_an_environment_that_cannot_be_read_stops_no_run(orion, monkeypatch):
    def fails(code):
        raise OSError("no such file")

    monkeypatch.setattr("orionflow.engine.environments.environment_of", fails)

    @flow
    def etl() -> int:
        return 1

    assert etl() == 1


def test_a_run_that_was_created_by_others_names_where_it_is_executed(orion):
    from orionflow.engine.invoke import call_flow_for_run

    @flow
    def etl() -> int:
        return 1

    with current_client() as client:
        run = client.create_flow_run(client.create_flow("etl").id, state=Pending())
    call_flow_for_run(etl, run.id, {})
    close_reporters()

    (stored,) = flow_runs("etl")
    assert stored.environment_id == environment_of(__file__)[0]
