"""Websockets of a real `orion server start`, over a real connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orion_site.http.sockets import routes
from orion_site.http.websockets import LONGEST_MESSAGE
from tests.site.running import RunningServer, running_server
from tests.sockets.conftest import event, text_of
from tests.sockets.wire import CLOSE, Refused, connected

pytestmark = pytest.mark.slow
PATHS = [f"/{route.pattern}" for route in routes]
IN, OUT = "/api/events/in", "/api/events/out"
PREFECT = {"Sec-WebSocket-Protocol": "prefect"}
SUBSCRIPTION = {"type": "filter", "filter": {"occurred": {"since": "2026-01-01T00:00:00Z"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


def count_of(server: RunningServer, name: str) -> int:
    asked = {"filter": {"event": {"name": [name]}}, "limit": 0}
    status, _, body = server.request(
        "POST", "/api/events/filter", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    assert status == 200, body
    total: int = json.loads(body)["total"]
    return total


def resident_megabytes(server: RunningServer) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=str)
def test_pages_and_names_of_others_are_refused(server: RunningServer, path: str, headers: dict[str, str]):
    with pytest.raises(Refused) as refused, connected(server.port, path, **PREFECT, **headers):
        pass

    assert refused.value.status == 403


@pytest.mark.parametrize("path", PATHS)
def test_a_plain_request_is_answered_in_words(server: RunningServer, path: str):
    status, _, _ = server.get(path)

    assert status in {404, 405}


def test_a_sent_event_can_be_read(server: RunningServer):
    with connected(server.port, OUT, **PREFECT) as reader, connected(server.port, IN) as writer:
        reader.introduce(SUBSCRIPTION | {"filter": {"event": {"name": ["live.event"]}}})
        writer.send_json(sent := event("live.event"))
        answer = reader.next_json()

    assert answer["event"]["id"] == sent["id"]


def test_a_pong_confirms_that_the_events_before_it_are_stored(server: RunningServer):
    with connected(server.port, IN) as writer:
        for _ in range(20):
            writer.send_json(event("confirmed.event"))
        writer.ping()

        assert count_of(server, "confirmed.event") == 20


def test_a_client_that_does_not_authenticate_learns_why_it_is_closed(server: RunningServer):
    with connected(server.port, OUT, **PREFECT) as reader:
        reader.send_json(SUBSCRIPTION)

        kind, content = reader.next_message()

    assert (kind, content) == (CLOSE, b"\x03\xf0Expected 'auth' message")


def test_a_message_that_is_too_long_is_closed(server: RunningServer):
    with connected(server.port, IN) as writer:
        writer.send(b" " * (LONGEST_MESSAGE + 1))

        assert writer.close_code() == 1009


def test_a_flood_is_stored_and_takes_no_room(server: RunningServer):
    """40 MB are sent without a pause, faster than they can be stored."""
    payload = {"text": "x" * 20_000}
    before = resident_megabytes(server)

    with connected(server.port, IN) as writer:
        for _ in range(2000):
            writer.send(text_of(event("flood.event", payload=payload)).encode())
        grown = resident_megabytes(server) - before
        writer.ping()

    assert count_of(server, "flood.event") == 2000
    assert grown < 100


def test_a_client_that_does_not_read_uses_no_memory_and_gets_everything_later(server: RunningServer):
    with connected(server.port, IN) as writer:
        for _ in range(1000):
            writer.send(text_of(event("unread.event", payload={"text": "x" * 30_000})).encode())
        writer.ping()
    before = resident_megabytes(server)

    with connected(server.port, OUT, buffer=4096, **PREFECT) as reader:
        reader.introduce({"type": "filter", "filter": {"event": {"name": ["unread.event"]}}})
        grown = 0.0
        for _ in range(20):
            time.sleep(0.1)
            grown = max(grown, resident_megabytes(server) - before)
        others = count_of(server, "unread.event")
        answer: set[Any] = {reader.next_json()["event"]["id"] for _ in range(1000)}

    assert (others, len(answer)) == (1000, 1000)
    # The 30 MB of the past are held once as rows, and not again as frames.
    assert grown < 150


def test_a_reader_that_leaves_in_the_middle_leaves_no_trace(tmp_path: Path):
    with running_server(tmp_path) as running:
        with connected(running.port, IN) as writer:
            for _ in range(200):
                writer.send(text_of(event("unread.event", payload={"text": "x" * 30_000})).encode())
            writer.ping()
        for _ in range(3):
            with connected(running.port, OUT, buffer=4096, **PREFECT) as reader:
                reader.introduce({"type": "filter", "filter": {}})
                reader.next_json()
                reader.send(b"\x03\xe8", CLOSE)
                assert reader.close_code() == 1000
        code, output = running.interrupt()

    assert code == 0
    assert "Traceback" not in output, output


def test_a_stopping_server_closes_its_sockets_with_the_reason(tmp_path: Path):
    with running_server(tmp_path) as running, connected(running.port, OUT, **PREFECT) as reader:
        reader.introduce(SUBSCRIPTION)
        reader.ping()
        code, output = running.interrupt()
        closed = reader.close_code()

    assert (code, closed) == (0, 1001)
    assert "Traceback" not in output


def test_below_a_base_path_sockets_have_it_and_one_too_many_is_asked_to_come_again(tmp_path: Path):
    with (
        running_server(tmp_path, "--base-path", "orion", ORION_SERVER_MAX_SOCKETS="2") as running,
        connected(running.port, "/orion/api/events/in") as writer,
        connected(running.port, IN) as behind_a_proxy,
        connected(running.port, IN) as one_too_many,
    ):
        writer.ping()
        behind_a_proxy.ping()

        assert one_too_many.close_code() == 1013
