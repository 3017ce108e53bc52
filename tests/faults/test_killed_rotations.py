"""`orion secret rotate`, killed at any moment: an existing key decrypts each secret, and the next run continues."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tests import warm
from tests.homes import ROOT, ready_home
from tests.site.running import COMMAND, environment, orion

pytestmark = [pytest.mark.long, pytest.mark.slow]

SECRETS, KILLS = 400, 20
MAKE = """
import sys, django
django.setup()
from tests.services.test_rotation import make_secrets
make_secrets(int(sys.argv[1]))
"""


def keys_of(home: Path) -> list[str]:
    return (home / "encryption-key").read_text().split()


def opened(home: Path, keys: list[str]) -> list[str]:
    """Open every secret, in their order. Raises InvalidToken for one that no key opens."""
    fernet = MultiFernet([Fernet(key) for key in keys])
    with sqlite3.connect(f"file:{home / 'orion.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT sealed FROM deployments_blockdocument ORDER BY id").fetchall()
    return [fernet.decrypt(sealed).decode() for (sealed,) in rows]


def rotating(home: Path) -> subprocess.Popen[str]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    return warm.Popen([*COMMAND, "secret", "rotate"], env=environment(home), **quiet)


@pytest.mark.timeout(300)
def test_whenever_it_is_killed_everything_stays_readable(tmp_path: Path):
    home = ready_home(tmp_path / "home")
    variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings")
    warm.run([sys.executable, "-c", MAKE, str(SECRETS)], env=variables, cwd=ROOT, check=True)
    expected = opened(home, keys_of(home))
    begin = time.monotonic()
    assert orion(home, "secret", "rotate").returncode == 0
    whole = time.monotonic() - begin
    chance = random.Random(20)
    in_between = 0

    for number in range(KILLS):
        process = rotating(home)
        # Starting takes about half of it.
        time.sleep(whole * chance.uniform(0.3, 1.0))
        process.kill()
        process.wait()

        keys = keys_of(home)
        assert opened(home, keys) == expected, f"kill {number}"
        assert stat.S_IMODE(os.stat(home / "encryption-key").st_mode) == 0o600
        in_between += opened_by_first(home, keys[0]) not in {0, SECRETS}

    assert orion(home, "secret", "rotate").returncode == 0
    assert opened(home, keys_of(home)[:1]) == expected
    # Some of them were cut off in the midst of it.
    assert in_between > 0


def opened_by_first(home: Path, key: str) -> int:
    fernet, number = Fernet(key), 0
    with sqlite3.connect(f"file:{home / 'orion.db'}?mode=ro", uri=True) as database:
        for (sealed,) in database.execute("SELECT sealed FROM deployments_blockdocument"):
            try:
                number += fernet.decrypt(sealed) is not None
            except InvalidToken:
                continue
    return number
