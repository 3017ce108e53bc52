"""The thread that checks the replica sleeps while nobody asks, and wakes for whoever asks at that moment."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from orion_site.database import replica


class Asked(threading.Event):
    """Wanted by a request at the very moment before it is cleared for the first time."""

    def __init__(self, watch: replica.Watch) -> None:
        super().__init__()
        self._watch: replica.Watch | None = watch

    def clear(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.read()
        super().clear()


class Ended(Exception):
    """The thread has looked twice."""


class Counted(replica.Watch):
    """Counts how often it looks instead of looking, and ends after the second time."""

    looks = 0

    def look(self) -> None:
        self.looks += 1
        if self.looks == 2:
            raise Ended

    def look_twice(self) -> None:
        with suppress(Ended):
            self._look_forever()


def test_a_request_that_comes_as_the_thread_falls_asleep_wakes_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replica, "LOOK_SECONDS", 0.0)
    watch = Counted()
    watch._wanted_at = float("-inf")
    watch._wanted = Asked(watch)
    watch._thread = threading.Thread(target=watch.look_twice, daemon=True)

    watch._thread.start()
    watch._thread.join(10)

    assert watch.looks == 2
