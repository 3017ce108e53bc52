"""Requests whose end a proxy and this server could see in different places: refused, with what follows them."""

from __future__ import annotations

import re
import socket

import pytest

from tests.site.running import PATIENCE_SECONDS, RunningServer, running_server

pytestmark = pytest.mark.slow

HEAD = b"POST /api/flows/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# Whoever answers it has taken the rest of a body for a request.
HIDDEN = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
AMBIGUOUS = {
    "a length beside chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks beside a length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "another encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a list of encodings": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "no encoding by name": b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}",
    "a signed length": b"Content-Length: +2\r\n\r\n{}",
    "a negative length": b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": b"Content-Length: 0x2\r\n\r\n{}",
    "a space before the colon": b"Content-Length : 2\r\n\r\n{}",
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    "a chunk whose size has a prefix": b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunks that end with a line feed": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a carriage return in a header": b"X: a\rContent-Length: 2\r\n\r\n{}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("home")) as server:
        yield server


def statuses(server: RunningServer, sent: bytes) -> list[int]:
    """Of all answers until the server closes the connection."""
    answers = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(sent)
        while part := client.recv(65536):
            answers += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@pytest.mark.turns
@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_nothing_hides_behind_a_body(server: RunningServer, headers: bytes):
    assert statuses(server, HEAD + headers + HIDDEN) == [400]


def test_plain_requests_are_answered(server: RunningServer):
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    assert statuses(server, chunked + HIDDEN) == [200, 200]
