"""One request: retries with patience where they can help, and one sentence where they cannot."""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from pathlib import Path

import pytest

from orionflow import errors
from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.client.transport import HttpTransport, without_credentials
from orionflow.settings.local_token import token_file
from tests.sdk_client.scripted_server import Fault, ScriptedServer, Seen, answer, drop_after_commit, slow

PING = Call("POST", "/ping", {"n": 1}, read=dict)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_failure_is_tried_again(status: int, server: ScriptedServer, client: OrionClient):
    server.faults = [answer(status), answer(status)]

    reply = client.send(PING)

    assert reply == {"echo": {"n": 1}}
    assert len(server.requests) == 3


@pytest.mark.parametrize("before", ["orl_of the server before", None])
def test_a_request_that_meets_the_next_start_of_a_server_is_sent_with_its_token(
    before: str | None, server: ScriptedServer, tmp_path: Path
):
    file = token_file(tmp_path, "127.0.0.1", server.port)
    file.parent.mkdir()
    if before:
        file.write_text(before)
    transport = HttpTransport(server.url, connect_timeout=5, read_timeout=5, home=tmp_path)

    def refuse(seen: Seen) -> Fault | None:
        file.write_text("orl_of this server")
        return None if seen.headers.get("authorization") == "Bearer orl_of this server" else answer(401)

    server.fault_of = refuse

    assert transport.exchange("POST", "/ping", "", {}, b"{}").status == 200
    assert len(server.requests) == 2


def test_retry_after_is_honoured(server: ScriptedServer, client: OrionClient):
    server.faults = [answer(429, None, Retry_After="0.4")]

    client.send(PING)

    first, second = server.requests
    assert second.at - first.at >= 0.4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.NotAllowed),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (500, errors.ServerFailed),
    ],
)
def test_a_lasting_failure_is_reported_at_once(
    status: int, kind: type[errors.ApiError], server: ScriptedServer, client: OrionClient
):
    server.faults = [answer(status, {"detail": "because of the moon"})]

    with pytest.raises(kind, match=f"POST .+/api/ping was answered with {status}: because of the moon") as raised:
        client.send(PING)

    assert raised.value.status == status
    assert len(server.requests) == 1


def test_an_answer_that_is_not_the_apis_is_an_error(server: ScriptedServer, client: OrionClient):
    server.faults = [answer(200, "<html>We are working on it.</html>")]

    with pytest.raises(errors.ServerFailed, match="POST .+/api/ping was answered with .+working on it"):
        client.send(PING)


def test_an_invalid_field_is_named(server: ScriptedServer, client: OrionClient):
    detail = [{"loc": ["body", "state", "type"], "msg": "Input should be a state type"}]
    server.faults = [answer(422, {"detail": detail})]

    with pytest.raises(errors.InvalidRequest, match="state.type: Input should be a state type") as raised:
        client.send(PING)

    assert raised.value.detail == detail


def test_the_budget_ends_the_retries(server: ScriptedServer):
    server.fault_of = lambda seen: answer(503, {"detail": "later"})

    with pytest.raises(errors.Overloaded, match="503: later"):
        OrionClient(server.url, retry_budget_seconds=0.5).send(PING)

    assert 1 < len(server.requests) < 100


def test_an_unreachable_server_is_reported_with_its_address_and_the_fix(server: ScriptedServer):
    server.stop()
    try:
        with pytest.raises(errors.ApiUnreachable) as raised:
            OrionClient(server.url, retry_budget_seconds=0.2).send(PING)
    finally:
        server.restart()

    assert f"The Orion API at {server.url} does not answer (connection refused)" in str(raised.value)
    assert "`orion server start`" in str(raised.value)


def test_a_server_that_comes_back_is_found(server: ScriptedServer, client: OrionClient):
    client.send(PING)
    server.stop()
    server.restart()

    assert client.send(PING) == {"echo": {"n": 1}}


def test_a_lost_answer_is_asked_for_again(server: ScriptedServer, client: OrionClient):
    server.faults = [drop_after_commit()]

    assert client.send(PING) == {"echo": {"n": 1}}


def test_a_call_that_may_not_be_repeated_is_not_when_its_answer_is_lost(server: ScriptedServer, client: OrionClient):
    server.faults = [drop_after_commit()]

    with pytest.raises(errors.ApiUnreachable):
        client.send(Call("POST", "/ping", {"n": 1}, idempotent=False))

    assert len(server.requests) == 1


def test_an_answer_that_takes_too_long_is_given_up(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_API_READ_TIMEOUT_SECONDS", "0.1")
    server.faults = [slow(1)]

    with pytest.raises(errors.ApiUnreachable, match=r"no answer within 0.1 s"):
        OrionClient(server.url, retry_budget_seconds=0).send(PING)


def test_a_key_is_sent_as_a_bearer_token(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_API_KEY", "s3cret")

    OrionClient(server.url).send(PING)

    assert server.requests[0].headers["authorization"] == "Bearer s3cret"


def test_a_value_that_is_not_json_is_reported(client: OrionClient):
    with pytest.raises(errors.UnserializableError, match="cannot be sent to the API as JSON"):
        client.send(Call("POST", "/ping", {"n": object()}))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(server: ScriptedServer, client: OrionClient):
    client.send(PING)
    child = os.fork()
    if child == 0:
        ok = client.send(PING) == {"echo": {"n": 1}}
        os._exit(0 if ok else 1)

    mine = client.send(PING)

    assert os.waitpid(child, 0)[1] == 0
    assert mine == {"echo": {"n": 1}}


def test_credentials_in_the_address_are_sent_and_never_shown():
    shown, headers = without_credentials("https://some%40body:se:cret@orion.example:8443/api")

    assert shown == "https://orion.example:8443/api"
    assert headers == {"Authorization": "Basic " + b64encode(b"some@body:se:cret").decode()}


def test_address_without_credentials_is_left_alone():
    assert without_credentials("http://127.0.0.1:4200/api") == ("http://127.0.0.1:4200/api", {})


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A proxy of the environment that does not answer."""
    address = f"http://user:word@127.0.0.1:{closed_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return address


def test_this_machine_is_reached_without_a_proxy(proxy: str, server: ScriptedServer):
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        with OrionClient(url, retry_budget_seconds=0) as client:
            assert client.send(PING) == {"echo": {"n": 1}}


def test_a_proxy_that_stands_between_is_named(proxy: str):
    shown = proxy.replace("user:word@", "")

    with (
        OrionClient("http://orion.example/api", retry_budget_seconds=0) as client,
        pytest.raises(errors.ApiUnreachable, match=f"through the proxy {shown} of the environment") as raised,
    ):
        client.send(PING)

    assert "word" not in str(raised.value)


def test_tls_at_a_port_without_it_is_reported_at_once(server: ScriptedServer):
    url = server.url.replace("http://", "https://")

    with (
        OrionClient(url, retry_budget_seconds=3600) as client,
        pytest.raises(errors.ApiUnreachable, match="does not speak TLS there .+ use http://"),
    ):
        client.send(PING)
