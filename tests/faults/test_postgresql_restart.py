"""PostgreSQL is restarted under a serving process: no request fails because its connection was an old one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests import warm
from tests.postgresql import running_postgresql
from tests.printed import read_line

ROOT = Path(__file__).parents[2]

SERVE = """
import io, json, sys
from concurrent.futures import ThreadPoolExecutor
import django; django.setup()
from django.core.handlers.wsgi import WSGIHandler
from orion_site.database.lifecycle import upgrade
upgrade()
application = WSGIHandler()

def create(number):
    body = json.dumps({"name": f"flow-{number}"}).encode()
    request = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/api/flows/", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr,
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
    }
    status = []
    answer = application(request, lambda line, headers: status.append(line))
    list(answer)
    answer.close()
    return status[0]

with ThreadPoolExecutor(8) as pool:
    print(sorted(set(pool.map(create, range(40)))), flush=True)
    sys.stdin.readline()
    print(sorted(set(pool.map(create, range(40, 80)))), flush=True)
"""


def _restart(url: str) -> None:
    """As after a crash: every connection is cut, and the server comes back by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
        assert row is not None
        # A backend that dies by a signal makes the postmaster throw out all others and recover. Until it has noticed,
        # it accepts new connections.
        os.kill(row[0], signal.SIGKILL)
        with suppress(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(30)")
            raise AssertionError("PostgreSQL did not cut its connections")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            psycopg.connect(url, connect_timeout=1).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("PostgreSQL did not come back")


@pytest.mark.slow
def test_no_request_fails_after_the_database_was_restarted(tmp_path):
    with running_postgresql() as url:
        environment = {
            **os.environ,
            "ORION_HOME": str(tmp_path),
            "ORION_DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "orion_site.settings_embedded",
        }
        serving = warm.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
            text=True,
        )
        before = read_line(serving.stdout)
        _restart(url)

        after, _ = serving.communicate("go on\n", timeout=60)

    assert (before, after) == ("['201 Created']\n", "['201 Created']\n")
