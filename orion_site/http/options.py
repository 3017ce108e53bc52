"""The options of `orion server start`, and the error of a server that cannot start with them."""

from __future__ import annotations

from dataclasses import dataclass


class CannotStart(Exception):
    """The server cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of `orion server start`."""

    host: str = "127.0.0.1"
    port: int = 4200
    base_path: str = ""
    services: bool = True
    agent: bool = True
    agent_concurrency: int = 4
    # Seconds for runs of the own agent after the server was asked to stop; None for the default.
    drain_seconds: float | None = None
    # Processes that answer requests. With more than one, the services run in another one.
    workers: int = 1
