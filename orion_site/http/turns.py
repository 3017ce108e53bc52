"""The listening socket of several workers: the worker with the fewest connections accepts the next one.

The kernel wakes all of them for each connection; on an idle machine the same one would always be first.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp

from orion_site.shared_rows import Sheet

# Seconds that a worker with more connections leaves new ones to others; then it accepts what is still waiting.
LEAVE_SECONDS = 0.003


class Turns:
    """Shares the number of this worker's connections, and takes turns by it."""

    def __init__(self, sheet: Sheet, number: int, reactor: Any) -> None:
        self._sheet, self._number, self._reactor = sheet, number, reactor
        self._open = 0
        self._has_left = False

    def take_part(self, port: Any) -> None:
        self._port, self._accept = port, port.doRead
        port.doRead, port.transport = self._accept_in_turn, self._counted()
        self._sheet.note_connections(self._number, 0)

    def leave(self) -> None:
        """Stop accepting connections; the other workers continue."""
        self._port.stopReading()
        self._has_left = True
        self._sheet.note_connections(self._number, -1)

    def _accept_in_turn(self) -> None:
        if self._open > self._sheet.fewest_connections():
            self._port.stopReading()
            self._reactor.callLater(LEAVE_SECONDS, self._accept_what_is_left)
        else:
            self._accept_one()

    def _accept_what_is_left(self) -> None:
        if not self._has_left:
            self._port.startReading()
            self._accept_one()

    def _accept_one(self) -> None:
        # By default Twisted accepts several at once.
        self._port.numberAccepts = 1
        self._accept()

    def _note(self, change: int) -> None:
        self._open += change
        if not self._has_left:
            self._sheet.note_connections(self._number, self._open)

    def _counted(self) -> type[tcp.Server]:
        note = self._note

        class Counted(tcp.Server):
            """A connection that is counted, also after it became a websocket."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                note(1)
                super().__init__(*args, **kwargs)

            def connectionLost(self, reason: Any) -> None:  # noqa: N802 (Twisted's name)
                if hasattr(self, "socket"):
                    note(-1)
                super().connectionLost(reason)

        return Counted
