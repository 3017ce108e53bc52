"""Forms that came after their session had ended: they are kept in the page to sign in, and offered to be sent again.

What is kept is signed and never stored. Forms with files, passwords or secrets are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.core import signing
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

MOST_CHARACTERS = 200_000
KEPT_SECONDS = 3600
SALT = "orion.unsent-form"
# A field by which a form says that others hold secrets.
HAS_SECRETS = "has_secrets"
_TOKEN = "csrfmiddlewaretoken"


@dataclass(frozen=True, slots=True)
class Unsent:
    """The address of a form, and its fields."""

    address: str
    fields: list[tuple[str, str]]


def packed(request: HttpRequest) -> str:
    """Return the form of the request as a signed text; empty if it is not to be kept."""
    fields = [(name, value) for name, values in request.POST.lists() if name != _TOKEN for value in values]
    size = sum(len(name) + len(str(value)) for name, value in fields)
    is_secret = any("password" in name.lower() or name == HAS_SECRETS for name, _ in fields)
    if request.FILES or size > MOST_CHARACTERS or is_secret:
        return ""
    return signing.dumps({"address": request.get_full_path(), "fields": fields}, salt=SALT, compress=True)


def unpacked(text: str) -> Unsent | None:
    try:
        found: dict[str, Any] = signing.loads(text, salt=SALT, max_age=KEPT_SECONDS)
    except signing.BadSignature:
        return None
    return Unsent(found["address"], [(name, value) for name, value in found["fields"]])


def page_of(request: HttpRequest) -> str:
    """Return the address of the page that sent the form, if it is of this site; otherwise of the home page."""
    sender = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(sender, allowed_hosts={request.get_host()}):
        parts = urlsplit(sender)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return resolve_url("home")
