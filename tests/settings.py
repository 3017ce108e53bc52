"""The server's settings for tests: a home of their own, and a SQLite file where threads can meet."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def _make_home() -> None:
    home = tempfile.mkdtemp(prefix="orion-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["ORION_HOME"] = home
    os.environ["ORION_TEST_SQLITE"] = os.path.join(home, "test.db")


_make_home()
for _name in ("ORION_DATABASE_URL", "ORION_API_URL", "ORION_PROFILE", "ORION_BROKER_URL"):
    os.environ.pop(_name, None)

from orion_site import env  # noqa: E402
from orion_site.settings import *  # noqa: E402, F403

# The kernel knows nothing of clients inside this process. Who is the owner has tests of its own.
ORION_LOCAL_OWNER = "anyone"
# Many tests create users, so passwords are hashed fast; slow hashing has its own test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make_home_of_a_fork() -> None:
    """Give a process that was forked after the settings were loaded a home, which these of them are read from."""
    from django.conf import settings
    from django.db import connections

    _make_home()
    settings.ORION_RESULTS_FOLDERS = env.result_folders()
    settings.ORION_ENCRYPTION_KEY_FILE = env.orion_home() / "encryption-key"
    connections.settings = connections.configure_settings({"default": env.database_from_url(env.database_url())})
    connections["default"] = connections.create_connection("default")
