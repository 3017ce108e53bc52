"""The server's settings for tests: a home of their own, and a SQLite file where threads can meet."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="orion-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["ORION_HOME"] = _home
os.environ["ORION_TEST_SQLITE"] = os.path.join(_home, "test.db")
for _name in ("ORION_DATABASE_URL", "ORION_API_URL", "ORION_PROFILE", "ORION_BROKER_URL"):
    os.environ.pop(_name, None)

from orion_site.settings import *  # noqa: E402, F403

# The kernel knows nothing of clients inside this process. Who is the owner has tests of its own.
ORION_LOCAL_OWNER = "anyone"
# Many tests create users, so passwords are hashed fast; slow hashing has its own test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
