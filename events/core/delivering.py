"""Deciding about deliveries: how long until the next try, when to give up, and which destinations are left in peace."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)
MOST_ATTEMPTS = 12

FAILURES_THAT_OPEN = 3
REST = timedelta(seconds=60)
FORGOTTEN_AFTER = timedelta(days=1)


def wait_after(attempts: int) -> timedelta | None:
    """How long to wait after this many failed attempts; None when it was the last one."""
    if attempts >= MOST_ATTEMPTS:
        return None
    doubled: int = 2 ** max(attempts - 1, 0)
    return min(FIRST_WAIT * doubled, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class _Trouble:
    failures: int
    last: datetime


@dataclass(slots=True)
class Circuits:
    """A circuit for each destination: closed, open after failures in a row, half open when it has rested.

    Half open it lets one attempt through. If that fails it is open again; if it goes well, all is forgotten.
    """

    _troubles: dict[Hashable, _Trouble] = field(default_factory=dict)

    def rests_until(self, destination: Hashable, now: datetime) -> datetime | None:
        trouble = self._troubles.get(destination)
        if trouble is None or trouble.failures < FAILURES_THAT_OPEN:
            return None
        until = trouble.last + REST
        return until if now < until else None

    def is_on_trial(self, destination: Hashable) -> bool:
        """Whether only one attempt at a time should be made: the last one failed."""
        return destination in self._troubles

    def failed(self, destination: Hashable, now: datetime) -> None:
        before = self._troubles.get(destination)
        self._forget_old(now)
        self._troubles[destination] = _Trouble(before.failures + 1 if before else 1, now)

    def went_well(self, destination: Hashable) -> None:
        self._troubles.pop(destination, None)

    def _forget_old(self, now: datetime) -> None:
        """Destinations that nothing is sent to any more would stay for ever."""
        for one in [one for one, trouble in self._troubles.items() if now - trouble.last > FORGOTTEN_AFTER]:
            del self._troubles[one]


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
