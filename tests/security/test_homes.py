"""A home that stood open to other users of the machine: the server uses nothing that they laid down there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.homes import ready_home
from tests.security.second_user import NOBODY, as_root
from tests.site.running import orion, running_server


def laid_down(kind: str, place: Path, tmp_path: Path) -> None:
    if kind == "folder":
        place.mkdir(mode=0o777)
    elif kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("a" * 64)
    os.chown(place, NOBODY, NOBODY, follow_symlinks=False)


@as_root
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
@pytest.mark.parametrize("name", ["secret-key", "encryption-keys", "orion.db", "servers", "keys.json"])
def test_what_others_laid_down_is_refused(tmp_path: Path, name: str, kind: str):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    laid_down(kind, home / name, tmp_path)

    done = orion(home, "server", "start", "--port", "0")

    assert done.returncode == 1
    assert f"{home / name} belongs to another user of this machine (user id {NOBODY})" in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert [path.name for path in home.iterdir()] == [name]


@as_root
def test_files_of_the_owner_of_the_home_are_used_by_root(tmp_path: Path):
    """As where a container runs as root with a folder of its host."""
    home = ready_home(tmp_path / "home")
    for path in (home, *home.iterdir()):
        os.chown(path, NOBODY, NOBODY)

    with running_server(home, "--no-services") as server:
        assert server.get("/api/health")[0] == 200
