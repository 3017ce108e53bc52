"""Deciding about deliveries: how long until the next try, when to give up, and which destinations are left in peace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)
MOST_ATTEMPTS = 12

FAILURES_THAT_OPEN = 3
REST = timedelta(seconds=60)


def wait_after(attempts: int) -> timedelta | None:
    """How long to wait after this many failed attempts; None when it was the last one."""
    if attempts >= MOST_ATTEMPTS:
        return None
    doubled: int = 2 ** max(attempts - 1, 0)
    return min(FIRST_WAIT * doubled, LONGEST_WAIT)


@dataclass(slots=True)
class Circuit:
    """Leaves a destination in peace after failures in a row, then lets one attempt through: is it back?"""

    _failures: dict[str, int] = field(default_factory=dict)
    _closed_until: dict[str, datetime] = field(default_factory=dict)

    def rests_until(self, destination: str, now: datetime) -> datetime | None:
        until = self._closed_until.get(destination)
        return until if until is not None and now < until else None

    def failed(self, destination: str, now: datetime) -> None:
        self._failures[destination] = self._failures.get(destination, 0) + 1
        if self._failures[destination] >= FAILURES_THAT_OPEN:
            self._closed_until[destination] = now + REST

    def went_well(self, destination: str) -> None:
        self._failures.pop(destination, None)
        self._closed_until.pop(destination, None)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and networks that may be reached although they are not public."""

    hosts: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowed:
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry, strict=False))
            except ValueError:
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Whether `address`, to which `host` resolved, may be connected to."""
        if host.lower() in self.hosts or any(address in network for network in self.networks):
            return True
        return is_public(address)


def is_public(address: Address) -> bool:
    # An address of the old kind inside one of the new would otherwise get past.
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast


def read_address(text: str) -> Address:
    """The address as the resolver writes it, without the zone of a link."""
    return ip_address(text.partition("%")[0])
