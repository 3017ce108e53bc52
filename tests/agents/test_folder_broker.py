"""Messages in a folder: a consumer is woken by each new one, and leaves the folder alone while there is none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue

from orionflow.agent import folder_broker
from orionflow.agent.broker import transport_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"filesystem://{tmp_path}/broker"


@pytest.fixture
def consumer(url: str) -> Iterator[Connection]:
    with connected(url) as connection:
        yield connection


def connected(url: str) -> Connection:
    name, options = transport_of(url)
    return Connection(name, transport_options=options)


def consume(connection: Connection, queue: str, got: list[Any]) -> None:
    consumer = connection.Consumer([Queue(queue)], callbacks=[lambda body, message: (got.append(body), message.ack())])
    consumer.consume()


def put(url: str, *messages: str) -> None:
    """As the server does: to the exchange without a name."""
    with connected(url) as writer:
        for message in messages:
            writer.Producer(serializer="json").publish(message, exchange="", routing_key="q")


def bells(url: str) -> list[Path]:
    return sorted(Path(url.removeprefix("filesystem://"), "control").glob("*.bell"))


def test_message_wakes_a_consumer_that_waits(url: str, consumer: Connection, monkeypatch: pytest.MonkeyPatch):
    # Without the bell the agent would wait until the test times out.
    monkeypatch.setattr(folder_broker, "LOOK_AGAIN_SECONDS", 3600.0)
    got: list[Any] = []
    consume(consumer, "q", got)
    waiting = threading.Thread(target=consumer.drain_events)
    waiting.start()
    while not bells(url):
        time.sleep(0.01)

    put(url, "hello")
    waiting.join(60)

    assert got == ["hello"]


def test_an_idle_consumer_reads_the_folder_once_for_each_wait(
    consumer: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    consume(consumer, "q", [])
    looked: list[str] = []
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looked.append(str(path)) or listed(path))

    with pytest.raises(TimeoutError):
        consumer.drain_events(timeout=0.4)

    # One look before the wait and one after it; polling would have looked twenty times. Consumers of other tests may
    # still end in their folders.
    assert len([path for path in looked if path.startswith(str(tmp_path)) and path.endswith("messages")]) == 2


def test_a_consumer_at_its_limit_gets_the_next_message_after_an_acknowledgement(url: str, consumer: Connection):
    held: list[Any] = []
    one = consumer.Consumer([Queue("q")], callbacks=[lambda body, message: held.append(message)], prefetch_count=1)
    one.consume()
    put(url, "first", "second")
    consumer.drain_events(timeout=30)

    threading.Timer(0.1, lambda: held[0].ack()).start()
    consumer.drain_events(timeout=30)

    assert sorted(message.payload for message in held) == ["first", "second"]


def test_wake_up_pipes_of_stopped_consumers_are_removed(url: str, consumer: Connection):
    consume(consumer, "q", [])
    with pytest.raises(TimeoutError):
        consumer.drain_events(timeout=0)
    (own,) = bells(url)
    os.mkfifo(own.with_name("1-killed.bell"))

    folder_broker.ring(own.parent)

    assert bells(url) == [own]
    consumer.release()
    assert bells(url) == []


def test_a_folder_without_named_pipes_is_read_often(url: str, consumer: Connection, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: object, mode: int = 0) -> None:
        raise PermissionError("no pipes here")

    monkeypatch.setattr(os, "mkfifo", refuse)
    got: list[Any] = []
    consume(consumer, "q", got)

    put(url, "hello")
    consumer.drain_events(timeout=30)

    assert got == ["hello"]
    assert bells(url) == []
