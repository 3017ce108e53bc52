"""One of the processes of `orion server start --workers`: it answers requests, or runs the services.

It reads its orders as a line from standard input. When standard input is closed, its server has ended, and so it ends
too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

SERVICES = 0


@dataclass(frozen=True, slots=True)
class Orders:
    """The parent's orders for one process. Worker 0 runs the services; the others answer requests on the socket."""

    number: int
    listener: int
    sheet: int
    token: str
    base_path: str

    def as_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def name_of(number: int) -> str:
    return "services" if number == SERVICES else f"worker {number}"


def label_of(name: str) -> str:
    """Return the name of a process in metrics."""
    return name.replace(" ", "-")


def main() -> None:
    """Read the orders, and work until SIGTERM or the end of the server."""
    orders = Orders(**json.loads(sys.stdin.buffer.readline()))
    # Ctrl-C is for the parent, which then sends SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="orion-follows-parent", daemon=True).start()
    from orion_site.http.startup import settings_ready

    settings_ready()
    name = name_of(orders.number)
    _name_in_logs(name)
    _share(orders)
    _show_figures(label_of(name))
    if orders.number == SERVICES:
        # While any process has the socket open, the kernel accepts connections, so one that never answers must close
        # it.
        os.close(orders.listener)
        _tick()
    else:
        _answer(orders)


def _end_with_parent() -> None:
    # Without Python's buffered reader: this thread would still hold its lock when the interpreter exits.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _name_in_logs(name: str) -> None:
    """Add the name of the process to each line of the log."""
    usual = logging.getLogRecordFactory()

    def named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = usual(*args, **kwargs)
        record.name = f"{record.name} [{name}]"
        return record

    logging.setLogRecordFactory(named)


def _share(orders: Orders) -> None:
    from orion_site.accounts.local_token import share_with_others
    from orion_site.accounts.throttling import count_with_others
    from orion_site.shared_rows import Sheet

    sheet = Sheet(orders.sheet)
    share_with_others(orders.token, sheet)
    count_with_others(sheet)


def _show_figures(name: str) -> None:
    from orion_site.metrics.siblings import join

    join(name, os.getppid())


def _answer(orders: Orders) -> None:
    from orion_site.http.options import ServerOptions
    from orion_site.http.server import leave_at_once, serve
    from orion_site.shared_rows import Sheet

    listener = socket.socket(fileno=orders.listener)
    options = ServerOptions(base_path=orders.base_path, services=False, agent=False)
    turns = (Sheet(orders.sheet), orders.number)
    if not serve(listener, options, lambda address: _is_up(), turns=turns):
        leave_at_once()


def _tick() -> None:
    from orion_site.services.registry import services_of_this_server
    from orion_site.services.ticker import Ticker

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    ticker = Ticker(services_of_this_server())
    ticker.start()
    _is_up()
    over.wait()
    ticker.stop()


def _is_up() -> None:
    sys.stdout.write("up\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
