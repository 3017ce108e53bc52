"""Keys that are none are found at the start, and secrets move to a new key as a whole."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet

from orion_site.checks import check_encryption_keys
from tests import warm
from tests.homes import ready_home
from tests.site.running import orion

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


@pytest.mark.slow
def test_invalid_keys_stop_the_start_and_are_found_by_doctor(tmp_path):
    ready_home(tmp_path)

    start = orion(tmp_path, "server", "start", "--port", "0", ORION_ENCRYPTION_KEYS="garbage")
    doctor = orion(tmp_path, "doctor", ORION_ENCRYPTION_KEYS="garbage")

    assert start.returncode == 1
    assert "ORION_ENCRYPTION_KEYS holds a key that is not 32 bytes" in start.stderr
    assert doctor.returncode == 1
    assert "ORION_ENCRYPTION_KEYS holds a key" in doctor.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "expected"), [("short", "is shorter than 32 characters"), ("change-me", "placeholder")]
)
def test_a_key_that_others_could_guess_stops_the_start_and_is_found_by_doctor(tmp_path, key, expected):
    ready_home(tmp_path)

    start = orion(tmp_path, "server", "start", "--port", "0", ORION_SECRET_KEY=key)
    doctor = orion(tmp_path, "doctor", ORION_SECRET_KEY=key)

    assert start.returncode == 1
    assert expected in start.stderr
    assert doctor.returncode == 1
    assert expected in doctor.stdout


@pytest.mark.slow
def test_secrets_move_to_the_first_key(tmp_path):

    from tests.site.running import COMMAND, environment

    ready_home(tmp_path)
    for name in ("a", "b"):
        stored = warm.run(
            [*COMMAND, "secret", "set", name],
            env=environment(tmp_path, ORION_ENCRYPTION_KEYS=OLD),
            input=f"value of {name}",
            text=True,
            capture_output=True,
        )
        assert stored.returncode == 0, stored.stderr

    planned = orion(tmp_path, "secret", "reseal", "--dry-run", "-o", "json", ORION_ENCRYPTION_KEYS=f"{NEW},{OLD}")
    moved = orion(tmp_path, "secret", "reseal", ORION_ENCRYPTION_KEYS=f"{NEW},{OLD}")
    after = orion(tmp_path, "secret", "reseal", "-o", "json", ORION_ENCRYPTION_KEYS=NEW)
    wrong = orion(tmp_path, "doctor", ORION_ENCRYPTION_KEYS=LOST)

    assert json.loads(planned.stdout) == {"first_key": 0, "older_keys": 2, "no_key": []}
    assert moved.returncode == 0
    assert json.loads(after.stdout) == {"first_key": 2, "older_keys": 0, "no_key": []}
    assert "2 secrets that no key opens: a, b" in wrong.stdout


@pytest.mark.parametrize(("keys", "is_fine"), [([], True), ([OLD], True), ([OLD, "x"], False), (["garbage"], False)])
def test_keys_are_checked(settings, keys, is_fine, tmp_path):
    settings.ORION_ENCRYPTION_KEYS = keys
    settings.ORION_ENCRYPTION_KEY_FILE = tmp_path / "none"

    assert (not check_encryption_keys(None)) == is_fine
