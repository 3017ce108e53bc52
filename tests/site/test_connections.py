"""Connections that only wait, and threads that only compute: neither keeps others out, nor the server from ending."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import warm
from tests.site.running import PATIENCE_SECONDS, RunningServer, after_banner, environment

pytestmark = pytest.mark.slow
FEW_DESCRIPTORS = 256


@contextmanager
def stuck_server(home: Path, *, descriptors: int | None = None) -> Iterator[RunningServer]:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = warm.Popen(
        [sys.executable, "-m", "tests.site.stuck_server"],
        env=environment(home, ORION_SECRET_KEY="s" * 50),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=limited if descriptors else None,
    )
    try:
        yield after_banner(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def connected(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)


def test_a_thread_that_computes_for_ever_does_not_keep_the_server_from_ending(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.process.stderr is not None
        while "computing" not in (line := server.process.stderr.readline()):
            assert line, "the server has ended"
        assert server.get("/api/health")[0] == 200

        server.process.send_signal(signal.SIGTERM)
        _, said = server.process.communicate(timeout=PATIENCE_SECONDS)

    assert server.process.returncode == 0
    assert "cut off" in said


def test_idle_connections_do_not_lock_others_out(tmp_path):
    with stuck_server(tmp_path, descriptors=FEW_DESCRIPTORS) as server, ExitStack() as idle:
        for _ in range(400):
            idle.enter_context(connected(server))

        answers = [server.get("/api/health")[0] for _ in range(5)]

    assert answers == [200] * 5


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /api/health HT",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"POST /api/flows/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /api/flows/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_a_request_that_trickles_in_is_ended_whole(tmp_path, beginning):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(beginning)
        client.settimeout(0.2)
        answer, sent = b"", 0
        # However often another byte comes, the time of the whole is what counts.
        while sent < 200 and not answer:
            try:
                client.sendall(b"1\r\nx\r\n" if b"chunked" in beginning else b"x")
                answer = client.recv(1000) or b"closed"
            except TimeoutError:
                sent += 1
            except OSError:
                answer = b"closed"

    assert answer.startswith(b"HTTP/1.1 408") or answer == b"closed"
    assert sent < 200


def test_a_connection_may_be_kept_between_requests(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        for _ in range(3):
            client.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4000).startswith(b"HTTP/1.1 200")
