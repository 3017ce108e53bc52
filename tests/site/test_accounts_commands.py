"""`orion user`, `group`, `key` and `auth`, as commands of a machine with a server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.homes import ready_home
from tests.site.running import COMMAND, PATIENCE_SECONDS, environment, orion, running_server

PASSWORD = "an otter in the river\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ready_home(tmp_path / "home")
    return tmp_path / "home"


def give(home: Path, stdin: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [*COMMAND, *words], env=environment(home, **more), input=stdin, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip


def made(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_user_and_a_key_from_nothing_to_the_command_line(home: Path):
    user = made(give(home, PASSWORD, "user", "create", "ada", "--role", "admin", "-o", "json"))
    key = made(orion(home, "key", "create", "machine", "--role", "viewer", "-o", "json"))
    listed = orion(home, "key", "ls", "-o", "json").stdout

    assert (user["roles"], user["signs_in"]) == (["admin"], True)
    assert (key["user"], key["role"], key["state"]) == ("machine", "viewer", "valid")
    assert key["key"] not in listed
    with running_server(home) as server:
        address = {"ORION_API_URL": f"http://127.0.0.1:{server.port}/api"}
        wrong = give(home, "orn_wrong\n", "auth", "login", **address)
        owner = made(orion(home, "auth", "whoami", "-o", "json", **address))
        made(give(home, f"{key['key']}\n", "auth", "login", "-o", "json", **address))
        me = made(orion(home, "auth", "whoami", "-o", "json", **address))
        refused = orion(home, "variable", "set", "a", "b", **address)
        made(orion(home, "key", "revoke", str(key["id"]), "-o", "json"))
        revoked = orion(home, "auth", "whoami", **address)
        made(orion(home, "auth", "logout", "-o", "json", **address))
        again = made(orion(home, "auth", "whoami", "-o", "json", **address))

    assert (wrong.returncode, refused.returncode, revoked.returncode) == (4, 4, 4)
    assert "was revoked" in revoked.stderr
    assert (owner["name"], me["name"], me["by"], again["name"]) == ("local owner", "machine", "key", "local owner")
    assert (home / "keys.json").stat().st_mode & 0o777 == 0o600
    entries = made(orion(home, "audit", "ls", "-o", "json"))
    assert {"CreateUser", "CreateKey", "RevokeKey"} <= {entry["operation"] for entry in entries}
    assert all(word not in json.dumps(entries) for word in (key["key"], "otter"))


def test_an_error_of_a_service_is_a_failure_with_a_sentence(home: Path):
    made(give(home, PASSWORD, "user", "create", "ada", "--role", "admin", "-o", "json"))

    failures = [
        (give(home, PASSWORD, "user", "create", "ada"), 6, "There is a user with the name"),
        (give(home, "short\n", "user", "create", "bob"), 2, "too short"),
        (give(home, "", "user", "create", "bob"), 2, "No password came on stdin"),
        (orion(home, "user", "delete", "ada", "--yes"), 6, "the last admin"),
        (orion(home, "user", "disable", "nobody"), 5, "There is no user 'nobody'"),
        (orion(home, "group", "delete", "nobody", "--yes"), 5, "There is no group 'nobody'"),
        (orion(home, "key", "create", "x"), 2, "Say whose key it is"),
        (orion(home, "key", "create", "x", "--user", "ada", "--expires", "0"), 2, "must be more than nothing"),
        (orion(home, "key", "revoke", "7"), 5, "There is no key 7"),
    ]

    for done, code, message in failures:
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
