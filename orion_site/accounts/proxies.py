"""Headers of proxies: trusted proxies are believed; requests through any proxy are never the local owner's.

`ORION_TRUSTED_PROXIES` lists their addresses. Their `X-Forwarded-For` gives the address of the client, and
`X-Forwarded-Proto` the scheme; from other senders these headers are ignored. The host comes from `Host` only, and the
base path from the configuration.
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
    """Whether the request says that it passed through a proxy; then it may come from any machine."""
    return not FORWARDED.isdisjoint(meta)


def read_forwarding(meta: MutableMapping[str, Any]) -> None:
    """Set the client's address and scheme in the environment of a request if it comes from a trusted proxy."""
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
    """Return the address that the outermost trusted proxy saw; earlier entries of the header may be forged.

    If a proxy reports a loopback address, its client was on its own machine, which need not be another proxy.
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
