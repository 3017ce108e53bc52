"""The way into an application of this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

import orionflow
from orionflow.client.ephemeral import InProcessServer, call_application, make_application

NEEDED_PACKAGES = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("201 Created", [("Content-Type", "text/plain"), ("X-Query", environ["QUERY_STRING"])])
    yield environ["REQUEST_METHOD"].encode() + b" " + environ["PATH_INFO"].encode("latin-1")
    yield b" " + environ["HTTP_X_TEST"].encode() + b" " + body


@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
def test_a_request_is_one_that_a_wsgi_application_understands():
    headers = {"X-Test": "yes", "Content-Type": "application/json"}

    reply = call_application(validator(echo), "POST", "/api/flows/a%20%C3%BC", "a=1&b=2", headers, b"{}")

    assert reply.status == 201
    assert reply.content == "POST /api/flows/a ü yes {}".encode()
    assert reply.headers["x-query"] == "a=1&b=2"


def test_an_application_that_writes_by_hand_is_understood():
    def old_fashioned(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])(b"first ")
        return [b"second"]

    assert call_application(old_fashioned, "GET", "/", "", {}, b"").content == b"first second"


def test_the_application_learns_when_its_answer_was_read():
    closed = []

    class Parts(list):
        def close(self) -> None:
            closed.append(True)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Parts:
        start_response("200 OK", [])
        return Parts([b"x"])

    call_application(application, "GET", "/", "", {}, b"")

    assert closed == [True]


class Counting:
    """An application that opens something for each thread, as the server does with database connections."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    def thread_closer(self) -> Callable[[], None]:
        thread = threading.get_ident()
        self.opened.append(thread)
        return lambda: self.closed.append(threading.get_ident())


def test_connections_of_a_thread_are_closed_by_it_when_it_ends():
    application = Counting()
    server = InProcessServer(application)

    def ask_twice() -> None:
        server.request("GET", "/", "", {}, b"")
        server.request("GET", "/", "", {}, b"")

    thread = threading.Thread(target=ask_twice)
    thread.start()
    thread.join()

    assert len(application.opened) == 1
    assert application.closed == application.opened


def test_connections_of_the_main_thread_stay_open():
    application = Counting()

    InProcessServer(application).request("GET", "/", "", {}, b"")

    assert len(application.opened) == 1
    assert application.closed == []


class Broken:
    """An entry point whose server cannot start."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def load(self) -> Callable[[], Any]:
        raise self.error


def test_a_server_that_cannot_start_is_reported_in_its_own_words():
    from orionflow.errors import ApiUnreachable

    with pytest.raises(ApiUnreachable, match="another Django project"):
        make_application(Broken(RuntimeError("This process belongs to another Django project")))  # type: ignore[arg-type]


def test_a_database_that_is_not_ready_is_reported_as_such():
    from orionflow.errors import DatabaseNotReady

    error = RuntimeError("orion.db is damaged; restore a backup.")
    error.code = "database_unusable"  # type: ignore[attr-defined]

    with pytest.raises(DatabaseNotReady, match="damaged"):
        make_application(Broken(error))  # type: ignore[arg-type]


@pytest.fixture
def sdk_alone(tmp_path: Path) -> Path:
    """A folder of packages that holds the SDK and what it needs, and no server."""
    import pydantic

    installed = Path(pydantic.__file__).parents[1]
    folder = tmp_path / "packages"
    folder.mkdir()
    for found in installed.iterdir():
        if found.name.split(".")[0].split("-")[0] in NEEDED_PACKAGES:
            (folder / found.name).symlink_to(found)
    (folder / "orionflow").symlink_to(Path(orionflow.__file__).parent)
    return folder


def test_without_a_server_the_fix_is_named(sdk_alone: Path, home: Path):
    program = "from orionflow.client import OrionClient; OrionClient().check_health()"

    ended = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(sdk_alone), "ORION_HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=sdk_alone,
    )

    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "orionflow.errors.ApiUnreachable: ORION_API_URL is not set, and no Orion server is installed"
    )
    assert "`pip install orionflow-server`" in last


def test_the_client_in_this_process_needs_neither_requests_nor_django_to_be_created(home: Path):
    program = (
        "import sys; from orionflow.client import OrionClient; from orionflow.reporting import get_reporter;"
        "OrionClient(); get_reporter();"
        "print([name for name in ('requests', 'django', 'urllib3') if name in sys.modules])"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")


class Slow(Counting):
    """An application with a request that takes until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go_on = threading.Event(), threading.Event()
        self.answered: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.began.set()
            self.go_on.wait()
        self.answered.append(environ["PATH_INFO"])
        return super().__call__(environ, start_response)


