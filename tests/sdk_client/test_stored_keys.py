"""Keys that are kept for the address of an API: sent there, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.errors import SettingsError
from orionflow.settings.stored_keys import FILE_NAME, forget_key, store_key, stored_key
from tests.sdk_client.scripted_server import ScriptedServer

PING = Call("POST", "/ping", {"n": 1}, read=dict)
API = "http://orion.example:4200/api"


def test_a_key_is_for_its_address_alone(home: Path):
    store_key(home, API, "orn_a")

    same = ["http://ORION.example:4200/api/", "http://name:password@orion.example:4200/api"]
    others = [
        "https://orion.example:4200/api",
        "http://orion.example/api",
        "http://orion.example.evil.example:4200/api",
    ]
    others += ["http://orion.example:4200/other", "http://evil.example:4200/api", "http://orion.example:42001/api"]

    assert {stored_key(home, one) for one in same} == {"orn_a"}
    assert {stored_key(home, one) for one in others} == {None}


def test_the_file_is_for_its_owner_alone(home: Path):
    path = store_key(home, API, "orn_a")

    assert (path.stat().st_mode & 0o777, home.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_forgotten_key_no_longer_exists(home: Path):
    store_key(home, API, "orn_a")
    store_key(home, "http://other.example/api", "orn_b")

    assert forget_key(home, API)
    assert not forget_key(home, API)
    assert (stored_key(home, API), stored_key(home, "http://other.example:80/api")) == (None, "orn_b")


@pytest.mark.parametrize("content", ["", "[]", '{"http://a": 1}', "nonsense", "\udcff"])
def test_a_damaged_file_is_reported(home: Path, content: str):
    home.mkdir()
    (home / FILE_NAME).write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(SettingsError, match="is damaged"):
        stored_key(home, API)


def sent_by(server: ScriptedServer) -> str | None:
    return server.requests[-1].headers.get("authorization")


def test_the_kept_key_is_sent(home: Path, server: ScriptedServer):
    store_key(home, server.url, "orn_kept")

    OrionClient(server.url).send(PING)

    assert sent_by(server) == "Bearer orn_kept"


def test_the_environment_overrides_it_even_with_none(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    store_key(home, server.url, "orn_kept")
    seen = []
    for value in ("orn_said", "none"):
        monkeypatch.setenv("ORION_API_KEY", value)
        OrionClient(server.url).send(PING)
        seen.append(sent_by(server))

    assert seen == ["Bearer orn_said", None]


def test_the_key_of_the_settings_is_for_the_api_of_the_settings(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ORION_API_KEY", "orn_said")
    monkeypatch.setenv("ORION_API_URL", API)
    OrionClient(server.url).send(PING)
    elsewhere = sent_by(server)
    monkeypatch.setenv("ORION_API_URL", server.url + "/")
    OrionClient(server.url).send(PING)

    assert (elsewhere, sent_by(server)) == (None, "Bearer orn_said")
