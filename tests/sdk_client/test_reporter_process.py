"""The reporter and the life of its process: the end, a violent end, and children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextvars import Context
from pathlib import Path

import pytest

from orionflow.client import OrionClient
from orionflow.reporting import close_reporters, get_reporter
from orionflow.reporting.current import close_reporters_of
from orionflow.settings import override_settings
from orionflow.settings.stored_keys import token_of_caller
from tests import warm
from tests.printed import read_line
from tests.sdk_client.reports import ids_of, step, wait_for
from tests.sdk_client.scripted_server import ScriptedServer, slow

ROOT = Path(__file__).parents[2]
PRELUDE = """
import os, sys, time
from orionflow.reporting import get_reporter
from tests.sdk_client.reports import FLOW_RUN, ids_of, line, step
def stream(count):
    items = [step() for _ in range(count)]
    for item in items:
        get_reporter().stream(item)
    return items
def take_over():
    get_reporter()
    while os.listdir(os.environ["ORION_HOME"] + "/spool"):
        time.sleep(0.02)
"""


def start(program: str, server: ScriptedServer, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "ORION_API_URL": server.url, "PYTHONPATH": str(ROOT), **more}
    return warm.Popen(
        [sys.executable, "-c", PRELUDE + program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def finish(child: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = child.communicate(timeout=60)
    return out, err


def test_the_end_of_a_program_delivers_what_was_reported(server: ScriptedServer):
    child = start("print(*ids_of(stream(1200)))", server)

    out, err = finish(child)

    assert err == ""
    assert server.order == out.split()


def test_reports_of_threads_after_the_end_of_the_main_program_are_delivered(server: ScriptedServer):
    program = """
import threading
def late():
    time.sleep(0.3)
    print(*ids_of(stream(10)))
threading.Thread(target=late).start()
"""

    out, err = finish(start(program, server))

    assert err == ""
    assert server.order == out.split()


def test_sys_exit_and_an_error_deliver_too(server: ScriptedServer):
    out, _ = finish(start("print(*ids_of(stream(10))); raise RuntimeError('boom')", server))

    assert server.order == out.split()


def test_a_program_that_ends_while_the_api_is_away_leaves_a_file_for_the_next_one(server: ScriptedServer, home: Path):
    server.stop()
    out, err = finish(start("print(*ids_of(stream(700)))", server, ORION_REPORTING_EXIT_SECONDS="0.3"))
    files = list((home / "spool").glob("*.jsonl"))
    server.restart()

    finish(start("take_over()", server))

    assert "700 reported transitions could not be delivered, kept in" in err
    assert len(files) == 1
    assert server.order == out.split()
    assert list((home / "spool").iterdir()) == []


def test_kill_9_loses_nothing_that_was_acknowledged(server: ScriptedServer):
    program = """
while True:
    items = stream(100)
    get_reporter().drain()
    print(*ids_of(items), flush=True)
"""
    server.fault_of = lambda seen: slow(0.01)
    child = start(program, server)
    # Of so many all but the last hundred have been acknowledged.
    wait_for(lambda: len(server.order) >= 300)

    os.kill(child.pid, signal.SIGKILL)
    out, _ = finish(child)

    acknowledged = out[: out.rfind("\n") + 1].split()
    assert len(acknowledged) >= 100
    assert server.order[: len(acknowledged)] == acknowledged


def test_kill_9_leaves_the_spool_file_to_the_next_process(server: ScriptedServer, home: Path):
    program = "print(*ids_of(stream(500)), flush=True); time.sleep(60)"
    server.stop()
    child = start(program, server, ORION_REPORTING_QUEUE_SIZE="100", ORION_REPORTING_BLOCK_SECONDS="0.1")
    reported = read_line(child.stdout).split()

    os.kill(child.pid, signal.SIGKILL)
    finish(child)
    server.restart()
    finish(start("take_over()", server))

    assert server.order == reported[100:]
    assert list((home / "spool").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reports_for_itself_and_only_once(server: ScriptedServer):
    program = """
mine = ids_of(stream(50))
child = os.fork()
theirs = ids_of(stream(20))
if child:
    os.waitpid(child, 0)
    print(*mine, *theirs)
else:
    get_reporter().drain()
    print(*theirs, flush=True)
    os._exit(0)
"""

    out, err = finish(start(program, server))

    assert sorted(server.order) == sorted(out.split())
    sent = [item["state"]["id"] for seen in server.batches() for item in seen.body["items"]]
    assert len(sent) == len(set(sent)) == 90


def test_there_is_one_reporter_for_an_api_and_a_new_one_after_it_was_closed(server: ScriptedServer):
    with override_settings(api_url=server.url):
        first, again = get_reporter(), get_reporter()
        item = step()
        first.stream(item)
        close_reporters()
        later = get_reporter()
        close_reporters()

    assert first is again
    assert later is not first
    assert server.order == ids_of([item])


def test_code_that_reports_while_a_reporter_is_created_does_not_wait_for_itself(server: ScriptedServer):
    other = OrionClient("http://127.0.0.1:1/api")

    class Interrupted(OrionClient):
        """A client whose use is interrupted, as by the garbage collector, which closes the coroutine of a run."""

        def __bool__(self) -> bool:
            get_reporter(other)
            return True

    creating = threading.Thread(target=get_reporter, args=(Interrupted(server.url),), daemon=True)
    creating.start()
    creating.join(5)

    assert not creating.is_alive()
    close_reporters()


def test_what_a_worker_reports_is_sent_with_the_token_of_its_run(server: ScriptedServer):
    def report(token: str) -> None:
        token_of_caller.set(token)
        get_reporter().stream(step())
        get_reporter().drain()

    with override_settings(api_url=server.url):
        for token in ("first", "second"):
            Context().run(report, token)
        close_reporters_of("first")
        Context().run(report, "first")
        close_reporters()

    assert [seen.headers["authorization"] for seen in server.batches()] == [
        "Bearer first",
        "Bearer second",
        "Bearer first",
    ]
