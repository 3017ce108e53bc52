"""The server: daphne in this process. Its socket is bound first, so that any refusal to start is one sentence."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from orion_site.env import orion_home
from orion_site.http.listener import address_of, bound_socket, reached_at
from orion_site.http.messages import print_line
from orion_site.http.options import CannotStart, ServerOptions
from orion_site.http.running_servers import ServerFile, announced, announced_for
from orion_site.http.startup import prepare

if TYPE_CHECKING:
    from orion_site.services.own_agent import OwnAgent
    from orion_site.shared_rows import Sheet


def run_server(options: ServerOptions, *, on_ready: Callable[[str], None] = lambda address: None) -> bool:
    """Serve until SIGINT or SIGTERM. `on_ready` is called with the address when requests are accepted.

    Return False if a request is still computing after its time; then leave the process with `leave_at_once`.
    """
    outside = os.environ.get("ORION_EXTERNAL_URL") or os.environ.get("ORION_UI_URL") or ""
    options = replace(options, base_path=options.base_path or urlsplit(outside).path)
    # Bound and not yet listening: connections are refused until everything below is prepared.
    listener = bound_socket(options)
    try:
        address = address_of(listener, options.base_path)
        if not outside:
            os.environ["ORION_EXTERNAL_URL"] = address
        prepare(options)
        _refuse_strangers(listener, options)
        # Imported here, because it needs the settings.
        from orion_site.http.token_file import token_kept

        home, here = orion_home(), reached_at(listener)
        with _noticing_others(address), token_kept(home, *here), announced(home, *here, address) as file:
            if options.workers > 1:
                return _serve_by_workers(listener, options, file, on_ready)
            return serve(listener, options, on_ready)
    finally:
        listener.close()


def _refuse_strangers(listener: socket.socket, options: ServerOptions) -> None:
    """Refuse to listen for other machines before any user can sign in."""
    from orion_site.accounts.local_owner import anybody_can_sign_in

    host = ip_address(listener.getsockname()[0])
    if host.is_loopback:
        return
    if not anybody_can_sign_in():
        raise CannotStart(
            f"Nobody on other machines could prove who they are yet, so Orion does not listen on {host}. "
            "Make a user and start again:\n"
            "  orion user create NAME --role admin\n"
            f"  orion server start --host {options.host}"
        )
    if options.agent and not host.is_unspecified:
        raise CannotStart(
            f"The agent of this server asks it on 127.0.0.1, where it does not listen with --host {options.host}. "
            "Use --host 0.0.0.0, or --no-agent."
        )


@contextmanager
def _noticing_others(address: str) -> Iterator[None]:
    """Warn of other servers on the same SQLite file, which should have only one."""
    from orion_site.database.file import sqlite_file

    file = sqlite_file()
    if file is None:
        yield
        return
    with announced_for(file, address) as others:
        for other in others:
            print_line(
                f"Another server serves {file} as well: {other}. They share its runs and take turns at writing. "
                "Stop one of them, or give this one a database of its own with ORION_HOME or ORION_DATABASE_URL."
            )
        yield


def leave_at_once() -> NoReturn:
    """Exit without waiting for threads, which Python would do forever."""
    print_line("A request that was still computing has been cut off.")
    sys.stdout.flush()
    os._exit(0)


def _serve_by_workers(
    listener: socket.socket, options: ServerOptions, file: ServerFile, on_ready: Callable[[str], None]
) -> bool:
    from django.db import connections

    from orion_site.http.workers import Workers

    # The workers must not inherit connections of this process.
    connections.close_all()
    address = address_of(listener, options.base_path)
    return Workers(listener, options, file).run(_own_agent(address, options), lambda: on_ready(address))


def serve(
    listener: socket.socket,
    options: ServerOptions,
    on_ready: Callable[[str], None],
    *,
    turns: tuple[Sheet, int] | None = None,
) -> bool:
    """Answer requests on the socket in this process, taking turns with other workers if there are any."""
    from orion_site.asgi import application, http
    from orion_site.http.daphne_server import LoopbackServer
    from orion_site.services.registry import services_of_an_api, services_of_this_server
    from orion_site.services.ticker import Ticker

    ticker = Ticker([*services_of_an_api(), *(services_of_this_server() if options.services else ())])
    address = address_of(listener, options.base_path)
    agent = _own_agent(address, options)

    def ready() -> None:
        _spare_collector()
        ticker.start()
        on_ready(address)
        if agent:
            agent.start()

    server = LoopbackServer(application, listener, max_body=http.max_body, ready_callable=ready, turns=turns)
    if agent:
        server.before_end, server.hurry = agent.stop, agent.hurry
    try:
        server.run()
    finally:
        ticker.stop()
        all_ended = http.close(server.grace_left())
        server.is_over()
    return all_ended


def _spare_collector() -> None:
    """Exempt everything loaded so far from garbage collection, which would otherwise take tens of milliseconds.

    This also loads the addresses of pages and of the API, instead of at the first request.
    """
    import gc

    from django.urls import get_resolver

    _ = get_resolver().url_patterns
    gc.collect()
    gc.freeze()


def _own_agent(address: str, options: ServerOptions) -> OwnAgent | None:
    if not options.agent:
        return None
    from orion_site.services.own_agent import DRAIN_SECONDS, OwnAgent

    drain_seconds = DRAIN_SECONDS if options.drain_seconds is None else options.drain_seconds
    return OwnAgent(f"{address}/api", options.agent_concurrency, drain_seconds)
