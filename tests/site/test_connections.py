"""Connections that only wait, and threads that only compute: neither keeps others out, nor the server from ending."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from orion_site.http import connections
from orion_site.http.connections import FEWEST_WAITING
from tests import warm
from tests.conftest import DATABASE
from tests.faults.cluster import own_database
from tests.printed import read_until
from tests.site.running import PATIENCE_SECONDS, RunningServer, after_banner, environment, running_server

pytestmark = pytest.mark.slow
FEW_DESCRIPTORS, FEWEST_DESCRIPTORS = 256, 100


@contextmanager
def stuck_server(home: Path, *, descriptors: int | None = None, **more: str) -> Iterator[RunningServer]:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = warm.Popen(
        [sys.executable, "-m", "tests.site.stuck_server"],
        env=environment(home, ORION_SECRET_KEY="s" * 50, **more),
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


@contextmanager
def running(home: Path, workers: int) -> Iterator[RunningServer]:
    if workers == 1:
        with running_server(home) as server:
            yield server
        return
    with (
        own_database(home) as (settings, _),
        running_server(home, "--workers", str(workers), **settings) as server,
    ):
        yield server


def connected(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)


def test_a_thread_that_computes_forever_does_not_keep_the_server_from_stopping(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(server.process.stderr, "computing")
        assert server.get("/api/health")[0] == 200

        server.process.send_signal(signal.SIGTERM)
        _, output = server.process.communicate(timeout=PATIENCE_SECONDS)

    assert server.process.returncode == 0
    assert "cut off" in output


def get_long(megabytes: int, method: str = "GET") -> bytes:
    return f"{method} /long?{megabytes} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def read_into(received: bytearray, client: socket.socket) -> None:
    while part := client.recv(1024 * 1024):
        received += part


def test_a_client_that_reads_nothing_of_a_long_answer_is_cut_off_before_all_of_it_is_made(tmp_path):
    with stuck_server(tmp_path, READER_SECONDS="0.5") as server, connected(server) as client:
        client.sendall(get_long(64))
        printed = read_until(server.process.stderr, "made ")

    # The buffers of both sockets hold some megabytes.
    assert int(printed.split("made ")[1].split()[0]) < 32


def test_a_client_that_reads_nothing_does_not_keep_the_server_from_stopping(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(get_long(64))
        assert client.recv(12) == b"HTTP/1.1 200"

        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=PATIENCE_SECONDS)

    assert server.process.returncode == 0


def test_long_answers_follow_each_other_on_one_connection_until_one_breaks_off(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(get_long(8) + get_long(4, "HEAD") + get_long(5) + get_long(3))
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            read_into(received, client)

    assert received.count(b"HTTP/1.1 200") == 4
    # Each answer that is whole ends with an empty chunk.
    assert received.count(b"\r\n0\r\n\r\n") == 2
    assert 13 <= received.count(b"\0") / 1024**2 <= 16


def test_idle_connections_do_not_lock_others_out(tmp_path):
    with stuck_server(tmp_path, descriptors=FEW_DESCRIPTORS) as server, ExitStack() as idle:
        for _ in range(400):
            idle.enter_context(connected(server))

        answers = [server.get("/api/health")[0] for _ in range(5)]

    assert answers == [200] * 5


def test_a_client_after_many_concurrent_ones_is_answered(tmp_path):
    with stuck_server(tmp_path, descriptors=FEWEST_DESCRIPTORS) as server, ExitStack() as idle:
        # They are made by the kernel, and accepted as fast as the server can afterwards.
        server.process.send_signal(signal.SIGSTOP)
        clients = [idle.enter_context(connected(server)) for _ in range(800)]
        last = clients[-FEWEST_WAITING:]
        for client in last:
            client.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.process.send_signal(signal.SIGCONT)

        answers = [client.recv(12) for client in last]

    assert answers == [b"HTTP/1.1 200"] * FEWEST_WAITING


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        pytest.param(b"GET /api/health HT", marks=pytest.mark.long),
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"POST /api/flows/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        pytest.param(
            b"POST /api/flows/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_request_that_trickles_in_is_ended_whole(tmp_path, beginning):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(beginning)
        client.settimeout(0.2)
        answer, sent = b"", 0
        # However often another byte arrives, the time of the whole request counts.
        while sent < 200 and not answer:
            try:
                client.sendall(b"1\r\nx\r\n" if b"chunked" in beginning else b"x")
                answer = client.recv(1000) or b"closed"
            except TimeoutError:
                sent += 1
            except OSError:
                answer = b"closed"

    assert answer.startswith(b"HTTP/1.1 408") or answer == b"closed"


UNREADABLE = {
    b"GET /api/flows/?q=" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 414,
    # In many pieces: if the server closed while some are on their way, the client would lose the answer.
    b"GET /api/flows/?q=" + b"x" * 3_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 414,
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"x" * 17_000 + b"\r\n\r\n": 431,
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: x\r\n" * 3_000 + b"\r\n": 431,
    b"GET /api/health\r\nHost: localhost\r\n\r\n": 400,
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\nX-A: y\r\n\r\n": 400,
}


TOO_MUCH = 100_000_000
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
TO_FLOWS = b"POST /api/flows/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        (b"Content-Length: %d\r\n\r\n" % TOO_MUCH, [b"x" * 100_000] * 1000),
        (b"Transfer-Encoding: chunked\r\n\r\n", [CHUNK] * (TOO_MUCH // 0x10000) + [b"0\r\n\r\n"]),
    ],
    ids=["announced", "chunked"],
)
def test_a_client_that_sends_far_too_much_gets_the_refusal(tmp_path, head, pieces):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(TO_FLOWS + head)
        for piece in pieces:
            client.sendall(piece)
        answer = everything(client)

    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1
    assert "longer than" in json.loads(answer.split(b"\r\n\r\n")[1])["detail"]


def test_a_body_that_is_announced_as_too_long_is_not_asked_for(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(TO_FLOWS + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % TOO_MUCH)

        assert everything(client).startswith(b"HTTP/1.1 413")


def test_a_request_that_does_not_arrive_in_time_is_answered_in_words(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(TO_FLOWS + b"Content-Length: 1000\r\n\r\n{")
        answer = everything(client)

    assert answer.startswith(b"HTTP/1.1 408")
    assert list(json.loads(answer.split(b"\r\n\r\n")[1])) == ["detail"]


@pytest.mark.long
def test_a_refusal_of_head_has_no_body(tmp_path):
    heads = [head.replace(b"GET", b"HEAD", 1) for head, status in UNREADABLE.items() if status != 400]
    heads.append(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n")
    answers = []
    with stuck_server(tmp_path) as server:
        for head in heads:
            with connected(server) as client:
                client.sendall(head)
                answers.append(everything(client).partition(b"\r\n\r\n")[2])

    assert answers == [b""] * len(heads)


@pytest.mark.long
def test_a_head_that_cannot_be_read_is_refused_with_the_reason(tmp_path):
    answers = []
    with stuck_server(tmp_path) as server:
        for head in UNREADABLE:
            with connected(server) as client:
                # What follows on the connection is not read as a request.
                client.sendall(head + GET_HEALTH)
                answers.append(everything(client))

    heads, bodies = zip(*(answer.split(b"\r\n\r\n") for answer in answers), strict=True)
    assert [int(head.split()[1]) for head in heads] == list(UNREADABLE.values())
    assert [list(json.loads(body)) for body in bodies] == [["detail"]] * len(UNREADABLE)


def everything(client: socket.socket) -> bytes:
    """Return what arrives until the connection ends."""
    received = b""
    while part := client.recv(4096):
        received += part
    return received


def test_a_connection_may_be_kept_between_requests(tmp_path):
    with stuck_server(tmp_path) as server, connected(server) as client:
        for _ in range(3):
            client.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4000).startswith(b"HTTP/1.1 200")


@pytest.mark.long
@pytest.mark.parametrize("waits_for_answer", [True, False], ids=["kept alive", "pipelined"])
def test_a_later_request_that_does_not_arrive_in_time_is_refused_as_well(tmp_path, waits_for_answer: bool):
    first = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    later = b"GET /api/health HTTP/1.1\r\nHost: lo"
    with stuck_server(tmp_path) as server, connected(server) as client:
        client.sendall(first if waits_for_answer else first + later)
        answer = client.recv(4000)
        if waits_for_answer:
            client.sendall(later)
        refusal = everything(client)

    assert answer.startswith(b"HTTP/1.1 200")
    assert refusal.startswith(b"HTTP/1.1 408")


AGENT = "0199f1a2-0000-7000-8000-000000000001"


def test_while_readers_storm_running_work_can_report(tmp_path):
    with stuck_server(tmp_path, ORION_SERVER_MAX_IN_FLIGHT="8") as server, ExitStack() as readers:
        for _ in range(8):
            reader = readers.enter_context(connected(server))
            reader.sendall(b"GET /asleep HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until = time.monotonic() + PATIENCE_SECONDS
        while (read := server.get("/api/version"))[0] == 200 and time.monotonic() < until:
            time.sleep(0.05)
        of_json = {"Content-Type": "application/json"}
        reports = {
            path: server.request("POST", path, body, of_json)[0]
            for path, body in {
                "/api/task_runs/transitions": b'{"items": []}',
                f"/api/agents/{AGENT}/heartbeat": b"{}",
                f"/api/agents/{AGENT}/claim": b"{}",
                "/api/logs/": b"[]",
                "/api/flows/": b'{"name": "in-the-storm"}',
            }.items()
        }

    assert (read[0], read[1]["retry-after"]) == (503, "1")
    assert 503 not in reports.values()
    assert (reports["/api/task_runs/transitions"], reports["/api/logs/"], reports["/api/flows/"]) == (200, 201, 201)


def test_one_address_may_not_take_every_connection(monkeypatch):
    monkeypatch.setattr(connections, "MOST_OF_ONE_ADDRESS", 3)
    factory = connections.BoundedHTTPFactory(SimpleNamespace(), most_waiting=100)
    held = [transport_from("192.0.2.7") for _ in range(3)]

    assert all(map(factory.has_room_for, held))
    assert not factory.has_room_for(transport_from("192.0.2.7"))
    assert factory.has_room_for(transport_from("192.0.2.8"))
    assert all(factory.has_room_for(transport_from("127.0.0.1")) for _ in range(10))

    factory.has_ended(held[0])
    held[1].connected = 0
    assert [factory.has_room_for(transport_from("192.0.2.7")) for _ in range(3)] == [True, True, False]


def transport_from(address):
    peer = SimpleNamespace(host=address)

    class Transport:
        connected = 1

        def getPeer(self):  # noqa: N802 (Twisted's name)
            return peer

    return Transport()


GET_HEALTH = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def first_line(client: socket.socket) -> bytes:
    """Up to the end of the connection, so that a body that was cut off would be noticed."""
    found = everything(client)
    assert found.endswith(b"true"), found
    return found.partition(b"\r\n")[0]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.skipif(DATABASE == "sqlite", reason="one"))])
def test_who_connected_before_a_server_is_asked_to_stop_is_answered(tmp_path, workers):
    while True:
        with running(tmp_path, workers) as server, ExitStack() as stack:
            clients = [stack.enter_context(connected(server)) for _ in range(50)]
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            for client in clients:
                client.sendall(GET_HEALTH)
            # A machine that stood still meanwhile shows nothing: such connections count as idle.
            if time.monotonic() - began < connections.FRESH_SECONDS / 2:
                assert {first_line(client) for client in clients} == {b"HTTP/1.1 200 OK"}
                return


def test_connections_to_a_stopping_server_are_refused_at_once(tmp_path):
    """If they waited until its end, a balancer could not try the next server."""
    with stuck_server(tmp_path, GRACE_SECONDS="60") as server, connected(server) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(server.process.stderr, "computing")

        server.process.send_signal(signal.SIGTERM)

        def is_refused() -> bool:
            try:
                with connected(server) as another:
                    another.sendall(GET_HEALTH)
                    assert another.recv(12) == b"HTTP/1.1 200"
            except ConnectionRefusedError:
                return True
            return False

        while not is_refused():
            pass
        assert server.process.poll() is None
