"""The log of an outage of the database: one line when it begins, one when it is over."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.postgresql import running_postgresql_server
from tests.printed import read_until
from tests.site.running import PATIENCE_SECONDS, RunningServer, running_server

pytestmark = pytest.mark.slow


def asked(server: RunningServer) -> tuple[int, str]:
    status, _, body = server.request("POST", "/api/flows/filter", b"{}", {"Content-Type": "application/json"})
    return status, body


@pytest.mark.long
def test_an_outage_is_one_line_when_it_begins_and_one_when_it_is_over(tmp_path):
    with running_postgresql_server(ready=True) as database:
        settings = {"ORION_DATABASE_URL": database.url, "ORION_HEARTBEAT_SECONDS": "1"}
        with running_server(tmp_path, **settings) as server:
            assert asked(server)[0] == 200

            database.stop()
            # At once, as the server has four threads for them: each waits until the pool of connections gives up.
            with ThreadPoolExecutor(4) as clients:
                page = clients.submit(server.get, "/runs")
                answers = list(clients.map(lambda _: asked(server), range(3)))
            database.start()
            until = time.monotonic() + PATIENCE_SECONDS
            while asked(server)[0] != 200:
                assert time.monotonic() < until
                time.sleep(0.1)
            output = read_until(server.process.stderr, "answers again")
            _, rest = server.interrupt()
            output += rest

    assert {status for status, _ in answers} == {503}
    assert {json.loads(body)["exception_message"] for _, body in answers} == {
        "Service Unavailable: the database does not answer."
    }
    assert page.result()[0] == 503
    assert output.count("The database does not answer") == 1
    assert output.count("The database answers again") == 1
    assert "Traceback" not in output
    assert "pool" not in output.lower().replace("pool (", "")
