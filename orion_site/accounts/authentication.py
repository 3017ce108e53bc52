"""Who asks, in the terms of Django REST framework: `request.user` is an `Actor`, `request.auth` what it proved that by.

Keys and users will be further classes of DEFAULT_AUTHENTICATION_CLASSES. The first one that recognises the sender of a
request answers for it, whether the request came to the API, a page, the admin or a websocket.
"""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from orion_site.accounts.permissions import LOCAL_OWNER, Actor


class LocalOwnerAuthentication(BaseAuthentication):
    """Recognise everybody as the local owner: the guard lets in nobody who is not on this machine."""

    def authenticate(self, request: Request) -> tuple[Actor, None]:
        return LOCAL_OWNER, None
