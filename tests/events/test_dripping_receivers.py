"""Receivers that never finish: a delivery has one time for all of it, and its connection is closed then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from events.notifications.core.messages import Delivery
from events.notifications.services import sending
from events.notifications.services.sending import NotSent, send

PREFIXES = {
    "nothing": b"",
    "a status line": b"HTTP/1.1 200 OK\r\nX-A: ",
    "informational answers": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@contextmanager
def dripping(prefix: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A receiver that sends a byte again and again; and whether the sender went away."""
    gone = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(prefix)
                while not gone.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                gone.set()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", gone
    finally:
        ended_by_sender = gone.wait(30)
        gone.set()
        thread.join()
        listener.close()
        assert ended_by_sender


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_delivery_has_one_time_for_all_of_it(settings, monkeypatch, scheme, prefix):
    settings.ORION_WEBHOOK_ALLOW = ["127.0.0.1"]
    monkeypatch.setattr(sending, "DELIVERY_SECONDS", 0.5)

    with dripping(PREFIXES[prefix]) as (address, gone):
        with pytest.raises(NotSent) as raised:
            send(Delivery(f"{scheme}://{address}/hook", content=b"{}"))

        assert raised.value.again
        assert gone.wait(30)
