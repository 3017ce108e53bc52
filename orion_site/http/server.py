"""The server: daphne in this process. Its socket is bound first, so that any refusal to start is one sentence."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from orionflow import json_lines
from orionflow.private_files import make_private_folder, private_opener

if TYPE_CHECKING:
    from orion_site.http.running_servers import ServerFile
    from orion_site.services.own_agent import OwnAgent
    from orion_site.shared_rows import Sheet

LOOPBACK_NAMES = {"localhost": "127.0.0.1"}


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


def run_server(options: ServerOptions, *, on_ready: Callable[[str], None] = lambda address: None) -> bool:
    """Serve until SIGINT or SIGTERM. `on_ready` is called with the address when requests are accepted.

    Return False if a request is still computing after its time; then leave the process with `leave_at_once`.
    """
    outside = os.environ.get("ORION_EXTERNAL_URL") or os.environ.get("ORION_UI_URL") or ""
    options = replace(options, base_path=options.base_path or urlsplit(outside).path)
    listener = bound_socket(options)
    try:
        if not outside:
            os.environ["ORION_EXTERNAL_URL"] = address_of(listener, options.base_path)
        _prepare(options)
        _refuse_strangers(listener, options)
        with (
            _noticing_others(address_of(listener, options.base_path)),
            _token_kept(listener),
            _listed(listener, options) as file,
        ):
            if options.workers > 1:
                return _serve_by_workers(listener, options, file, on_ready)
            return serve(listener, options, on_ready)
    finally:
        listener.close()


def bound_socket(options: ServerOptions) -> socket.socket:
    """Return a socket bound to the address; with port 0 the system chooses a free one."""
    host = listening_address(options.host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, options.port))
    except OSError as error:
        listener.close()
        raise CannotStart(_why_not_bound(host, options.port, error)) from error
    return listener


def listening_address(host: str) -> str:
    address = LOOPBACK_NAMES.get(host.lower(), host.strip("[]"))
    try:
        ip_address(address)
    except ValueError:
        raise CannotStart(
            f"--host {host} is not an address of this machine: write 127.0.0.1, one of its others, or 0.0.0.0 for all."
        ) from None
    return address


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


def _token_kept(listener: socket.socket) -> AbstractContextManager[None]:
    """Store the token with which programs of the owner authenticate at this address."""
    from orion_site.env import orion_home
    from orion_site.http.token_file import token_kept

    here = urlsplit(address_of(listener))
    return token_kept(orion_home(), here.hostname or "", here.port or 80)


def _listed(listener: socket.socket, options: ServerOptions) -> AbstractContextManager[ServerFile]:
    """Keep the file by which `orion server status` and `stop` find this server."""
    from orion_site.env import orion_home
    from orion_site.http.running_servers import announced

    here = urlsplit(address_of(listener))
    address = address_of(listener, options.base_path)
    return announced(orion_home(), here.hostname or "", here.port or 80, address)


def _why_not_bound(host: str, port: int, error: OSError) -> str:
    match error:
        case PermissionError():
            return f"Port {port} needs more rights than this user has; use a port above 1023 with --port."
        case _ if error.errno == 98 or "in use" in str(error):
            return f"Port {port} of {host} is in use; stop what listens there or choose another one with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}."


def _prepare(options: ServerOptions) -> None:
    """Prepare home, settings, secret key and database, in this order."""
    from orion_site.env import orion_home
    from orion_site.private_home import close_home

    host = ip_address(listening_address(options.host))
    if not host.is_loopback and not host.is_unspecified:
        os.environ["ORION_ALLOWED_HOSTS"] = ",".join(filter(None, [os.environ.get("ORION_ALLOWED_HOSTS"), str(host)]))
    if options.base_path.strip("/"):
        os.environ["ORION_BASE_PATH"] = "/" + options.base_path.strip("/")
    if options.agent:
        from orion_site.services.own_agent import own_broker

        os.environ.setdefault("ORION_BROKER_URL", own_broker())
    with _unwritable_home_named(), _invalid_settings_named():
        make_private_folder(orion_home())
        close_home(orion_home())
    _set_up_django()
    with _unwritable_home_named():
        _keep_secret_key()
    _refuse_contradictions()
    _refuse_workers_on_sqlite(options.workers)
    _prepare_database()


def settings_ready() -> None:
    """Close the home and set up Django with the server's settings. Raises CannotStart if they are invalid."""
    from orion_site.env import orion_home
    from orion_site.private_home import close_home

    # A home that cannot be closed, as on a disk that is only read, may still be read.
    with _invalid_settings_named(), suppress(OSError):
        close_home(orion_home())
    _set_up_django()


def _set_up_django() -> None:
    """Set up Django with the server's settings, which refuse a home of other users."""
    chosen = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    with _invalid_settings_named():
        _refuse_other_projects(chosen)
        django.setup()
    if json_lines.are_wanted():
        json_lines.log_uncaught(logging.getLogger("orion.server"))


def _refuse_other_projects(module: str) -> None:
    """Raise CannotStart for settings that are not made from ours: shells keep the variable of another project."""
    from django.conf import settings

    try:
        if hasattr(settings, "ORION_HOME_OWNERS"):
            return
        reason = "has no settings of Orion"
    except ModuleNotFoundError as error:
        reason = f"cannot be imported ({error})"
    raise CannotStart(
        f"DJANGO_SETTINGS_MODULE={module} {reason}. Unset it, or let that module begin with "
        "`from orion_site.settings import *`."
    )


