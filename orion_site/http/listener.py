"""The socket on which the server listens, and the addresses at which it is reached."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from orion_site.http.options import CannotStart, ServerOptions

LOOPBACK_NAMES = {"localhost": "127.0.0.1"}
# A server that listens on all addresses is reached by the loopback address.
LOOPBACK_OF_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def bound_socket(options: ServerOptions) -> socket.socket:
    """Return a socket bound to the address; with port 0 the system chooses a free one. Raises CannotStart."""
    host = listening_address(options.host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Otherwise the port stays taken for a minute by closed connections of the server that ran before.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, options.port))
    except OSError as error:
        listener.close()
        raise CannotStart(_why_not_bound(host, options.port, error)) from error
    return listener


def listening_address(host: str) -> str:
    """Return the address that `--host` names. Raises CannotStart for a name of another machine."""
    address = LOOPBACK_NAMES.get(host.lower(), host.strip("[]"))
    try:
        ip_address(address)
    except ValueError:
        raise CannotStart(
            f"--host {host} is not an address of this machine: write 127.0.0.1, one of its others, or 0.0.0.0 for all."
        ) from None
    return address


def _why_not_bound(host: str, port: int, error: OSError) -> str:
    match error:
        case PermissionError():
            return f"Port {port} needs more rights than this user has; use a port above 1023 with --port."
        # EADDRINUSE of Linux; other systems have other numbers, but the same words.
        case _ if error.errno == 98 or "in use" in str(error):
            return f"Port {port} of {host} is in use; stop what listens there or choose another one with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}."


def reached_at(listener: socket.socket) -> tuple[str, int]:
    """Return the host and the port at which programs on this machine reach the server."""
    host, port = listener.getsockname()[:2]
    return LOOPBACK_OF_ALL.get(host, host), port


def address_of(listener: socket.socket, base_path: str = "") -> str:
    """Return the address of the server for programs on this machine."""
    host, port = reached_at(listener)
    path = "/" + base_path.strip("/") if base_path.strip("/") else ""
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