def test_a_fork_waits_for_requests_of_other_threads_and_closes_what_they_opened():
    """In a child, SQLite would take locks of the parent's connections for its own, and wait for them."""
    application = Slow()
    server = InProcessServer(application)
    seen: list[tuple[list[str], int]] = []

    def fork() -> None:
        server.requests.before_fork()
        seen.append((list(application.answered), len(application.closed)))
        server.requests.after_fork()

    server.request("GET", "/", "", {}, b"")
    slow = threading.Thread(target=server.request, args=("GET", "/slow", "", {}, b""))
    slow.start()
    application.began.wait()
    forking = threading.Thread(target=fork)
    forking.start()
    assert seen == []
    application.go_on.set()
    forking.join()
    slow.join()
    server.request("GET", "/after", "", {}, b"")

    assert seen == [(["/", "/slow"], 2)]
    assert application.answered == ["/", "/slow", "/after"]


def test_requests_that_begin_while_a_fork_waits_come_after_it():
    """Threads that make one request after another would otherwise keep a fork waiting."""
    application = Slow()
    server = InProcessServer(application)
    answered_before_fork: list[list[str]] = []

    def fork() -> None:
        server.requests.before_fork()
        answered_before_fork.append(list(application.answered))
        server.requests.after_fork()

    slow = threading.Thread(target=server.request, args=("GET", "/slow", "", {}, b""))
    slow.start()
    application.began.wait()
    forking = threading.Thread(target=fork)
    forking.start()
    while server.requests._forking is None:
        time.sleep(0.001)
    later = threading.Thread(target=server.request, args=("GET", "/later", "", {}, b""))
    later.start()
    later.join(0.1)
    application.go_on.set()
    for thread in (slow, forking, later):
        thread.join()

    assert answered_before_fork == [["/slow"]]
    assert application.answered == ["/slow", "/later"]


def test_an_interrupt_arrives_after_a_fork_that_waits():
    application = Slow()
    server = InProcessServer(application)
    answered_before_fork: list[list[str]] = []

    def interrupt() -> None:
        while server.requests._forking is None:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        application.go_on.set()

    def go_on() -> None:
        server.requests.after_fork()
        time.sleep(60)

    slow = threading.Thread(target=server.request, args=("GET", "/slow", "", {}, b""))
    slow.start()
    application.began.wait()
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    server.requests.before_fork()
    answered_before_fork.append(list(application.answered))
    with pytest.raises(KeyboardInterrupt):
        go_on()
    for thread in (slow, interrupting):
        thread.join()

    assert answered_before_fork == [["/slow"]]
    assert server.request("GET", "/after", "", {}, b"").status == 200


def test_threads_that_fork_at_the_same_time_take_turns():
    application = Slow()
    server = InProcessServer(application)
    waiting = threading.Barrier(3)

    def fork() -> None:
        waiting.wait()
        server.requests.before_fork()
        server.requests.after_fork()

    threads = [threading.Thread(target=fork, daemon=True) for _ in range(2)]
    threads.append(threading.Thread(target=server.request, args=("GET", "/slow", "", {}, b""), daemon=True))
    threads[-1].start()
    application.began.wait()
    for forking in threads[:2]:
        forking.start()
    waiting.wait()
    time.sleep(0.05)
    application.go_on.set()
    for thread in threads:
        thread.join(5)

    assert not any(thread.is_alive() for thread in threads)
    assert server.request("GET", "/after", "", {}, b"").status == 200
