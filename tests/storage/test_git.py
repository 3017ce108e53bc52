"""Repositories are cloned at what was asked for; nothing in an address, a name or a path makes git do anything else."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow.errors import CodeUnavailable, UsageError
from orionflow.settings import override_settings
from orionflow.storage import Environment, GitRepository, Secret, fetch
from orionflow.storage.git import checked_branch, checked_commit, checked_url
from tests.storage.repositories import Repository, git


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit(flows__py="version = 1", src___app__py="app = 1")
    return made


def fetched(repository: GitRepository, into: Path) -> Path:
    return fetch({"pull_steps": repository.pull_steps()}, into)


def test_newest_commit_of_the_default_branch_is_cloned(repository, into):
    folder = fetched(GitRepository(repository.url), into)

    assert (folder / "flows.py").read_text() == "version = 1"
    assert folder.parent == into


def test_branch_and_tag_are_cloned_by_name(repository, into):
    repository.commit(branch="feature/two", flows__py="version = 2")
    git("tag", "v3", where=repository.tree)
    git("push", "--quiet", "origin", "v3", where=repository.tree)

    by_branch = fetched(GitRepository(repository.url, branch="feature/two"), into)
    by_tag = fetched(GitRepository(repository.url, branch="v3"), into)

    assert (by_branch / "flows.py").read_text() == (by_tag / "flows.py").read_text() == "version = 2"
    assert by_branch != by_tag


@pytest.mark.parametrize("digits", [40, 8])
def test_older_commit_is_cloned_by_its_name(repository, into, digits):
    first = git("rev-parse", "HEAD", where=repository.tree)
    repository.commit(flows__py="version = 2")

    folder = fetched(GitRepository(repository.url, commit=first[:digits]), into)

    assert (folder / "flows.py").read_text() == "version = 1"


def test_commit_is_found_where_a_server_hands_out_branches_only(repository, into):
    first = git("rev-parse", "HEAD", where=repository.tree)
    repository.commit(flows__py="version = 2")
    git("config", "uploadpack.allowAnySHA1InWant", "false", where=repository.bare)
    git("config", "uploadpack.allowReachableSHA1InWant", "false", where=repository.bare)

    folder = fetched(GitRepository(repository.url, commit=first), into)

    assert (folder / "flows.py").read_text() == "version = 1"


def test_folder_of_a_repository_is_where_the_flow_is_loaded(repository, into):
    folder = fetched(GitRepository(str(repository.bare), directory="src"), into)

    assert (folder / "app.py").exists()


def test_submodules_come_along_when_asked_for(tmp_path, repository, into, monkeypatch):
    other = Repository(tmp_path, "lib")
    other.commit(lib__py="lib = 1")
    allow = ("-c", "protocol.file.allow=always")
    git(*allow, "submodule", "--quiet", "add", other.url, "lib", where=repository.tree)
    repository.commit(flows__py="version = 2")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'protocol.file.allow=always'")

    with_them = fetched(GitRepository(repository.url, include_submodules=True), into)
    without = fetched(GitRepository(repository.url), into)

    assert (with_them / "lib" / "lib.py").exists()
    assert not (without / "lib" / "lib.py").exists()


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"commit": "0" * 40}, "0000000"),
        ({"commit": "abcdef1"}, "abcdef1"),
        ({"branch": "nowhere"}, "nowhere not found"),
        ({"directory": "nothing/here"}, "'nothing/here' is not in the code"),
    ],
)
def test_missing_parts_are_named(repository, into, options, cause):
    with pytest.raises(CodeUnavailable, match=cause):
        fetched(GitRepository(repository.url, **options), into)


def test_missing_repository_is_named(tmp_path, into):
    with pytest.raises(CodeUnavailable, match=r"nothing\.git"):
        fetched(GitRepository((tmp_path / "nothing.git").as_uri()), into)


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "-u",
        "ext::sh -c 'touch /tmp/x'",
        "fd::17",
        "transport-x::y",
        "ssh://-oProxyCommand=touch/x",
        "https://host/with blank.git",
        "https://host/line\nbreak.git",
        "ftp://host/x.git",
        "../up.git",
        "relative.git",
        "user@host:-oProxyCommand=x",
        "",
    ],
)
def test_address_that_could_do_something_else_is_refused(url, into):
    with pytest.raises(CodeUnavailable, match="address"):
        GitRepository(url)
    with pytest.raises(CodeUnavailable, match="address"):
        fetch({"pull_steps": [{"prefect.deployments.steps.git_clone": {"repository": url}}]}, into)
    assert list(into.iterdir()) == []


@given(st.text(max_size=20).map(lambda rest: "-" + rest))
def test_nothing_that_begins_with_a_dash_reaches_git(text):
    for check in (checked_url, checked_branch, checked_commit):
        with pytest.raises(CodeUnavailable):
            check(text)


@pytest.mark.parametrize("name", ["a..b", "x y", "@{-1}", "a.lock", "a/", "-b", "a\nb", "a:b", "a~1", "a^"])
def test_name_that_is_not_a_branch_is_refused(name):
    with pytest.raises(CodeUnavailable, match="not the name of a branch"):
        GitRepository("https://host/x.git", branch=name)


@pytest.mark.parametrize("part", ["../up", "/etc", "a/../../b", "-x", "a\x00b"])
def test_folder_outside_of_the_repository_is_refused(part, repository, into):
    with pytest.raises(CodeUnavailable, match="leads out"):
        GitRepository(repository.url, directory=part)
    step = {"orionflow.storage.git_clone": {"repository": repository.url, "directory": part}}
    with pytest.raises(CodeUnavailable, match="leads out"):
        fetch({"pull_steps": [step]}, into)


def test_link_out_of_the_repository_is_refused(repository, into):
    (repository.tree / "way-out").symlink_to("/etc")
    repository.commit(flows__py="version = 2")

    with pytest.raises(CodeUnavailable, match="by a link"):
        fetched(GitRepository(repository.url, directory="way-out"), into)


def test_hooks_and_templates_of_the_machine_are_not_run(repository, into, tmp_path, monkeypatch):
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    hook = template / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))

    fetched(GitRepository(repository.url), into)

    assert not (tmp_path / "ran").exists()


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a script in the place of git."""

    def put(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


def test_hanging_git_is_killed_with_everything_it_started(fake_git, tmp_path, into):
    fake_git(f"sleep 600 & echo $! > {tmp_path}/helper\nwait")

    with pytest.raises(CodeUnavailable, match=r"did not end within 0\.5 s"):
        fetch({"pull_steps": GitRepository("https://host/x.git").pull_steps()}, into, timeout_seconds=0.5)

    assert is_gone(int((tmp_path / "helper").read_text()))


def is_gone(pid: int) -> bool:
    """Whether the process was killed; it may remain as a zombie."""
    for _ in range(100):
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        if not shown.strip() or shown.strip().startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def test_repository_that_grows_too_large_is_stopped(fake_git, into):
    fake_git('for last; do :; done; mkdir "$last"; dd if=/dev/zero of="$last/big" bs=1M count=8 2>/dev/null; sleep 600')

    with override_settings(storage_max_megabytes=4), pytest.raises(CodeUnavailable, match="more than 4 MB"):
        fetched(GitRepository("https://host/x.git"), into)


def test_token_is_handed_over_in_the_environment_only(fake_git, tmp_path, into, monkeypatch):
    fake_git(f'echo "$@" > {tmp_path}/words; env > {tmp_path}/environment; exit 1')
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    repository = GitRepository("https://host/x.git", token=Environment("SHOP_TOKEN"))

    with pytest.raises(CodeUnavailable) as failed:
        fetched(repository, into)

    environment = (tmp_path / "environment").read_text()
    assert "s3cret" not in str(repository.pull_steps())
    assert "s3cret" not in (tmp_path / "words").read_text()
    assert "s3cret" not in str(failed.value)
    assert "http.https://host/.extraHeader" in environment
    assert "GIT_TERMINAL_PROMPT=0" in environment


def test_password_in_an_address_is_neither_shown_nor_passed_on(fake_git, tmp_path, into):
    fake_git(f'echo "$@" > {tmp_path}/words; exit 1')
    step = {"prefect.deployments.steps.git_clone": {"repository": "https://ada:s3cret@host/x.git"}}

    with pytest.raises(CodeUnavailable) as failed:
        fetch({"pull_steps": [step]}, into)

    assert "s3cret" not in str(failed.value) + (tmp_path / "words").read_text()
    assert "https://host/x.git" in (tmp_path / "words").read_text()


def test_token_written_out_is_refused():
    with pytest.raises(UsageError, match="Secret"):
        GitRepository("https://host/x.git", token="s3cret")  # type: ignore[arg-type]


def test_token_is_stored_as_the_place_where_it_is():
    step = GitRepository("https://host/x.git", token=Secret("github")).pull_steps()[0]

    assert step["orionflow.storage.git_clone"]["access_token"] == "{{ prefect.blocks.secret.github }}"
