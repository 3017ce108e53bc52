"""A home that other users of the machine could write to: nothing is used that they may have put there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.homes import ready_home
from tests.security.second_user import NOBODY, as_root, as_user, orion_as
from tests.site.running import PATIENCE_SECONDS, environment, orion, running_server, serving

ORION, ADA, BOB, TEAM = 7001, 7002, 7003, 7100
START = ["server", "start", "--port", "0", "--no-agent", "--no-services"]
SCRIPT = "from orionflow import flow\n\n@flow\ndef alone(): pass\n\nalone()\n"
# Files that this program creates belong to another user, as on NFS that maps all users to one.
SQUASHED = """
import ctypes, sys
ctypes.CDLL(None).setfsuid(int(sys.argv.pop(1)))
from orionflow.cli import main
main()
"""
# Print the mode of the home whenever it is listed.
LISTED = """
import os, sys
home = os.environ["ORION_HOME"]
def hook(name, given):
    if name in ("os.listdir", "os.scandir") and str(given[0]) == home:
        print(oct(os.stat(home).st_mode & 0o777), file=sys.stderr, flush=True)
"""


def laid_down(kind: str, place: Path, tmp_path: Path) -> None:
    if kind == "folder":
        place.mkdir(mode=0o777)
    elif kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("a" * 64)
    os.chown(place, NOBODY, NOBODY, follow_symlinks=False)


def home_of(
    owner: int,
    home: Path,
    *,
    mode: int = 0o700,
    group: int | None = None,
    files: int | None = None,
    file_mode: int = 0o600,
) -> Path:
    """Make a ready home of a user, with files of the same or of another one."""
    ready_home(home)
    (home / "secret-key").write_text("a" * 64)
    for path in home.iterdir():
        os.chown(path, owner if files is None else files, group or owner)
        path.chmod(file_mode)
    os.chown(home, owner, group or owner)
    home.chmod(mode)
    return home


def failed(command: list[str], home: Path, **more: str) -> str:
    """Return why a command failed."""
    done = subprocess.run(
        command,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode != 0, done.stderr
    return done.stderr


def starts(command: list[str], home: Path, **more: str) -> bool:
    with serving(command, env=environment(home, **more)) as server:
        return server.get("/api/health")[0] == 200


@as_root
@pytest.mark.turns
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
@pytest.mark.parametrize("name", ["secret-key", "encryption-keys", "orion.db", "servers", "keys.json"])
def test_files_that_others_created_are_refused(tmp_path: Path, name: str, kind: str):
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
@pytest.mark.parametrize("mode", [0o1777, 0o775, 0o777, 0o755])
def test_a_home_that_another_user_made_is_refused(tmp_path: Path, mode: int):
    home = home_of(NOBODY, tmp_path / "home", mode=mode, group=ORION, file_mode=0o664)
    before = sorted(home.iterdir())

    output = failed(orion_as(ORION, *START), home)

    assert f"{home} " in output
    assert f"user id {NOBODY}" in output
    assert "Set ORION_HOME to a folder of your own" in output
    assert sorted(home.iterdir()) == before


@as_root
@pytest.mark.turns
@pytest.mark.parametrize(
    "words",
    [
        ["services", "start"],
        ["user", "create", "eve", "--role", "admin", "--service"],
        ["user", "ls"],
        ["key", "ls"],
        ["database", "upgrade"],
        ["database", "check"],
        ["secret", "rotate"],
        ["flow", "ls"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("owner", ["home", "file"])
def test_commands_on_the_database_refuse_it_too(tmp_path: Path, words: list[str], owner: str):
    home = home_of(NOBODY if owner == "home" else ORION, tmp_path / "home", mode=0o755, files=NOBODY, file_mode=0o664)

    output = failed(orion_as(ORION, *words), home)

    refused = home if owner == "home" else home / "orion.db"
    assert f"{refused} belongs to another user of this machine (user id {NOBODY})" in output
    assert f"ORION_HOME_OWNERS={NOBODY}" in output
    assert not re.search("Traceback|fix:", output)


@as_root
@pytest.mark.parametrize("owner", ["home", "file"])
def test_programs_without_a_server_refuse_it_too(tmp_path: Path, owner: str):
    home = home_of(NOBODY if owner == "home" else ORION, tmp_path / "home", mode=0o755, files=NOBODY, file_mode=0o664)

    output = failed([*as_user(ORION), sys.executable, "-c", SCRIPT], home)

    refused = home if owner == "home" else home / "orion.db"
    assert f"DatabaseNotReady: {refused} belongs to another user of this machine (user id {NOBODY})" in output


def test_the_home_is_closed_before_it_is_looked_through(tmp_path: Path):
    """Otherwise files could come into it after the check."""
    home = ready_home(tmp_path / "home")
    home.chmod(0o777)
    hooked = f"{LISTED}\nsys.addaudithook(hook)\nfrom orionflow.cli import main\nmain()\n"

    with serving(["env", sys.executable, "-c", hooked, *START], env=environment(home)) as server:
        listed = [line for line in server.output.splitlines() if line.startswith("0o")]

    assert listed
    assert set(listed) == {"0o700"}


def test_a_program_without_a_server_looks_through_the_home_once(tmp_path: Path):
    home = ready_home(tmp_path / "home")
    before = sorted(home.iterdir())
    program = f"{LISTED}\nsys.addaudithook(hook)\nimport orion_site.settings_embedded\n"

    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(home), capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stderr.splitlines() == ["0o700"]
    assert sorted(home.iterdir()) == before


@as_root
def test_files_of_the_owner_of_the_home_are_used_by_root(tmp_path: Path):
    """This is the case in a container that runs as root with a folder of its host, and with `sudo`."""
    home = home_of(ADA, tmp_path / "home")
    os.chown(home / "secret-key", 0, 0)

    with running_server(home, "--no-services") as server:
        assert server.get("/api/health")[0] == 200


@as_root
def test_a_user_starts_in_a_home_that_root_made(tmp_path: Path):
    """This is the case on a volume of Kubernetes with `fsGroup`, and on a tmpfs of a container."""
    for number, mode in enumerate((0o2775, 0o1777)):
        home = home_of(0, tmp_path / str(number), mode=mode, group=TEAM, files=ORION, file_mode=0o660)

        assert starts(orion_as(ORION, *START, group=TEAM), home)
        assert starts(orion_as(ORION, *START, group=TEAM), home)


@as_root
def test_a_volume_that_all_may_write_is_not_a_home_and_a_folder_in_it_is(tmp_path: Path):
    """An `emptyDir` of Kubernetes is such a volume, also with `fsGroup`."""
    volume = home_of(0, tmp_path / "volume", mode=0o2777, group=TEAM)
    (volume / "home").mkdir(mode=0o700)
    home = home_of(ORION, volume / "home", group=TEAM)

    output = failed(orion_as(ORION, *START, group=TEAM), volume)

    assert f"Every user of this machine may write into {volume}" in output
    assert starts(orion_as(ORION, *START, group=TEAM), home)


@as_root
@pytest.mark.parametrize("owner", [NOBODY, pytest.param(ADA, marks=pytest.mark.long)])
def test_files_get_another_owner_where_the_disk_maps_root(tmp_path: Path, owner: int):
    """NFS with `root_squash` does this."""
    home = home_of(owner, tmp_path / "home")
    (home / "secret-key").unlink()
    keeping_rights = ["setpriv", "--securebits=+no_setuid_fixup", sys.executable, "-c", SQUASHED, str(NOBODY)]

    found = [starts([*keeping_rights, *START], home) for _ in range(2)]

    assert found == [True, True]
    assert (home / "secret-key").stat().st_uid == NOBODY


@pytest.mark.long
@as_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_files_get_another_owner_where_the_disk_maps_all_users(tmp_path: Path, mode: int):
    """NFS with `all_squash` does this."""
    home = home_of(NOBODY, tmp_path / "home", mode=mode)
    (home / "secret-key").unlink()

    found = [starts([*as_user(ORION), sys.executable, "-c", SQUASHED, str(NOBODY), *START], home) for _ in range(2)]

    assert found == [True, True]
    assert (home / "secret-key").stat().st_uid == NOBODY
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_files_of_named_users_are_used(tmp_path: Path):
    """The user of a pod may change between starts, and two admins may start a server in turn."""
    home = home_of(0, tmp_path / "home", mode=0o2775, group=TEAM, files=ADA, file_mode=0o660)
    start = orion_as(ORION, *START, group=TEAM)

    output = failed(start, home)

    assert f"{home / 'orion.db'} belongs to another user of this machine (user id {ADA})" in output
    assert f"ORION_HOME_OWNERS={ADA} if you trust that user" in output
    assert f"ORION_HOME_OWNERS={BOB},{ADA} if" in failed(start, home, ORION_HOME_OWNERS=str(BOB))
    assert starts(start, home, ORION_HOME_OWNERS=f"{BOB}, {ADA}")


@as_root
def test_a_home_of_a_named_user_is_used(tmp_path: Path):
    home = home_of(ADA, tmp_path / "home", mode=0o2770, group=TEAM, file_mode=0o660)

    assert starts(orion_as(ORION, *START, group=TEAM), home, ORION_HOME_OWNERS=str(ADA))


@pytest.mark.parametrize("owners", ["ada", "-1", "1001;2000", "²"])
def test_invalid_owners_are_reported_in_one_sentence(tmp_path: Path, owners: str):
    done = orion(tmp_path / "home", "server", "start", "--port", "0", ORION_HOME_OWNERS=owners)

    assert done.returncode == 1
    meant = "write ids of users, as in ORION_HOME_OWNERS=1001,2000."
    assert done.stderr == f"error: ORION_HOME_OWNERS contains {owners!r}; {meant}\n"


def test_doctor_reports_a_home_of_others(tmp_path: Path):
    if os.geteuid():
        pytest.skip("only root can give files away")
    home = home_of(ORION, tmp_path / "home", files=NOBODY)

    done = orion(home, "doctor", "-o", "json")

    assert f"user id {NOBODY}" in json.dumps(json.loads(done.stdout))
