"""Deliver a signal again that came as the main thread was about to block.

Python only notes that a signal came, and calls its handler at the next line of the main thread. Where that thread
waits for the interpreter's lock at the moment, on its way into `time.sleep` or another call that blocks, the next line
comes when the call has ended by itself, after an hour perhaps. The operating system breaks the call off if the signal
comes once more. `signal.set_wakeup_fd` tells of every signal at once, whatever the main thread does.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

# A handler is called within microseconds, but not during a call into C that keeps the interpreter's lock.
FIRST_LOOK = 0.05
LONGEST_PAUSE = 1.0


class LostSignals:
    """Between `listen` and `stop`, sends each signal again until its handler, one of these, calls `handled`."""

    def __init__(self, handlers: Mapping[int, Callable[..., Any]]) -> None:
        self._handlers = handlers
        self._came: Counter[int] = Counter()
        self._handled: Counter[int] = Counter()
        self._bell: socket.socket | None = None
        self._is_listening = False

    def listen(self) -> None:
        """Begin, in the main thread; does nothing where the program has a wakeup descriptor of its own."""
        if self._bell is None:
            self._bell, ear = socket.socketpair()
            self._bell.setblocking(False)
            threading.Thread(target=self._look_after, args=(ear,), name="orion-lost-signals", daemon=True).start()
        before = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        self._is_listening = before == -1
        if not self._is_listening:
            signal.set_wakeup_fd(before)

    def handled(self, number: int) -> None:
        self._handled[number] += 1

    def stop(self) -> None:
        if self._is_listening and self._bell is not None:
            self._is_listening = False
            now = signal.set_wakeup_fd(-1)
            if now != self._bell.fileno():
                # An event loop took it over, and did not give it back.
                signal.set_wakeup_fd(now)

    def _look_after(self, ear: socket.socket) -> None:
        pause: float | None = None
        while True:
            ear.settimeout(pause)
            try:
                self._came.update(ear.recv(64))
                pause = pause or FIRST_LOOK
            except TimeoutError:
                pause = self._send_again(pause or FIRST_LOOK)

    def _send_again(self, pause: float) -> float | None:
        """Send what was not handled; how long to wait before the next look, if there is anything to look at."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                # The program has another one now.
                self._came[number] = self._handled[number]
        lost = [number for number in self._handlers if self._came[number] > self._handled[number]]
        for number in lost:
            # The bell rings for this one, too.
            self._came[number] -= 1
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        return min(pause * 2, LONGEST_PAUSE) if lost else None
