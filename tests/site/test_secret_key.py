"""The key that signs: never a default one, and never readable by others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orion_site.accounts.secret_key import create_secret_key, secret_key


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORION_HOME", str(tmp_path))
    monkeypatch.delenv("ORION_SECRET_KEY", raising=False)
    return tmp_path


def test_without_a_file_each_process_has_a_key_of_its_own(home: Path):
    assert secret_key() != secret_key()
    assert not list(home.iterdir())


def test_the_file_is_created_once_and_used_from_then_on(home: Path):
    path = create_secret_key()
    first = secret_key()

    create_secret_key()

    assert secret_key() == first == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(home.iterdir()) == [path]


def test_an_empty_file_is_replaced(home: Path):
    (home / "secret-key").touch()

    create_secret_key()

    assert len(secret_key()) >= 48


def test_the_environment_wins(home: Path, monkeypatch: pytest.MonkeyPatch):
    create_secret_key()
    monkeypatch.setenv("ORION_SECRET_KEY", "of the environment")

    assert secret_key() == "of the environment"


def test_servers_that_start_at_once_agree_on_one_key(home: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: create_secret_key(), range(8)))

    assert len(secret_key()) >= 48