def _keep_secret_key() -> None:
    """Store a secret key unless there is one, and use it in place of the random one that the settings made."""
    from django.conf import settings

    from orion_site.accounts.secret_key import create_secret_key, secret_key

    create_secret_key()
    settings.SECRET_KEY = secret_key()


@contextmanager
def _unwritable_home_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotStart(
            f"ORION_HOME cannot be written to: {error.strerror} ({error.filename}); set it to another folder."
        ) from error


@contextmanager
def _invalid_settings_named() -> Iterator[None]:
    from django.core.exceptions import ImproperlyConfigured

    try:
        yield
    except ImproperlyConfigured as error:
        raise CannotStart(str(error)) from error


def _refuse_contradictions() -> None:
    from django.core.checks import ERROR, run_checks

    found = run_checks(tags=["orion"])
    if wrong := [one for one in found if one.level >= ERROR]:
        raise CannotStart(" ".join(f"{one.msg} {one.hint}" for one in wrong))
    for one in found:
        say(f"{one.msg} {one.hint}")


def _refuse_workers_on_sqlite(workers: int) -> None:
    from django.db import connection

    if workers > 1 and connection.vendor == "sqlite":
        raise CannotStart(
            f"{workers} workers would take turns at SQLite, which has one writer at a time, and be slower than one. "
            "Use --workers 1, or PostgreSQL with ORION_DATABASE_URL."
        )


def _prepare_database() -> None:
    from django.conf import settings
    from django.utils import timezone

    from deployments.blocks.services.builtin_types import install_builtin_block_types
    from orion_site.database.lifecycle import DatabaseUnusable, prepare

    try:
        prepare()
    except DatabaseUnusable as error:
        raise CannotStart(str(error)) from error
    install_builtin_block_types(now=timezone.now())
    if settings.ORION_BEAT:
        from orion_site.services.beat import write_periodic_tasks

        write_periodic_tasks()


@contextmanager
def _noticing_others(address: str) -> Iterator[None]:
    """Warn of other servers on the same SQLite file, which should have only one."""
    from orion_site.database.file import sqlite_file

    file = sqlite_file()
    if file is None:
        yield
        return
    with _announced(file, address) as others:
        for other in others:
            say(
                f"Another server serves {file} as well: {other}. They share its runs and take turns at writing. "
                "Stop one of them, or give this one a database of its own with ORION_HOME or ORION_DATABASE_URL."
            )
        yield


@contextmanager
def _announced(database: Path, address: str) -> Iterator[list[str]]:
    """Announce this server for a SQLite file until the block ends, and yield descriptions of others that use it.

    Each server holds a lock on a file next to the database, which contains its process and address. A lock ends with
    its process, so the file of a killed server has none.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there the second server goes unnoticed.
        yield []
        return
    own = database.with_name(f"{database.name}.{os.getpid()}.server")
    with open(own, "w", opener=private_opener) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"process {os.getpid()}, {address}")
        lock.flush()
        try:
            yield _living(database, own)
        finally:
            own.unlink(missing_ok=True)


def _living(database: Path, own: Path) -> list[str]:
    """Return descriptions of the other servers whose locks are held; remove files without a lock."""
    import fcntl

    found = []
    for path in sorted(database.parent.glob(f"{database.name}.*.server")):
        with suppress(OSError), open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if path != own:
                    found.append(lock.read())
            else:
                # Without a lock: its process was killed.
                path.unlink(missing_ok=True)
    return found


def leave_at_once() -> NoReturn:
    """Exit without waiting for threads, which Python would do forever."""
    say("A request that was still computing has been cut off.")
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


def address_of(listener: socket.socket, base_path: str = "") -> str:
    host, port = listener.getsockname()[:2]
    # A server that listens on all addresses is reached by the loopback address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    path = "/" + base_path.strip("/") if base_path.strip("/") else ""
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def address_for_browsers(address: str) -> str:
    """Return the address to open in the owner's browser, with a link to sign in if it needs one."""
    from orion_site.accounts.local_owner import OwnerBy, owner_by
    from orion_site.accounts.local_token import new_code

    return f"{address}/enter/{new_code()}" if owner_by() is OwnerBy.TOKEN else address


def banner(address: str, way_in: str = "") -> str:
    """Return the text that a server prints when it is ready."""
    from django.db import connection

    from orion_site import __version__
    from orion_site.database.lifecycle import place

    lines = [
        (
            "Dashboard",
            address if way_in in {"", address} else f"{way_in}\n{'':13}once, within a minute; then `orion open`",
        ),
        ("API", f"{address}/api (reference: {address}/docs)"),
        ("Database", f"{connection.display_name}, {place()}"),
        ("Clients", f"orion config set ORION_API_URL {address}/api"),
        ("Access", _who_may()),
    ]
    body = "\n".join(f"  {name:<10} {text}" for name, text in lines)
    return f"\n  Orion {__version__}\n\n{body}\n\n  Ctrl-C stops the server.\n"


def _who_may() -> str:
    from orion_site.accounts.local_owner import OwnerBy, anybody_can_sign_in, owner_by

    others = ", and who signs in or sends a key" if anybody_can_sign_in() else ""
    match owner_by():
        case OwnerBy.USER:
            return f"programs of your Unix user{others}"
        case OwnerBy.TOKEN:
            return f"programs of Orion that your Unix user runs, browsers by `orion open`{others}"
    return "every user of this machine can run code as you here (see SECURITY.md)"


def say(text: str) -> None:
    json_lines.say(text, "orion.server")
