"""The first check of every request: which host it addresses, from which machine, and from a page of which site.

While no user can sign in, only this machine is answered; afterwards other machines may authenticate. In both cases the
host must be one of the server's own names, and pages of other sites cannot send requests through a user's browser. CORS
headers are never sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.http.request import split_domain_port

from orchestration.sight import Sight, current_sight, seeing
from orion_site.accounts.permissions import answer_to
from orion_site.accounts.proxies import read_forwarding

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HARDENING = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a request is refused, as status and message."""

    status: int
    detail: str


def refusal(meta: Mapping[str, Any], *, method: str, path: str) -> Refusal | None:
    """Return the reason to refuse a request, given its WSGI environment; websockets pass theirs in the same form."""
    return (
        _foreign_machine(meta.get("REMOTE_ADDR") or "")
        or _foreign_host(meta.get("HTTP_HOST") or "")
        or _foreign_page(meta, method)
        or (_not_json(meta) if method in WRITING and path.startswith("/api/") else None)
    )


class GuardMiddleware:
    """Applies `refusal` to Django's requests, before all other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        read_forwarding(request.META)
        refused = refusal(request.META, method=request.method or "", path=request.path_info)
        if refused is not None:
            return JsonResponse({"detail": refused.detail}, status=refused.status)
        # This thread has answered other requests before, and will do other work.
        answer_to(None)
        try:
            response = self.get_response(request)
            if response.streaming and (sight := current_sight.get()) is not None:
                streaming = cast("StreamingHttpResponse", response)
                streaming.streaming_content = _seen(sight, cast("Iterable[bytes]", streaming.streaming_content))
        finally:
            answer_to(None)
        for header, value in HARDENING.items():
            response.headers.setdefault(header, value)
        return response


def _seen(sight: Sight, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Read the chunks of a response with the sight of its request, although they are sent after it."""
    iterator = iter(chunks)

    def read() -> bytes | None:
        with seeing(sight):
            return next(iterator, None)

    # Not a generator, which would end with the response: a `LaterAnswer` is closed before its content exists.
    return cast("Iterator[bytes]", iter(read, None))


def _foreign_machine(address: str) -> Refusal | None:
    # A request without an address, as over a Unix socket or through a broken gateway, may come from another machine.
    # Calls within the process name a loopback address.
    if is_loopback(address):
        return None
    try:
        if _is_open():
            return None
    except DatabaseError:
        return Refusal(
            503, "The database of Orion does not answer, so users cannot be recognised. Try again in a moment."
        )
    return Refusal(403, "Orion answers this machine only: it has no users yet who could prove who they are.")


def _is_open() -> bool:
    """Whether other machines may authenticate. A positive answer is cached for a moment."""
    global _open_until
    if time.monotonic() < _open_until:
        return True
    from orion_site.accounts.local_owner import anybody_can_sign_in

    is_open = anybody_can_sign_in()
    if is_open:
        _open_until = time.monotonic() + OPEN_SECONDS
    return is_open


OPEN_SECONDS = 2.0
_open_until = 0.0


@lru_cache(maxsize=256)
def is_loopback(address: str) -> bool:
    """Whether an address is of this machine, also if an IPv6 socket reports it as `::ffff:127.0.0.1`."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _foreign_host(host: str) -> Refusal | None:
    """Refuse host names that are not exactly the server's own: DNS rebinding uses another name with this address."""
    domain, _ = split_domain_port(host.lower())
    if domain and domain.rstrip(".") in settings.ALLOWED_HOSTS:
        return None
    shown = host[:100] or "(none)"
    return Refusal(400, f"The server is not known as {shown!r}; name it in ORION_ALLOWED_HOSTS if it should be.")


def _foreign_page(meta: Mapping[str, Any], method: str) -> Refusal | None:
    """Refuse requests from pages of other sites, whatever the method. Programs send no Origin."""
    if (origin := meta.get("HTTP_ORIGIN")) is not None and not _same_origin(origin, meta.get("HTTP_HOST") or ""):
        return Refusal(403, f"Requests from pages of {origin[:100]!r} are not answered.")
    site = meta.get("HTTP_SEC_FETCH_SITE")
    if site in {None, "same-origin", "none"} or _is_visit(meta, method):
        return None
    return Refusal(403, "Requests from pages of other sites are not answered.")


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, rest = origin.lower().partition("://")
    return scheme in {"http", "https"} and rest == host.lower()


def _is_visit(meta: Mapping[str, Any], method: str) -> bool:
    """Whether a user followed a link to the dashboard. The other site cannot read the answer."""
    return (
        method in {"GET", "HEAD"}
        and meta.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and meta.get("HTTP_SEC_FETCH_DEST") == "document"
    )


def _not_json(meta: Mapping[str, Any]) -> Refusal | None:
    """Refuse bodies that a browser would send to another site without a preflight: forms, plain text, or no type.

    Programs may leave out the type, and may send text where it is expected.
    """
    content_type = (meta.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if content_type == "application/json" or not _has_body(meta):
        return None
    is_text = content_type == "text/plain" and meta.get("PATH_INFO", "").endswith("/templates/validate")
    may_be_json = not content_type or content_type.endswith("+json") or is_text
    if may_be_json and not any(meta.get(mark) for mark in _OF_BROWSERS):
        return None
    return Refusal(415, "The API reads JSON only: send Content-Type: application/json.")


_OF_BROWSERS = frozenset({"HTTP_ORIGIN", "HTTP_REFERER", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_MODE", "HTTP_COOKIE"})


def _has_body(meta: Mapping[str, Any]) -> bool:
    return (meta.get("CONTENT_LENGTH") or "0") != "0" or bool(meta.get("HTTP_TRANSFER_ENCODING"))
