"""The token of a local server, by which programs of the same Unix user get its owner's rights without signing in.

Each start of a server creates a token and writes it into `servers/` of the home, under the loopback address on which it
listens. The token is sent only to that address: no other process can listen there while the server runs, and afterwards
the token is worthless. `localhost` may mean two addresses, so it is replaced by that of the server.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from orionflow.contract.credentials import LOCAL_TOKEN_BEGINS

FOLDER = "servers"
# The addresses that `localhost` may mean.
BOTH = ("127.0.0.1", "::1")


def token_file(home: Path, host: str, port: int) -> Path:
    """Return the file of a server's token. It contains the host name, as machines may share a home."""
    return home / FOLDER / f"{socket.gethostname()} {host.replace(':', '-')} {port}"


def servers_of(home: Path) -> Iterator[str]:
    """Yield the addresses of this home's servers on this machine, the newest first; some may have been killed."""
    begin = f"{socket.gethostname()} "
    try:
        files = sorted((home / FOLDER).glob("*"), key=lambda path: -path.stat().st_mtime)
    except OSError:
        return
    for path in files:
        host, _, port = path.name.removeprefix(begin).partition(" ")
        if path.name.startswith(begin) and port.isdigit():
            yield f"http://[{host.replace('-', ':')}]:{port}" if "-" in host else f"http://{host}:{port}"


class LocalToken:
    """Proves to a server of this home that the request comes from its owner."""

    def __init__(self, home: Path, api_url: str) -> None:
        self._parts = urlsplit(api_url)
        hosts = _loopback_hosts(self._parts)
        self._places = [(host, token_file(home, host, self._parts.port or 80)) for host in hosts]
        self._known: tuple[tuple[int, int], str] | None = None

    def prove(self, address: str) -> tuple[str, Mapping[str, str]]:
        """Return the address to which a request must be sent, and the header with the token."""
        for host, file in self._places:
            if token := self._read(file):
                return self._at(host, address), {"Authorization": f"Bearer {token}"}
        return address, {}

    def _read(self, file: Path) -> str | None:
        try:
            status = file.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            # Read again only when a server has replaced the file, and not for each request.
            if self._known is None or self._known[0] != stamp:
                if status.st_uid != os.geteuid():
                    return None
                self._known = stamp, file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return self._known[1] if self._known[1].startswith(LOCAL_TOKEN_BEGINS) else None

    def _at(self, host: str, address: str) -> str:
        if self._parts.hostname == host:
            return address
        shown = f"[{host}]" if ":" in host else host
        return urlsplit(address)._replace(netloc=f"{shown}:{self._parts.port or 80}").geturl()


def _loopback_hosts(parts: SplitResult) -> tuple[str, ...]:
    host = parts.hostname or ""
    if parts.scheme != "http":
        return ()
    if host == "localhost":
        return BOTH
    try:
        return (host,) if ip_address(host).is_loopback else ()
    except ValueError:
        return ()
