"""The Unix user on the other end of a connection from this machine, determined once by asking the kernel.

TCP itself does not transmit users. On Linux, `NETLINK_SOCK_DIAG` (`man 7 sock_diag`) describes the client's socket,
found by its two addresses; where that is not available, /proc/net/tcp does. On other systems no user is determined.
"""

from __future__ import annotations

import atexit
import itertools
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

# The key of the answer in ASGI scopes and WSGI environments; it cannot come from a header.
OWN_USER = "orion.own_user"

ESTABLISHED, CLOSE_WAIT = 1, 8
# Sockets that their program has closed have no inode, and appear to belong to root.
NO_INODE = 0

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
NO_COOKIE = struct.pack("=II", 0xFFFFFFFF, 0xFFFFFFFF)
ALL_STATES = 0xFFFFFFFF
# `struct inet_diag_msg`: the family and the state first; user and inode after the addresses and three numbers.
BEGIN, UID_AND_INODE, UID_AT = struct.Struct("=BB"), struct.Struct("=II"), 64
LONGEST_ANSWER = 8192

Address = IPv4Address | IPv6Address
End = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A client's socket, as the kernel describes it."""

    uid: int
    state: int
    inode: int

    @property
    def is_live(self) -> bool:
        return self.inode != NO_INODE and self.state in {ESTABLISHED, CLOSE_WAIT}


Question = Callable[[End, End], Peer | None]


def is_of_own_user(connection: socket.socket) -> bool:
    """Whether an accepted connection comes from a program of the user who runs this process."""
    ask = way_to_ask()
    if ask is None:
        return False
    try:
        client, server = end_of(connection.getpeername()), end_of(connection.getsockname())
        if not client[0].is_loopback:
            return False
        peer = ask(client, server)
    except (OSError, ValueError):
        return False
    if peer is None or not peer.is_live or peer.uid != os.geteuid():
        return False
    # The answer is certain only while the connection is open: later its addresses may belong to another one.
    return state_of(connection) == ESTABLISHED


def can_identify_users() -> bool:
    """Whether the kernel can tell users on this system."""
    return way_to_ask() is not None


@cache
def way_to_ask() -> Question | None:
    """Return the fastest method that recognises this process itself; None if there is none."""
    if not sys.platform.startswith("linux") or os.geteuid() == _overflow_uid():
        return None
    with suppress(OSError):
        if _recognises_itself(ask := Kernel()):
            atexit.register(ask.close)
            return ask
    with suppress(OSError):
        if _recognises_itself(ask_proc):
            return ask_proc
    return None


def end_of(name: tuple[str, int, *tuple[object, ...]]) -> End:
    """Return address and port; an IPv6 socket may have an IPv4 address (`::ffff:127.0.0.1`)."""
    address = ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address, name[1]


def state_of(connection: socket.socket) -> int:
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return 0


class Kernel:
    """A netlink socket, on which the kernel answers at once. Threads may share it."""

    def __init__(self) -> None:
        family = getattr(socket, "AF_NETLINK", 16)
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        self._socket.connect((0, 0))
        self._socket.setblocking(False)
        self._numbers = itertools.count(1)
        self._asking = threading.Lock()

    def __call__(self, client: End, server: End) -> Peer | None:
        body = self._body(client, server)
        with self._asking:
            number = next(self._numbers) & 0xFFFFFFFF
            header = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, number, 0)
            self._socket.send(header + body)
            # The answer has arrived when `send` returns; any other one belongs to an earlier question that failed.
            while True:
                answer = self._socket.recv(LONGEST_ANSWER)
                _, kind, _, answered, _ = HEADER.unpack_from(answer)
                if answered == number:
                    break
        if kind != SOCK_DIAG_BY_FAMILY:
            return None
        _, state = BEGIN.unpack_from(answer, HEADER.size)
        uid, inode = UID_AND_INODE.unpack_from(answer, HEADER.size + UID_AT)
        return Peer(uid, state, inode)

    def close(self) -> None:
        self._socket.close()

    def _body(self, client: End, server: End) -> bytes:
        (source, source_port), (target, target_port) = client, server
        # The kernel also finds IPv6 sockets with IPv4 addresses by these.
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        addresses = source.packed.ljust(16, b"\0") + target.packed.ljust(16, b"\0")
        ends = struct.pack("!HH", source_port, target_port) + addresses + struct.pack("=I", 0) + NO_COOKIE
        return REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, ALL_STATES) + ends


def ask_proc(client: End, server: End) -> Peer | None:
    """Find the client's socket in the tables of /proc, which takes longer the more sockets there are."""
    for file, written in _tables(client, server):
        try:
            table = Path(file).read_text()
        except OSError:
            continue
        for line in table.splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) == written:
                return Peer(uid=int(fields[7]), state=int(fields[3], 16), inode=int(fields[9]))
    return None


def _tables(client: End, server: End) -> list[tuple[str, tuple[str, str]]]:
    """Return the tables in which the socket may be, and how they write its two ends."""
    ends = (client, server)
    if client[0].version == 6:
        return [("/proc/net/tcp6", (_written(*ends[0]), _written(*ends[1])))]
    mapped = [(IPv6Address(f"::ffff:{address}"), port) for address, port in ends]
    return [
        ("/proc/net/tcp", (_written(*ends[0]), _written(*ends[1]))),
        ("/proc/net/tcp6", (_written(*mapped[0]), _written(*mapped[1]))),
    ]


def _written(address: Address, port: int) -> str:
    words = struct.unpack(f"={len(address.packed) // 4}I", address.packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _recognises_itself(ask: Question) -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = listener.getsockname()
        with socket.create_connection(here, timeout=1) as client, listener.accept()[0]:
            peer = ask(end_of(client.getsockname()), end_of(here))
    return peer is not None and peer.is_live and peer.uid == os.geteuid()


def _overflow_uid() -> int:
    """Return the id that stands for users of other containers, which may be any user."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return 65534
