"""Deciding about deliveries: how long until the next try, when to give up, and which destinations are left in peace."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

GLOBAL_UNICAST = IPv6Network("2000::/3")
# The well-known prefix of NAT64, translated and compatible addresses: their last 32 bits are the real destination.
ENDING_IN_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
# Public by their number alone: Azure's platform of virtual machines, protocols of a link, 6to4 relays, documentation.
NEVER_PUBLIC = tuple(map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))

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
    """Whether an address belongs to the public Internet, whichever way it is written.

    After the IANA registries of special-purpose addresses (RFC 6890). Of IPv6 only 2000::/3 is given out; an IPv4
    address inside an IPv6 one is judged for itself, since a gateway of the network would lead there.
    """
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in NEVER_PUBLIC)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for: mapped, 6to4, NAT64 (RFC 6052), translated, ISATAP."""
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    interface = int(address) & 0xFFFFFFFFFFFFFFFF
    is_isatap = interface >> 32 in {0x00005EFE, 0x02005EFE}
    if is_isatap or any(address in network for network in ENDING_IN_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def read_address(text: str) -> Address:
    """The address as the resolver writes it, without the zone of a link."""
    return ip_address(text.partition("%")[0])
