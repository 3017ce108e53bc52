"""The token of this server process for programs of its owner, and links and cookies for the owner's browser.

`orion_site.http.token_file` stores the token in ORION_HOME. Where the kernel says which user made a connection, it is
not needed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from django.core.signing import BadSignature, TimestampSigner

from orion_site.shared_rows import OwnRows, Rows, Sheet
from orionflow.contract.credentials import LOCAL_TOKEN_BEGINS

WRONG = (
    "This token is of another server, or of a start of this one that is over. Commands and programs of the Unix user "
    "who runs it find the right one in its ORION_HOME."
)
LINK_SECONDS = 60.0
MOST_LINKS = 20
COOKIE_SECONDS = 14 * 24 * 3600

_token = f"{LOCAL_TOKEN_BEGINS}{secrets.token_urlsafe(32)}"
# Unused links by the hash of their code: until when the link is valid, and when it was created.
_links: Rows = OwnRows(MOST_LINKS)


def token_of_this_start() -> str:
    return _token


def share_with_others(token: str, sheet: Sheet) -> None:
    """Share one token and one set of links with the other workers of this server."""
    global _token, _links
    _token, _links = token, sheet.rows("links")


def is_own_token(token: str) -> bool:
    return secrets.compare_digest(token.encode(), _token.encode())


def new_code() -> str:
    """Create the code of a link, which signs a browser in once, within LINK_SECONDS."""
    code, now = secrets.token_urlsafe(32), time.monotonic()
    with _links.locked():
        _links.put(_hash(code), (now + LINK_SECONDS, now))
    return code


def use_code(code: str) -> bool:
    """Use up the code of a link. Return whether it was valid."""
    with _links.locked():
        until, _ = _links.pop(_hash(code)) or (0.0, 0.0)
    return until >= time.monotonic()


def cookie_name(meta: Mapping[str, Any]) -> str:
    """Return the name of the owner's cookie, which contains the port: browsers send cookies to all ports of a host."""
    return f"orion_owner_{meta.get('SERVER_PORT', '')}"


def new_cookie(meta: Mapping[str, Any]) -> str:
    return _signer().sign(cookie_name(meta))


def is_good_cookie(meta: Mapping[str, Any], cookie: str) -> bool:
    try:
        return _signer().unsign(cookie, max_age=COOKIE_SECONDS) == cookie_name(meta)
    except BadSignature:
        return False


def _signer() -> TimestampSigner:
    # Valid for this server process only: browsers would send the cookie to any later process on the port.
    return TimestampSigner(salt=f"orion.owner {_hash(_token)}")


def _hash(code: str) -> str:
    return sha256(code.encode()).hexdigest()
