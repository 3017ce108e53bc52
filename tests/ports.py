"""Ports for servers that end and start again under the same address.

The ports that the system gives away by itself are not for them: while a server is away, whoever tries to reach it may
be given its very port, and is connected to itself.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

# Below the range from which Linux takes the ports of clients.
FIRST, EACH = 10_000, 5_000
_numbers = itertools.count(random.Random(os.urandom(8)).randrange(EACH))


def lasting_port() -> int:
    """Return a port where nothing listens, for each of the processes that run tests from a range of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    while True:
        port = FIRST + worker * EACH + next(_numbers) % EACH
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
