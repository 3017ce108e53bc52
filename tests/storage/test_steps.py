"""Pull steps run one after the other, under Orion's or Prefect's names; the error of a step is reported."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from orionflow.errors import CodeUnavailable
from orionflow.extras import install_command
from orionflow.settings import override_settings
from orionflow.storage import LocalDirectory, RemoteStorage, fetch, storage_of
from orionflow.storage.sources import GitRepository
from tests.storage.repositories import Repository

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_deployment_without_steps_lies_in_its_folder(tmp_path, into, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert fetch({"path": str(tmp_path), "pull_steps": None}, into) == tmp_path.resolve()
    assert fetch({"path": None}, into) == tmp_path.resolve()


def test_missing_folder_is_named_with_the_machine(into):
    with pytest.raises(CodeUnavailable, match="'/nowhere/at/all' is not there on"):
        fetch({"path": "/nowhere/at/all"}, into)


def test_steps_of_prefect_are_carried_out_in_turn(tmp_path, into, monkeypatch):
    repository = Repository(tmp_path)
    repository.commit(src___flows__py="x = 1")
    monkeypatch.setenv("WHERE", "src")
    steps = [
        {"prefect.deployments.steps.git_clone": {"id": "clone", "repository": repository.url, "branch": "main"}},
        {
            "prefect.deployments.steps.run_shell_script": {
                "id": "names",
                "script": "ls\n# a remark\nsh -c 'echo $GREETING > greeting'",
                "directory": "{{ clone.directory }}/{{ $WHERE }}",
                "env": {"GREETING": "hello"},
            }
        },
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ clone.directory }}/src"}},
    ]

    folder = fetch({"pull_steps": steps}, into)

    assert folder.name == "src"
    assert (folder / "greeting").read_text() == "hello\n"


def test_output_of_a_script_can_be_used_later(tmp_path, into):
    (tmp_path / "code").mkdir()
    steps = [
        {"orionflow.storage.run_shell_script": {"id": "where", "script": f"echo {tmp_path}/code"}},
        {"orionflow.storage.set_working_directory": {"directory": "{{ where.stdout }}"}},
    ]

    assert fetch({"pull_steps": steps}, into) == (tmp_path / "code").resolve()


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ({"prefect.deployments.steps.pip_install_requirements": {}}, "There is no pull step"),
        ({"orionflow.storage.git_clone": {"repo": "x"}}, "does not take these arguments"),
        ({"orionflow.storage.git_clone": {"repository": "{{ $NOT_SET_HERE }}"}}, "no variable NOT_SET_HERE"),
        ({"orionflow.storage.git_clone": {"repository": "{{ build.url }}"}}, "neither an output"),
        ({"orionflow.storage.set_working_directory": {"directory": "/nowhere"}}, "is not there on"),
        (
            {"orionflow.storage.run_shell_script": {"script": "no-such-program-here"}},
            "there is no no-such-program-here",
        ),
        ({"orionflow.storage.run_shell_script": {"script": "sh -c 'echo broken >&2; exit 3'"}}, "exit code 3.: broken"),
        ({"orionflow.storage.run_shell_script": {"script": "echo 'open"}}, "cannot be read"),
        ({"orionflow.storage.git_clone": "text"}, "are names with values"),
        ({"a": {}, "b": {}}, "one name with its arguments"),
    ],
)
def test_a_step_that_cannot_run_fails_with_the_reason(step, cause, into):
    with pytest.raises(CodeUnavailable, match=cause):
        fetch({"pull_steps": [step]}, into)


def test_script_that_hangs_is_stopped(into):
    step = {"orionflow.storage.run_shell_script": {"script": "sleep 600"}}

    with pytest.raises(CodeUnavailable, match="did not end within"):
        fetch({"pull_steps": [step]}, into, timeout_seconds=0.3)


def test_folder_of_any_file_system_is_copied(memory, into):
    memory.pipe("/bucket/flows/etl.py", b"x = 1")
    memory.pipe("/bucket/flows/lib/parts.py", b"y = 2")

    folder = fetch({"pull_steps": RemoteStorage("memory://bucket/flows").pull_steps()}, into)

    assert (folder / "etl.py").read_text() == "x = 1"
    assert (folder / "lib" / "parts.py").read_text() == "y = 2"


def test_local_files_can_be_copied_by_their_address(tmp_path, into):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text("x = 1")

    folder = fetch({"pull_steps": RemoteStorage(f"file://{tmp_path}/flows").pull_steps()}, into)

    assert (folder / "etl.py").read_text() == "x = 1"


def test_an_empty_address_is_reported(memory, into):
    with pytest.raises(CodeUnavailable, match="nothing at memory://empty"):
        fetch({"pull_steps": RemoteStorage("memory://empty/flows").pull_steps()}, into)


def test_too_much_at_an_address_is_not_copied(memory, into):
    memory.pipe("/bucket/flows/big", b"0" * (2 * 1024 * 1024))

    with override_settings(storage_max_megabytes=1), pytest.raises(CodeUnavailable, match="more than 1 MB"):
        fetch({"pull_steps": RemoteStorage("memory://bucket/flows").pull_steps()}, into)

    assert not list(into.rglob("big"))


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gcs"), ("az", "az")])
def test_missing_package_for_an_address_is_named(scheme, extra, into, monkeypatch):
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(CodeUnavailable, match=re.escape(install_command(extra))):
        fetch({"pull_steps": RemoteStorage(f"{scheme}://bucket/flows").pull_steps()}, into)


def test_missing_fsspec_is_named(into, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)

    with pytest.raises(CodeUnavailable, match=re.escape(install_command("s3"))):
        fetch({"pull_steps": RemoteStorage("s3://bucket/flows").pull_steps()}, into)


def test_steps_of_integrations_become_addresses(into, monkeypatch):
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    step = {"prefect_aws.deployments.steps.pull_from_s3": {"bucket": "b", "folder": "flows"}}

    with pytest.raises(CodeUnavailable, match="s3://b/flows"):
        fetch({"pull_steps": [step]}, into)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("https://github.com/us/flows.git", GitRepository),
        ("git@github.com:us/flows.git", GitRepository),
        ("s3://bucket/flows", RemoteStorage),
        ("memory://x", RemoteStorage),
        ("./flows", LocalDirectory),
        (Path("/srv/flows"), LocalDirectory),
    ],
)
def test_storage_is_known_by_how_it_is_written(source, kind):
    assert isinstance(storage_of(source), kind)
