"""Which Unix user is on the other end: asked of the kernel, and of the process file system, over IPv4 and IPv6."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orion_site.http import peers
from orion_site.http.peers import Kernel, Peer, Question, ask_proc, end_of, is_of_own_user
from tests.printed import read_line
from tests.security.second_user import AS_ANOTHER, NOBODY, PYTHON, as_root

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells users of sockets")
# The address that the server listens on, and the address that the client connects to.
PLACES = pytest.mark.parametrize(
    ("listen", "connect"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1")],
)
CONNECT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
{then}
print("there", flush=True)
time.sleep(60)
"""


@contextmanager
def accepted(listen: str, connect: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection of this process with itself: the client's end and the server's."""
    with _listener(listen) as listener:
        client = socket.create_connection((connect, listener.getsockname()[1]))
        server, _ = listener.accept()
        with client, server:
            yield client, server


@contextmanager
def accepted_from_another(
    then: str = "", listen: str = "127.0.0.1", connect: str = "127.0.0.1"
) -> Iterator[socket.socket]:
    """The server's end of a connection that another Unix user's program has opened, and treated so."""
    with _listener(listen) as listener:
        port = str(listener.getsockname()[1])
        program = [*AS_ANOTHER, *PYTHON, "-c", CONNECT.format(then=then), connect, port]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd="/") as process:
            assert read_line(process.stdout) == "there\n"
            server, _ = listener.accept()
            try:
                with server:
                    yield server
            finally:
                process.kill()


def _listener(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")


@pytest.fixture(scope="module", params=["kernel", "proc"])
def way_of(request: pytest.FixtureRequest) -> Iterator[Question]:
    if request.param == "proc":
        yield ask_proc
    else:
        kernel = Kernel()
        yield kernel
        kernel.close()


@pytest.fixture
def way(way_of: Question, monkeypatch: pytest.MonkeyPatch) -> Question:
    """Each of the ways in turn, by which connections are then asked about."""
    monkeypatch.setattr(peers, "way_to_ask", lambda: way_of)
    return way_of


@PLACES
def test_a_program_of_the_own_user_is_known(way: Question, listen: str, connect: str):
    with accepted(listen, connect) as (_, server):
        assert is_of_own_user(server)


@PLACES
@as_root
def test_another_users_program_is_not_known(way: Question, listen: str, connect: str):
    with accepted_from_another(listen=listen, connect=connect) as server:
        assert not is_of_own_user(server)
        ends = end_of(server.getpeername()), end_of(server.getsockname())
        assert way(*ends).uid == NOBODY


@pytest.mark.parametrize(
    "then",
    ["s.close()", "s.shutdown(socket.SHUT_WR)", "import os; os.close(s.detach())"],
    ids=["closed", "half-closed", "dropped"],
)
@as_root
def test_another_users_program_is_not_known_after_it_closed_its_end(way: Question, then: str):
    """The kernel shows such sockets as those of root, and root runs this test."""
    with accepted_from_another(then) as server:
        assert not is_of_own_user(server)


def test_a_closed_socket_has_no_owner(way: Question):
    with accepted("127.0.0.1", "127.0.0.1") as (client, server):
        server.shutdown(socket.SHUT_WR)
        client.close()
        assert not is_of_own_user(server)


def test_a_socket_in_time_wait_has_no_owner(way: Question):
    """The client closes first. Its addresses belong to root for another minute."""
    with accepted("127.0.0.1", "127.0.0.1") as (client, server):
        ends = end_of(server.getpeername()), end_of(server.getsockname())
        client.close()
        server.close()
        found = way(*ends)

    assert found is None or not found.is_live


def test_an_answer_about_addresses_that_passed_to_another_connection_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    """A request may be read from a connection that was reset, while its addresses already belong to the owner."""
    monkeypatch.setattr(peers, "way_to_ask", lambda: lambda client, server: Peer(os.geteuid(), peers.ESTABLISHED, 7))

    with accepted("127.0.0.1", "127.0.0.1") as (client, server):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert not is_of_own_user(server)


@pytest.mark.parametrize(
    "peer",
    [None, Peer(os.geteuid(), 1, 0), Peer(os.geteuid(), 6, 9), Peer(os.geteuid(), 4, 9), Peer(os.geteuid() + 1, 1, 9)],
    ids=["unknown", "without an inode", "TIME_WAIT", "half-closed", "another's"],
)
def test_only_an_open_socket_of_the_own_user_counts(monkeypatch: pytest.MonkeyPatch, peer: Peer | None):
    monkeypatch.setattr(peers, "way_to_ask", lambda: lambda client, server: peer)

    with accepted("127.0.0.1", "127.0.0.1") as (_, server):
        assert not is_of_own_user(server)


def test_on_other_systems_no_user_is_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "way_to_ask", lambda: None)

    with accepted("127.0.0.1", "127.0.0.1") as (_, server):
        assert not is_of_own_user(server)


@pytest.mark.parametrize("error", [PermissionError(1, "x"), BlockingIOError(11, "x")])
def test_a_failed_lookup_of_the_peer_grants_no_access(monkeypatch: pytest.MonkeyPatch, error: OSError):
    def fail(client: peers.End, server: peers.End) -> Peer | None:
        raise error

    monkeypatch.setattr(peers, "way_to_ask", lambda: fail)

    with accepted("127.0.0.1", "127.0.0.1") as (_, server):
        assert not is_of_own_user(server)


def test_the_id_of_foreign_containers_is_not_a_proof(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", peers._overflow_uid)

    assert peers.way_to_ask.__wrapped__() is None


def test_without_netlink_the_tables_are_read(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> Question:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(peers, "Kernel", refuse)

    assert peers.way_to_ask.__wrapped__() is ask_proc


def test_asking_costs_little():
    with accepted("127.0.0.1", "127.0.0.1") as (_, server):
        is_of_own_user(server)
        rounds = []
        for _ in range(20):
            began = time.process_time()
            for _ in range(50):
                is_of_own_user(server)
            rounds.append((time.process_time() - began) / 50)

    assert min(rounds) < 50e-6
