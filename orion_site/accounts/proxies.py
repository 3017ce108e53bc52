"""Proxies that hand requests on: those that are named are believed; what came through any is never the owner's.

`ORION_TRUSTED_PROXIES` names them by address. Their `X-Forwarded-For` says from where a request came, and
`X-Forwarded-Proto` by which scheme; the same headers of everybody else say nothing. Hosts are never taken from headers
but `Host`, and the base path is the server's own to know.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

Network = IPv4Network | IPv6Network
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SCHEMES = frozenset({"http", "https"})
FORWARDED = frozenset(
    {"HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP"}
    | {f"HTTP_X_FORWARDED_{what}" for what in ("FOR", "HOST", "PROTO", "PORT", "SERVER", "PREFIX", "SCHEME")}
)


def was_handed_on(meta: Mapping[str, Any]) -> bool:
    """Whether a proxy stood between, as far as it says so. Whoever comes through one may come from anywhere."""
    return not FORWARDED.isdisjoint(meta)


def read_forwarding(meta: MutableMapping[str, Any]) -> None:
    """Put the client's address and scheme into the environment of a request, where a named proxy says them."""
    trusted = settings.ORION_TRUSTED_PROXIES
    if trusted and _is_in(meta.get("REMOTE_ADDR") or "", trusted):
        meta["REMOTE_ADDR"] = _client_of(meta, trusted)
        scheme = meta.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        if scheme in SCHEMES:
            meta["wsgi.url_scheme"] = scheme
    scheme, host = _outside(settings.ORION_EXTERNAL_URL)
    if scheme == "https" and (meta.get("HTTP_HOST") or "").lower() == host:
        meta["wsgi.url_scheme"] = scheme


def _client_of(meta: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """Return the address that the last of our own proxies saw: whatever stands before it, anybody may have written.

    A proxy that saw a loopback address had a client on its own machine, which need not be another proxy.
    """
    seen = [one.strip() for one in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if one.strip()]
    address: str = seen.pop() if seen else meta["REMOTE_ADDR"]
    while seen and _is_in(address, trusted) and not _is_in(address, LOOPBACK):
        address = seen.pop()
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in networks)


@lru_cache(maxsize=8)
def _outside(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
