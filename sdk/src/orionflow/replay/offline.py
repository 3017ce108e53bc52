"""No network: every connection by a socket of this program is refused, in whatever library.

An audit hook cannot be removed by the code that runs under it. It does not see connections that a library makes without
Python's sockets, and those of other programs.
"""

from __future__ import annotations

import sys
from typing import Any

_REFUSED = frozenset(
    {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
     "socket.gethostbyaddr"}
)  # fmt: skip


class OfflineReplay(OSError):
    """A connection was refused, because the replay is offline."""


def go_offline() -> None:
    """Refuse network connections of this process from now on."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _REFUSED:
        return
    # The other events begin with the socket, and end with the address.
    where = arguments[0] if event.startswith("socket.get") else arguments[-1]
    raise OfflineReplay(
        f"This replay is offline, so a connection to {where!r} was refused; leave --offline out to allow it."
    )
