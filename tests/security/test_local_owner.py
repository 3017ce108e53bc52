"""A real server: its own Unix user is its owner without credentials, and another user of the machine is not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from orion_site.accounts.proxies import FORWARDED
from orion_site.http.peers import OWN_USER
from tests.rounds import share
from tests.security.second_user import as_root, ask, run_as_another
from tests.security.test_walk import ADDRESSES, METHODS, OPEN_TO_ALL, SOCKETS
from tests.site.running import RunningServer, environment, orion, running_server

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "prefect",
}
# Open a socket, introduce oneself without a key, and report the status and what is answered.
TALK = """
import json, socket, sys
port, path, headers, patience = json.load(sys.stdin)
lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in headers.items())]
s = socket.create_connection(("127.0.0.1", port))
s.sendall("\\r\\n".join([*lines, "", ""]).encode())
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += s.recv(4096)
status, heard = int(head.split()[1]), b""
if status == 101:
    text = json.dumps({"type": "auth", "token": None}).encode()
    s.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    s.settimeout(patience)
    try:
        heard = head.partition(b"\\r\\n\\r\\n")[2] or s.recv(4096)
    except TimeoutError:
        pass
json.dump([status, heard[2:].decode(errors="replace")], sys.stdout)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("owner") / "home", "--no-services") as server:
        yield server


def test_ones_own_programs_need_nothing(server: RunningServer):
    answers = ask(server.port, [("GET", path, {}) for path in ("/api/me", "/runs", "/admin/", "/docs")], same_user=True)

    assert [answer.status for answer in answers] == [200] * 4
    assert json.loads(answers[0].text)["name"] == "local owner"


@as_root
@pytest.mark.parametrize("method", METHODS)
def test_nothing_answers_to_another_unix_user(server: RunningServer, method: str):
    """In a brief round each address is asked by one of the methods."""
    addresses = share(ADDRESSES, METHODS.index(method), len(METHODS))
    answers = ask(server.port, [(method, path, {}) for path in addresses])

    let_in = {path for path, answer in zip(addresses, answers, strict=True) if is_let_in(answer)}

    assert let_in <= OPEN_TO_ALL


def is_let_in(answer: Any) -> bool:
    return answer.status not in {401, 403} and "/admin/login/" not in answer.location


@as_root
def test_another_unix_user_reads_in_words_what_to_do(server: RunningServer):
    page, operation = ask(server.port, [("GET", "/runs", {}), ("GET", "/api/me", {})])

    assert (page.status, operation.status) == (401, 401)
    assert "orion user create" in page.text
    assert "Unix user who runs this server" in json.loads(operation.text)["detail"]


@as_root
@pytest.mark.parametrize("path", sorted(SOCKETS))
def test_no_socket_opens_to_another_unix_user(server: RunningServer, path: str):
    browser = {**UPGRADE, "Origin": f"http://127.0.0.1:{server.port}"}
    output = run_as_another(TALK, [server.port, path, browser, 60])

    assert is_refused(*output), output
    assert not is_refused(*run_as_another(TALK, [server.port, path, UPGRADE, 1], same_user=True))


def is_refused(status: int, output: str) -> bool:
    return status == 403 or "Say who you are" in output


@as_root
@pytest.mark.parametrize("name", sorted(FORWARDED))
def test_no_header_makes_an_owner(server: RunningServer, name: str):
    header = name.removeprefix("HTTP_").replace("_", "-")
    answers = ask(server.port, [("GET", "/api/me", {header: value}) for value in ("127.0.0.1", "for=127.0.0.1", "")])
    answers += ask(server.port, [("GET", "/api/me", {OWN_USER: "1", "orion-own-user": "true"})])

    assert {answer.status for answer in answers} == {401}


@pytest.mark.parametrize("name", sorted(FORWARDED))
def test_a_request_through_a_proxy_of_the_same_user_is_not_the_owner(server: RunningServer, name: str):
    header = name.removeprefix("HTTP_").replace("_", "-")

    assert server.get("/api/me", **{header: "x"})[0] == 401


def test_each_request_of_a_connection_is_judged_by_its_own_headers(server: RunningServer):
    proxied = {"X-Forwarded-For": "192.0.2.7"}
    answers = ask(server.port, [("GET", "/api/me", one) for one in ({}, proxied, {}, proxied)], same_user=True)

    assert [answer.status for answer in answers] == [200, 401, 200, 401]


@as_root
@pytest.mark.parametrize("mode", ["anyone", "user"])
def test_further_owners_can_be_configured(tmp_path: Path, mode: str):
    with running_server(tmp_path / "home", "--no-services", ORION_LOCAL_OWNER=mode) as server:
        (answer,) = ask(server.port, [("GET", "/api/me", {})])

    assert answer.status == (200 if mode == "anyone" else 401)
    assert ("every user of this machine" in server.output) == (mode == "anyone")


@as_root
def test_over_ipv6_it_is_the_same(tmp_path: Path):
    with running_server(tmp_path / "home", "--no-services", "--host", "::1") as server:
        theirs = ask(server.port, [("GET", "/api/me", {})], host="::1")
        ours = ask(server.port, [("GET", "/api/me", {})], host="::1", same_user=True)

    assert [theirs[0].status, ours[0].status] == [401, 200]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("own", "host", "address", "status"),
    [
        (True, "localhost:4200", "127.0.0.1", 200),
        (True, "[::1]:4200", "::1", 200),
        (False, "localhost:4200", "127.0.0.1", 401),
        (None, "localhost:4200", "127.0.0.1", 401),
        ("1", "localhost:4200", "127.0.0.1", 401),
        (True, "orion.example", "127.0.0.1", 401),
        (True, "localhost:4200", "192.0.2.7", 403),
    ],
)
def test_the_owner_asks_from_this_machine_and_for_it(settings: Any, own: Any, host: str, address: str, status: int):
    settings.ORION_LOCAL_OWNER = "user"
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "orion.example"]
    client = Client(REMOTE_ADDR=address, headers={"host": host}, **{OWN_USER: own})

    assert client.get("/api/me").status_code == status


def test_a_program_without_a_server_listens_on_nothing(tmp_path: Path):
    """The API inside a program opens no port: there is nothing that another user could reach."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "bound = []\n"
        "sys.addaudithook(lambda name, given: bound.append(given[1]) if name == 'socket.bind' else None)\n"
        "from orionflow import flow, task\n"
        "@task\ndef one(): return 1\n"
        "@flow\ndef alone(): return one() + one.submit().result()\n"
        "assert alone() == 2\n"
        "assert bound == [], bound\n"
        "inodes = {os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')\n"
        "          if os.path.islink(f'/proc/self/fd/{fd}')}\n"
        "listening = [line.split()[9] for file in ('tcp', 'tcp6') if os.path.exists(f'/proc/net/{file}')\n"
        "             for line in open(f'/proc/net/{file}').readlines()[1:] if line.split()[3] == '0A']\n"
        "assert not [one for one in listening if f'socket:[{one}]' in inodes]\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_doctor_warns_of_a_server_that_is_anyones(tmp_path: Path):
    found = []
    for mode in ("anyone", "user"):
        with running_server(tmp_path / mode, "--no-services", ORION_LOCAL_OWNER=mode) as server:
            api = f"http://127.0.0.1:{server.port}/api"
            found.append("every user of the server's machine" in orion(tmp_path, "doctor", ORION_API_URL=api).stdout)

    assert found == [True, False]
