"""Rules of delivery: the wait before the next attempt, when to give up, and which destinations are not reached."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

GLOBAL_UNICAST = IPv6Network("2000::/3")
# The well-known prefix of NAT64, translated and compatible addresses: their last 32 bits are the real destination.
ENDING_IN_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
# Not public in spite of their numbers: Azure's virtual machine platform, link protocols, 6to4 relays, documentation.
NEVER_PUBLIC = tuple(map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)
MOST_ATTEMPTS = 12

FAILURES_THAT_OPEN = 3
REST = timedelta(seconds=60)
FORGOTTEN_AFTER = timedelta(days=1)


def wait_after(attempts: int) -> timedelta | None:
    """Return how long to wait after this number of failed attempts; None after the last one."""
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
    """A circuit breaker for each destination: closed, open after consecutive failures, half open after a pause.

    Half open, it allows one attempt. If that fails, it opens again; if it succeeds, the failures are forgotten.
    """

    _troubles: dict[Hashable, _Trouble] = field(default_factory=dict)

    def rests_until(self, destination: Hashable, now: datetime) -> datetime | None:
        trouble = self._troubles.get(destination)
        if trouble is None or trouble.failures < FAILURES_THAT_OPEN:
            return None
        until = trouble.last + REST
        return until if now < until else None

    def is_on_trial(self, destination: Hashable) -> bool:
        """Whether only one attempt at a time is allowed, because the last one failed."""
        return destination in self._troubles

    def failed(self, destination: Hashable, now: datetime) -> None:
        before = self._troubles.get(destination)
        self._forget_old(now)
        self._troubles[destination] = _Trouble(before.failures + 1 if before else 1, now)

    def went_well(self, destination: Hashable) -> None:
        self._troubles.pop(destination, None)

    def _forget_old(self, now: datetime) -> None:
        """Forget destinations that are no longer used, which would otherwise stay forever."""
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
    """Whether an address belongs to the public Internet, in any notation.

    Follows the IANA registries of special-purpose addresses (RFC 6890). Of IPv6, only 2000::/3 is allocated. An IPv4
    address inside an IPv6 one is judged itself, because a gateway would forward to it.
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
    """Return the address in the resolver's notation, without the zone of a link-local one."""
    return ip_address(text.partition("%")[0])
