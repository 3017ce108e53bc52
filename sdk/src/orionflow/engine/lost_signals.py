"""Redelivery of a signal that arrived as the main thread was about to block.

Python only notes that a signal arrived, and calls its handler at the next line of the main thread. If that thread is
waiting for the interpreter's lock at that moment, on its way into `time.sleep` or another blocking call, the next line
comes when the call has ended by itself, perhaps after an hour. The operating system interrupts the call if the signal
is sent again. `signal.set_wakeup_fd` reports every signal at once, whatever the main thread does.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

# Seconds. A handler is called within microseconds, except during a call into C that keeps the interpreter's lock.
FIRST_LOOK = 0.05
LONGEST_PAUSE = 1.0


class LostSignals:
    """Between `listen` and `stop`, sends each signal again until its handler calls `handled`.

    While `keep` stands for a handler, the main thread is sure to call it, and nothing is sent.
    """

    def __init__(self, handlers: Mapping[int, Callable[..., Any]], keep: Callable[..., Any]) -> None:
        self._handlers = handlers
        self._keep = keep
        self._came: Counter[int] = Counter()
        self._handled: Counter[int] = Counter()
        self._bell: socket.socket | None = None
        self._is_listening = False

    def listen(self) -> None:
        """Start listening, in the main thread.

        Do nothing if the program has a wakeup descriptor of its own, or if the process may not open files or start
        threads at the moment.
        """
        if self._bell is None and not self._start():
            return
        assert self._bell is not None
        before = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        self._is_listening = before == -1
        if not self._is_listening:
            signal.set_wakeup_fd(before)

    def _start(self) -> bool:
        with ExitStack() as opened:
            try:
                bell, ear = socket.socketpair()
                opened.enter_context(bell)
                opened.enter_context(ear)
                bell.setblocking(False)
                threading.Thread(target=self._look_after, args=(ear,), name="orion-lost-signals", daemon=True).start()
            except (OSError, RuntimeError):
                return False
            opened.pop_all()
        self._bell = bell
        return True

    def handled(self, number: int) -> None:
        # Every signal is counted here and where it is read, or nowhere: one counted only here would hide a lost one.
        if self._is_listening:
            self._handled[number] += 1

    def send_again(self, number: int) -> bool:
        """Have a signal that was handled sent once more, in a moment. Return False if nothing listens."""
        if self._is_listening:
            self._handled[number] -= 1
        return self._is_listening

    def stop(self) -> None:
        if self._is_listening and self._bell is not None:
            now = signal.set_wakeup_fd(-1)
            self._is_listening = False
            if now != self._bell.fileno():
                # An event loop replaced the descriptor and did not restore it.
                signal.set_wakeup_fd(now)

    def _look_after(self, ear: socket.socket) -> None:
        pause: float | None = None
        while True:
            ear.settimeout(pause)
            try:
                came = ear.recv(64)
            except TimeoutError:
                pause = self._send_again(pause or FIRST_LOOK)
                continue
            except OSError:
                came = b""
            if not came:
                # The program has closed all files of the process. Others may have their numbers by now.
                ear.detach()
                return
            self._came.update(came)
            pause = pause or FIRST_LOOK

    def _send_again(self, pause: float) -> float | None:
        """Send unhandled signals again. Return the seconds until the next check, or None."""
        main_thread = threading.main_thread().ident or 0
        waits = False
        for number, handler in self._handlers.items():
            current = signal.getsignal(number)
            if current not in (handler, self._keep):
                # The program has replaced the handler, which counts nothing. What ours counted may still be unread.
                self._came[number] = min(self._came[number], self._handled[number])
            elif self._came[number] > self._handled[number]:
                waits = True
                if current == handler:
                    # Sending the signal again writes to the wakeup descriptor again, which counts it a second time.
                    self._came[number] -= 1
                    signal.pthread_kill(main_thread, number)
        return min(pause * 2, LONGEST_PAUSE) if waits else None
